package main

import (
	"errors"
	"log/slog"
	"os"

	helmcommand "helm.sh/helm/v4/pkg/cmd"
	helmkube "helm.sh/helm/v4/pkg/kube"
)

func helm() int {
	helmkube.ManagedFieldsManager = "helm"
	command, err := helmcommand.NewRootCmd(os.Stdout, os.Args[1:], helmcommand.SetupLogging)
	if err != nil {
		slog.Warn("command failed", slog.Any("error", err))
		return 1
	}
	if err := command.Execute(); err != nil {
		if known, ok := errors.AsType[helmcommand.CommandError](err); ok {
			return known.ExitCode
		}
		return 1
	}
	return 0
}

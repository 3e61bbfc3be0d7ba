// testbed is a real Kubernetes API server for the tests, in one process: etcd,
// kube-apiserver, a few of its controllers, a one-node stand-in for the
// kubelet and a small aggregated API. The same program is kubectl and helm when
// called by those names, a client of client-go's own making, and a witness that
// writes down what passes between a client and a server. It listens on loopback
// only.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"

	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

var errUsage = errors.New("usage: testbed serve|witness|watch|list|exec|seed ..., or kubectl and helm by a link of that name")

func main() {
	role := filepath.Base(os.Args[0])
	if role != "kubectl" && role != "helm" {
		role = "help"
		if len(os.Args) > 1 {
			role = os.Args[1]
			os.Args = append([]string{role}, os.Args[2:]...)
		}
	}
	err := errUsage
	switch role {
	case "kubectl":
		os.Exit(cli.Run(kubectl.NewDefaultKubectlCommand()))
	case "helm":
		os.Exit(helm())
	case "serve":
		err = serve(os.Args[1:])
	case "witness":
		err = witness(os.Args[1:])
	case "watch", "list", "exec", "seed":
		err = client(role, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

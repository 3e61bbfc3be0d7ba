package main

// A client written with client-go, as operators and controllers are: informers
// that list and watch, in the content type asked for, and exec by either of its
// transports. It prints a line of JSON for each thing it sees.

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
)

var contentTypes = map[string]string{
	"json": "application/json", "protobuf": "application/vnd.kubernetes.protobuf", "cbor": "application/cbor"}

func tell(value any) { _ = json.NewEncoder(os.Stdout).Encode(value) }

func client(role string, args []string) error {
	fs := flag.NewFlagSet(role, flag.ExitOnError)
	namespace := fs.String("namespace", "default", "where")
	kind := fs.String("kind", "configmaps", "what: configmaps, secrets or pods")
	form := fs.String("form", "protobuf", "content type: json, protobuf or cbor")
	count := fs.Int("count", 1, "watch: events to wait for; seed: objects to make")
	limit := fs.Duration("limit", time.Minute, "how long all of it may take")
	size := fs.Int("size", 100, "seed: bytes of content in each")
	transport := fs.String("transport", "websocket", "exec: websocket or spdy")
	_ = fs.Parse(args)
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	config.ContentType, config.QPS, config.Burst = contentTypes[*form], 2000, 4000
	if *form != "json" {
		config.AcceptContentTypes = contentTypes[*form] + ",application/json"
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()
	switch role {
	case "watch":
		return watchObjects(ctx, clients, *namespace, *kind, *count)
	case "list":
		return listObjects(ctx, clients, *namespace, *kind)
	case "seed":
		return seed(ctx, clients, *namespace, *kind, *count, *size)
	default:
		return execIn(ctx, config, clients, *namespace, *transport, fs.Args())
	}
}

// watchObjects tells of the first events of a shared informer: what it found,
// and what came after.
func watchObjects(ctx context.Context, clients kubernetes.Interface, namespace, kind string, count int) error {
	ctx, done := context.WithCancel(ctx)
	defer done()
	factory := informers.NewSharedInformerFactoryWithOptions(clients, 0, informers.WithNamespace(namespace))
	core := factory.Core().V1()
	informer, known := map[string]cache.SharedIndexInformer{"configmaps": core.ConfigMaps().Informer(), "secrets": core.Secrets().Informer(),
		"pods": core.Pods().Informer()}[kind]
	if !known {
		return fmt.Errorf("kind %q is none of configmaps, secrets, pods", kind)
	}
	var seen atomic.Int64
	note := func(event string, object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		about, err := meta.Accessor(object)
		if err != nil || seen.Load() >= int64(count) {
			return
		}
		line := map[string]any{"event": event, "name": about.GetName(), "version": about.GetResourceVersion()}
		switch object := object.(type) {
		case *corev1.ConfigMap:
			line["data"] = object.Data
		case *corev1.Secret:
			line["data"] = object.Data
		}
		tell(line)
		if seen.Add(1) == int64(count) {
			done()
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { note("added", o) },
		UpdateFunc: func(_, o any) { note("changed", o) },
		DeleteFunc: func(o any) { note("deleted", o) },
	}); err != nil {
		return err
	}
	go informer.Run(ctx.Done())
	if cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		tell(map[string]any{"event": "synced"})
	}
	<-ctx.Done()
	if seen.Load() < int64(count) {
		return fmt.Errorf("%d of %d events came", seen.Load(), count)
	}
	return nil
}

func listObjects(ctx context.Context, clients kubernetes.Interface, namespace, kind string) error {
	var list any
	var err error
	switch kind {
	case "configmaps":
		list, err = clients.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{})
	case "secrets":
		list, err = clients.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{})
	default:
		list, err = clients.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	}
	if err == nil {
		tell(list)
	}
	return err
}

// seed makes many objects. Pods are bound to a node that is not there, and so
// nothing runs for them.
func seed(ctx context.Context, clients kubernetes.Interface, namespace, kind string, count, size int) error {
	content := make([]byte, size)
	for i := range content {
		content[i] = 'a' + byte(i%26)
	}
	grace := int64(0)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range count {
		group.Go(func() error {
			about := metav1.ObjectMeta{Name: fmt.Sprintf("seed-%05d", i), Labels: map[string]string{"seed": "true"}}
			var err error
			switch kind {
			case "configmaps":
				_, err = clients.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: about,
					Data: map[string]string{"content": string(content)}}, metav1.CreateOptions{})
			case "secrets":
				_, err = clients.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{ObjectMeta: about,
					Data: map[string][]byte{"content": content}}, metav1.CreateOptions{})
			default:
				_, err = clients.CoreV1().Pods(namespace).Create(ctx, &corev1.Pod{ObjectMeta: about, Spec: corev1.PodSpec{NodeName: "elsewhere",
					TerminationGracePeriodSeconds: &grace,
					Containers:                    []corev1.Container{{Name: "main", Image: "none"}}}}, metav1.CreateOptions{})
			}
			return err
		})
	}
	return group.Wait()
}

// execIn runs a command in a pod, with our own streams, and ends as it ends.
func execIn(ctx context.Context, config *rest.Config, clients kubernetes.Interface, namespace, transport string, args []string) error {
	if len(args) < 2 {
		return errors.New("usage: testbed exec POD COMMAND...")
	}
	url := clients.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(args[0]).SubResource("exec").VersionedParams(
		&corev1.PodExecOptions{Command: args[1:], Stdin: true, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
	var executor remotecommand.Executor
	var err error
	if transport == "spdy" {
		executor, err = remotecommand.NewSPDYExecutor(config, "POST", url)
	} else {
		executor, err = remotecommand.NewWebSocketExecutor(config, "GET", url.String())
	}
	if err != nil {
		return err
	}
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	if ended := (utilexec.CodeExitError{}); errors.As(err, &ended) {
		os.Exit(ended.Code)
	}
	return err
}

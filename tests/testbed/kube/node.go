package main

// nodelet is a one-node stand-in for a kubelet, for tests only. It binds every
// pod to itself, runs each container's command as a local process, keeps its
// output in memory as the container's log, and serves the kubelet endpoints
// that the API server proxies to: logs, exec, attach and port-forward.
// Containers are NOT isolated from the machine: image, volumes, probes and
// resource limits are ignored.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

type nodelet struct {
	client kubernetes.Interface
	name   string
	root   string
	mu     sync.Mutex
	byUID  map[types.UID]*sandbox
	byName map[string]*sandbox
	nextIP int
}

// nodeletMain runs until the context ends or a signal comes; in names the files of this run.
func nodeletMain(ctx context.Context, in func(string) string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	config, err := clientcmd.BuildConfigFromFlags("", in("system.kubeconfig"))
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 200, 400
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	n := &nodelet{client: client, name: "testbed", root: in("pods"), byUID: map[types.UID]*sandbox{}, byName: map[string]*sandbox{}}

	pem, err := os.ReadFile(in("pki/ca.crt"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(in("pki/kubelet.crt"), in("pki/kubelet.key"))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: n.handler(), TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
		NextProtos:   []string{"http/1.1"}, // upgrades need HTTP/1.1
	}}
	go func() { _ = server.ServeTLS(listener, "", "") }()

	if err := n.register(ctx, listener.Addr().(*net.TCPAddr).Port); err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	_, err = factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { n.sync(ctx, o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { n.sync(ctx, o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if tomb, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = tomb.Obj
			}
			if pod, ok := o.(*corev1.Pod); ok {
				n.forget(pod, time.Second)
			}
		},
	})
	if err != nil {
		return err
	}
	started, err := startControllers(ctx, config, client, factory, in)
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	close(started)
	factory.WaitForCacheSync(ctx.Done())
	if err := n.setReady(ctx); err != nil {
		return err
	}
	if err := os.WriteFile(in("ready"), nil, 0o644); err != nil {
		return err
	}
	<-ctx.Done()
	n.mu.Lock()
	all := make([]*corev1.Pod, 0, len(n.byUID))
	for _, s := range n.byUID {
		all = append(all, s.pod)
	}
	n.mu.Unlock()
	for _, pod := range all {
		n.forget(pod, 0)
	}
	return nil
}

func (n *nodelet) register(ctx context.Context, port int) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: map[string]string{
		"kubernetes.io/hostname": n.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}}}
	if _, err := n.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	node, err := n.client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port)
	node.Status.NodeInfo = corev1.NodeSystemInfo{KubeletVersion: "nodelet", OperatingSystem: "linux", Architecture: "amd64"}
	_, err = n.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}

func (n *nodelet) setReady(ctx context.Context) error {
	node, err := n.client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	now := metav1.Now()
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue,
		Reason: "NodeletReady", LastHeartbeatTime: now, LastTransitionTime: now}}
	_, err = n.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	// Admission taints every new node as not ready; nothing else removes it here.
	_, err = n.client.CoreV1().Nodes().Patch(ctx, n.name, types.JSONPatchType, []byte(`[{"op":"add","path":"/spec/taints","value":[]}]`), metav1.PatchOptions{})
	return err
}

// sync brings the local processes in line with one pod.
func (n *nodelet) sync(ctx context.Context, pod *corev1.Pod) {
	switch {
	case pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil && len(pod.Spec.SchedulingGates) == 0:
		err := n.client.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: n.name}}, metav1.CreateOptions{})
		if err != nil {
			fmt.Fprintln(os.Stderr, "bind", pod.Namespace, pod.Name, err)
		}
	case pod.Spec.NodeName != n.name:
	case pod.DeletionTimestamp != nil:
		grace := 2 * time.Second
		if s := pod.DeletionGracePeriodSeconds; s != nil && time.Duration(*s)*time.Second < grace {
			grace = time.Duration(*s) * time.Second
		}
		go func() {
			n.forget(pod, grace)
			zero := int64(0)
			_ = n.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
				GracePeriodSeconds: &zero, Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
		}()
	case pod.Status.Phase == corev1.PodRunning:
		n.mu.Lock()
		box := n.byUID[pod.UID]
		n.mu.Unlock()
		if box != nil {
			n.join(ctx, box, pod.Spec.EphemeralContainers)
		}
	case pod.Status.Phase == corev1.PodPending || pod.Status.Phase == "":
		n.mu.Lock()
		_, known := n.byUID[pod.UID]
		var box *sandbox
		if !known {
			box = n.add(pod)
		}
		n.mu.Unlock()
		if box != nil {
			go n.run(ctx, box)
		}
	}
}

func (n *nodelet) add(pod *corev1.Pod) *sandbox {
	n.nextIP++
	box := &sandbox{pod: pod.DeepCopy(), ip: fmt.Sprintf("127.88.%d.%d", n.nextIP/250%250, n.nextIP%250+1),
		dir: filepath.Join(n.root, pod.Namespace, pod.Name+"-"+string(pod.UID)), changed: make(chan struct{}, 1)}
	for _, spec := range pod.Spec.Containers {
		box.containers = append(box.containers, box.place(spec))
	}
	n.byUID[pod.UID] = box
	n.byName[pod.Namespace+"/"+pod.Name] = box
	return box
}

func (n *nodelet) forget(pod *corev1.Pod, grace time.Duration) {
	n.mu.Lock()
	box := n.byUID[pod.UID]
	delete(n.byUID, pod.UID)
	if box != nil && n.byName[pod.Namespace+"/"+pod.Name] == box {
		delete(n.byName, pod.Namespace+"/"+pod.Name)
	}
	n.mu.Unlock()
	if box == nil {
		return
	}
	var wait sync.WaitGroup
	for _, c := range box.all() {
		wait.Go(func() { c.stop(grace) })
	}
	wait.Wait()
	_ = os.RemoveAll(box.dir)
}
func (n *nodelet) run(ctx context.Context, box *sandbox) {
	var wait sync.WaitGroup
	for _, c := range box.containers {
		if n.prepare(ctx, box, c) {
			wait.Go(func() { c.loop(box.pod.Spec.RestartPolicy, box.note) })
		}
	}
	finished := make(chan struct{})
	go func() { wait.Wait(); close(finished) }()
	n.report(ctx, box)
	for {
		select {
		case <-box.changed:
			n.report(ctx, box)
		case <-finished:
			n.report(ctx, box)
			return
		}
	}
}

// prepare makes a container's folder and environment; a container for which
// that fails has ended.
func (n *nodelet) prepare(ctx context.Context, box *sandbox, c *container) bool {
	env, err := n.environment(ctx, box, c.spec)
	if err == nil {
		err = os.MkdirAll(c.dir, 0o755)
	}
	c.env = env
	if err == nil {
		return true
	}
	fmt.Fprintln(os.Stderr, box.pod.Namespace, box.pod.Name, c.spec.Name, err)
	fmt.Fprintln(c.log, "nodelet:", err)
	c.exitCode = 128
	c.log.close()
	close(c.done)
	return false
}

// join starts those ephemeral containers of a running pod that are new.
func (n *nodelet) join(ctx context.Context, box *sandbox, wanted []corev1.EphemeralContainer) {
	for _, one := range wanted {
		if box.container(one.Name) != nil {
			continue
		}
		c := box.place(corev1.Container(one.EphemeralContainerCommon))
		box.mu.Lock()
		box.ephemeral = append(box.ephemeral, c)
		box.mu.Unlock()
		go func() {
			if n.prepare(ctx, box, c) {
				c.loop(corev1.RestartPolicyNever, box.note)
			}
			box.note()
		}()
	}
}

func (n *nodelet) environment(ctx context.Context, box *sandbox, spec corev1.Container) ([]string, error) {
	pod := box.pod
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=/root", "LANG=C.UTF-8",
		"HOSTNAME=" + pod.Name, "POD_NAME=" + pod.Name, "POD_NAMESPACE=" + pod.Namespace, "POD_IP=" + box.ip}
	secret := func(name string) (map[string]string, error) {
		s, err := n.client.CoreV1().Secrets(pod.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		values := map[string]string{}
		for k, v := range s.Data {
			values[k] = string(v)
		}
		return values, nil
	}
	config := func(name string) (map[string]string, error) {
		c, err := n.client.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return c.Data, nil
	}
	for _, from := range spec.EnvFrom {
		var values map[string]string
		var err error
		if from.SecretRef != nil {
			values, err = secret(from.SecretRef.Name)
		} else if from.ConfigMapRef != nil {
			values, err = config(from.ConfigMapRef.Name)
		}
		if err != nil {
			return nil, err
		}
		for k, v := range values {
			env = append(env, from.Prefix+k+"="+v)
		}
	}
	for _, e := range spec.Env {
		value := e.Value
		if f := e.ValueFrom; f != nil {
			var values map[string]string
			var err error
			var key string
			if f.SecretKeyRef != nil {
				key = f.SecretKeyRef.Key
				values, err = secret(f.SecretKeyRef.Name)
			} else if f.ConfigMapKeyRef != nil {
				key = f.ConfigMapKeyRef.Key
				values, err = config(f.ConfigMapKeyRef.Name)
			}
			if err != nil {
				return nil, err
			}
			value = values[key]
		}
		env = append(env, e.Name+"="+value)
	}
	return env, nil
}

// report writes the pod's status as it is now.
func (n *nodelet) report(ctx context.Context, box *sandbox) {
	for range 5 {
		pod, err := n.client.CoreV1().Pods(box.pod.Namespace).Get(ctx, box.pod.Name, metav1.GetOptions{})
		if err != nil || pod.UID != box.pod.UID {
			return
		}
		n.fill(box, pod)
		_, err = n.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			fmt.Fprintln(os.Stderr, "status", pod.Namespace, pod.Name, err)
			return
		}
	}
}

// status tells how a container does, and whether it will not run again.
func (c *container) status(pod *corev1.Pod) (status corev1.ContainerStatus, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	running := c.running
	status = corev1.ContainerStatus{Name: c.spec.Name, Image: c.spec.Image, ImageID: "nodelet://" + c.spec.Image,
		ContainerID: "nodelet://" + string(pod.UID) + "-" + c.spec.Name, RestartCount: c.restarts, Ready: running, Started: &running}
	select {
	case <-c.done:
		ended = true
	default:
	}
	terminated := &corev1.ContainerStateTerminated{ExitCode: c.exitCode, Reason: "Completed",
		StartedAt: metav1.NewTime(c.started), FinishedAt: metav1.NewTime(c.finished)}
	if c.exitCode != 0 {
		terminated.Reason = "Error"
	}
	switch {
	case running:
		status.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(c.started)}
	case ended:
		status.State.Terminated = terminated
	case !c.finished.IsZero():
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}
	default:
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
	}
	if !c.finished.IsZero() && !ended {
		status.LastTerminationState.Terminated = terminated
	}
	return status, ended
}

func (n *nodelet) fill(box *sandbox, pod *corev1.Pod) {
	ready, failed, over := true, false, 0
	pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses = nil, nil
	for _, c := range box.containers {
		status, ended := c.status(pod)
		if ended {
			over++
			failed = failed || status.State.Terminated.ExitCode != 0
		}
		ready = ready && status.Ready
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, status)
	}
	for _, c := range box.later() {
		status, _ := c.status(pod)
		pod.Status.EphemeralContainerStatuses = append(pod.Status.EphemeralContainerStatuses, status)
	}
	switch {
	case over == len(box.containers) && failed:
		pod.Status.Phase = corev1.PodFailed
	case over == len(box.containers):
		pod.Status.Phase = corev1.PodSucceeded
	default:
		pod.Status.Phase = corev1.PodRunning
	}
	now := metav1.Now()
	if pod.Status.StartTime == nil {
		pod.Status.StartTime = &now
	}
	pod.Status.HostIP, pod.Status.PodIP = "127.0.0.1", box.ip
	pod.Status.HostIPs, pod.Status.PodIPs = []corev1.HostIP{{IP: "127.0.0.1"}}, []corev1.PodIP{{IP: box.ip}}
	truth := map[bool]corev1.ConditionStatus{true: corev1.ConditionTrue, false: corev1.ConditionFalse}
	pod.Status.Conditions = nil
	for kind, value := range map[corev1.PodConditionType]bool{corev1.PodScheduled: true, corev1.PodInitialized: true, corev1.ContainersReady: ready, corev1.PodReady: ready} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: truth[value], LastTransitionTime: now})
	}
	slices.SortFunc(pod.Status.Conditions, func(a, b corev1.PodCondition) int { return strings.Compare(string(a.Type), string(b.Type)) })
}

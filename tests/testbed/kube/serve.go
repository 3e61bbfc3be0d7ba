package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// The audit log tells who asked, as whom, and what the request said. What the
// testbed's own parts do is left out.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [kube-apiserver, "system:apiserver", "system:testbed"]
- level: Request
`

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func serve(args []string) error {
	fs := flag.NewFlagSet("serve", flag.ExitOnError)
	dir := fs.String("dir", "", "folder for everything this run writes")
	lease := fs.String("lease", "", "folder of the files users, on which every user holds a shared lock, and serving, on which we hold one")
	_ = fs.Parse(args)
	home, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(home, name) }
	if err := os.MkdirAll(in("pki"), 0o700); err != nil {
		return err
	}
	if *lease != "" {
		if err := lock(filepath.Join(*lease, "serving")); err != nil {
			return err
		}
		go endWithLast(filepath.Join(*lease, "users"))
	}

	if err := certificates(in("pki")); err != nil {
		return err
	}
	config := embed.NewConfig()
	config.Dir = in("etcd")
	config.LogLevel = "error"
	config.LogOutputs = []string{in("etcd.log")}
	config.UnsafeNoFsync = true
	config.EnableGRPCGateway = false
	any := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	config.ListenClientUrls, config.ListenPeerUrls = []url.URL{any}, []url.URL{any}
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	<-etcd.Server.ReadyNotify()

	port, err := freePort()
	if err != nil {
		return err
	}
	server := fmt.Sprintf("https://127.0.0.1:%d", port)
	for _, user := range []string{"admin", "system"} {
		kube := clientcmdapi.NewConfig()
		kube.Clusters["testbed"] = &clientcmdapi.Cluster{Server: server, CertificateAuthority: in("pki/ca.crt")}
		kube.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificate: in("pki/" + user + ".crt"), ClientKey: in("pki/" + user + ".key")}
		kube.Contexts["testbed"] = &clientcmdapi.Context{Cluster: "testbed", AuthInfo: user, Namespace: "default"}
		kube.CurrentContext = "testbed"
		if err := clientcmd.WriteToFile(*kube, in(user+".kubeconfig")); err != nil {
			return err
		}
	}

	command := app.NewAPIServerCommand()
	options := []string{
		"--etcd-servers=http://" + etcd.Clients[0].Addr().String(),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none",
		fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file=" + in("pki/apiserver.crt"),
		"--tls-private-key-file=" + in("pki/apiserver.key"),
		"--client-ca-file=" + in("pki/ca.crt"),
		"--authorization-mode=RBAC",
		"--allow-privileged=true",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + in("pki/service-account.crt"),
		"--service-account-signing-key-file=" + in("pki/service-account.key"),
		"--service-cluster-ip-range=10.0.0.0/24",
		"--kubelet-certificate-authority=" + in("pki/ca.crt"),
		"--kubelet-client-certificate=" + in("pki/kubelet-client.crt"),
		"--kubelet-client-key=" + in("pki/kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--audit-log-path=" + in("audit.log"),
		"--audit-policy-file=" + in("audit-policy.yaml"),
		"--requestheader-client-ca-file=" + in("pki/front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + in("pki/front-proxy-client.crt"),
		"--proxy-client-key-file=" + in("pki/front-proxy-client.key"),
		"--v=0",
	}
	if err := os.WriteFile(in("audit-policy.yaml"), []byte(auditPolicy), 0o600); err != nil {
		return err
	}
	command.SetArgs(options)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	failed, finished := make(chan error, 1), make(chan error, 1)
	go func() { failed <- fmt.Errorf("kube-apiserver ended: %v", command.ExecuteContext(ctx)) }()
	if err := waitReady(server, in("pki/ca.crt"), failed); err != nil {
		return err
	}
	if err := serveExtension(ctx, in); err != nil {
		return err
	}
	go func() {
		finished <- nodeletMain(ctx, in)
	}()
	// SIGTERM ends both; the node goes first, or its containers would outlive it.
	select {
	case err := <-finished:
		return err
	case err := <-failed:
		cancel()
		return errors.Join(err, <-finished)
	}
}

func waitReady(server, caFile string, failed <-chan error) error {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		if response, err := client.Get(server + "/readyz"); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-failed:
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errors.New("the API server did not become ready in two minutes")
}

// endWithLast ends this process once nobody holds a shared lock on the file.
// The kernel releases the locks of a process that dies.
func endWithLast(name string) {
	if err := lock(name); err != nil {
		fmt.Fprintln(os.Stderr, "lease:", err)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
}

var locks []*os.File // a lock goes with its file

func lock(name string) error {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	locks = append(locks, file)
	return err
}

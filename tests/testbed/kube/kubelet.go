package main

// The kubelet's endpoint, which the API server passes logs, exec, attach and
// port-forward on to.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/creack/pty"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

func (n *nodelet) handler() http.Handler {
	mux := http.NewServeMux()
	find := func(r *http.Request) (*sandbox, *container) {
		n.mu.Lock()
		defer n.mu.Unlock()
		box := n.byName[r.PathValue("ns")+"/"+r.PathValue("pod")]
		if box == nil {
			return nil, nil
		}
		return box, box.container(r.PathValue("container"))
	}
	with := func(h func(w http.ResponseWriter, r *http.Request, box *sandbox, c *container)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if box, c := find(r); c != nil {
				h(w, r, box, c)
			} else {
				http.Error(w, "no such pod or container on this node", http.StatusNotFound)
			}
		}
	}
	const idle, create = 4 * time.Hour, 30 * time.Second
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("/containerLogs/{ns}/{pod}/{container}", with(func(w http.ResponseWriter, r *http.Request, _ *sandbox, c *container) {
		c.serveLog(w, r)
	}))
	mux.HandleFunc("/exec/{ns}/{pod}/{container}", with(func(w http.ResponseWriter, r *http.Request, _ *sandbox, c *container) {
		options, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		remotecommand.ServeExec(w, r, c, "", "", "", r.URL.Query()["command"], options, idle, create, remotecommand.SupportedStreamingProtocols)
	}))
	mux.HandleFunc("/attach/{ns}/{pod}/{container}", with(func(w http.ResponseWriter, r *http.Request, _ *sandbox, c *container) {
		options, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		remotecommand.ServeAttach(w, r, c, "", "", "", options, idle, create, remotecommand.SupportedStreamingProtocols)
	}))
	mux.HandleFunc("/portForward/{ns}/{pod}", with(func(w http.ResponseWriter, r *http.Request, box *sandbox, _ *container) {
		options, err := portforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(w, r, box, "", "", options, idle, create, portforward.SupportedProtocols)
	}))
	return mux
}
func resizer(tty *os.File, sizes <-chan remotecommand.TerminalSize) {
	for size := range sizes {
		_ = pty.Setsize(tty, &pty.Winsize{Cols: size.Width, Rows: size.Height})
	}
}

// ExecInContainer implements remotecommand.Executor.
func (c *container) ExecInContainer(ctx context.Context, _, _, _ string, argv []string, in io.Reader, out, errOut io.WriteCloser, tty bool, sizes <-chan remotecommand.TerminalSize, _ time.Duration) error {
	if len(argv) == 0 {
		return errors.New("no command")
	}
	cmd := c.command(ctx, argv)
	var err error
	if tty {
		cmd.Env = append(slices.Clone(cmd.Env), "TERM=xterm")
		var terminal *os.File
		if terminal, err = pty.Start(cmd); err == nil {
			go resizer(terminal, sizes)
			if in != nil {
				go func() { _, _ = io.Copy(terminal, in) }()
			}
			_, _ = io.Copy(out, terminal)
			err = cmd.Wait()
			_ = terminal.Close()
		}
	} else {
		cmd.SysProcAttr.Setpgid = true
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		if out != nil {
			cmd.Stdout = out
		}
		if errOut != nil {
			cmd.Stderr = errOut
		}
		var feed io.WriteCloser
		if in != nil {
			if feed, err = cmd.StdinPipe(); err != nil {
				return err
			}
		}
		if err = cmd.Start(); err == nil {
			if feed != nil {
				go func() { _, _ = io.Copy(feed, in); _ = feed.Close() }()
			}
			err = cmd.Wait()
		}
	}
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		fmt.Fprintln(out, "nodelet:", err)
	}
	return utilexec.CodeExitError{Err: err, Code: int(exitCode(err))}
}

// AttachContainer implements remotecommand.Attacher.
func (c *container) AttachContainer(ctx context.Context, _, _, _ string, in io.Reader, out, _ io.WriteCloser, tty bool, sizes <-chan remotecommand.TerminalSize) error {
	c.mu.Lock()
	log, stdin, terminal := c.log, c.stdin, c.tty
	c.mu.Unlock()
	if out != nil {
		defer log.tap(out)()
	}
	if tty && terminal != nil {
		go resizer(terminal, sizes)
	}
	if in != nil && stdin != nil {
		go func() {
			_, _ = io.Copy(stdin, in)
			if c.spec.StdinOnce && !c.spec.TTY {
				_ = stdin.Close()
			}
		}()
	}
	for {
		log.mu.Lock()
		closed, changed := log.closed, log.changed
		log.mu.Unlock()
		if closed {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// PortForward implements portforward.PortForwarder.
func (s *sandbox) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(s.ip, strconv.Itoa(int(port))))
	if err != nil {
		conn, err = dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, stream)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, conn)
	return err
}

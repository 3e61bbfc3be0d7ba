package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	corev1 "k8s.io/api/core/v1"
)

type container struct {
	spec corev1.Container
	dir  string
	env  []string

	mu       sync.Mutex
	log      *runLog
	previous *runLog
	stdin    io.WriteCloser
	tty      *os.File
	process  *os.Process
	running  bool
	started  time.Time
	finished time.Time
	exitCode int32
	restarts int32
	stopping bool
	done     chan struct{} // closed when the container will not run again
}

type sandbox struct {
	pod        *corev1.Pod
	ip         string
	dir        string
	containers []*container
	changed    chan struct{} // holds one note that a status is due

	mu        sync.Mutex
	ephemeral []*container // as kubectl debug adds them
}

func (s *sandbox) place(spec corev1.Container) *container {
	return &container{spec: spec, log: newRunLog(), done: make(chan struct{}), dir: filepath.Join(s.dir, spec.Name)}
}

func (s *sandbox) later() []*container {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ephemeral)
}

func (s *sandbox) all() []*container {
	return slices.Concat(s.containers, s.later())
}

func (s *sandbox) container(name string) *container {
	for _, c := range s.all() {
		if name == "" || c.spec.Name == name {
			return c
		}
	}
	return nil
}

func (s *sandbox) note() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
func (c *container) stop(grace time.Duration) {
	c.mu.Lock()
	c.stopping = true
	if c.running && grace > 0 {
		_ = syscall.Kill(-c.process.Pid, syscall.SIGTERM)
	}
	c.mu.Unlock()
	select {
	case <-c.done:
	case <-time.After(grace):
		c.mu.Lock()
		if c.running {
			_ = syscall.Kill(-c.process.Pid, syscall.SIGKILL)
		}
		c.mu.Unlock()
	}
}

func (c *container) loop(policy corev1.RestartPolicy, note func()) {
	defer close(c.done)
	pause := time.Second
	for {
		code := c.once(note)
		c.mu.Lock()
		c.running, c.finished, c.exitCode = false, time.Now(), code
		stopping := c.stopping
		c.mu.Unlock()
		c.log.close()
		note()
		if stopping || policy == corev1.RestartPolicyNever || policy == corev1.RestartPolicyOnFailure && code == 0 {
			return
		}
		time.Sleep(pause)
		pause = min(2*pause, 30*time.Second)
		c.mu.Lock()
		if c.stopping {
			c.mu.Unlock()
			return
		}
		c.previous, c.log = c.log, newRunLog()
		c.restarts++
		c.mu.Unlock()
	}
}

func (c *container) command(ctx context.Context, argv []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = c.env, c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // nothing outlives the testbed
	return cmd
}

func (c *container) once(note func()) int32 {
	argv := append(slices.Clone(c.spec.Command), c.spec.Args...)
	if len(argv) == 0 { // the image's entrypoint, which nobody has here
		argv = []string{"sleep", "infinity"}
	}
	if c.spec.WorkingDir != "" {
		_ = os.MkdirAll(filepath.Join(c.dir, c.spec.WorkingDir), 0o755)
	}
	cmd := c.command(context.Background(), argv)
	out := c.log
	c.mu.Lock()
	var err error
	copied := make(chan struct{})
	if c.spec.TTY {
		if c.tty, err = pty.Start(cmd); err == nil {
			c.stdin = c.tty
			go func() { _, _ = io.Copy(out, c.tty); close(copied) }()
		}
	} else {
		close(copied)
		cmd.SysProcAttr.Setpgid = true
		cmd.Stdout, cmd.Stderr = out, out
		if c.spec.Stdin {
			c.stdin, err = cmd.StdinPipe()
		}
		if err == nil {
			err = cmd.Start()
		}
	}
	if err != nil {
		c.mu.Unlock()
		fmt.Fprintln(out, "nodelet:", err)
		return 127
	}
	c.process, c.running, c.started = cmd.Process, true, time.Now()
	c.mu.Unlock()
	note()
	err = cmd.Wait()
	<-copied
	return exitCode(err)
}

func exitCode(err error) int32 {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
			return 128 + int32(status.Signal())
		}
		return int32(exit.ExitCode())
	}
	return 127
}

package main

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

const maxLogLines = 50_000

type logLine struct {
	at   time.Time
	text []byte // without the newline
}

// runLog is the output of one run of a container. It is also the hub that
// attached clients listen to.
type runLog struct {
	mu      sync.Mutex
	lines   []logLine
	partial []byte
	closed  bool
	changed chan struct{}
	taps    map[int]io.Writer
	nextTap int
}

func newRunLog() *runLog {
	return &runLog{changed: make(chan struct{}), taps: map[int]io.Writer{}}
}

func (l *runLog) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *runLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, tap := range l.taps {
		_, _ = tap.Write(p)
	}
	l.partial = append(l.partial, p...)
	for {
		i := bytes.IndexByte(l.partial, '\n')
		if i < 0 {
			break
		}
		l.lines = append(l.lines, logLine{time.Now(), bytes.Clone(l.partial[:i])})
		l.partial = l.partial[i+1:]
	}
	if over := len(l.lines) - maxLogLines; over > 0 {
		l.lines = slices.Clone(l.lines[over:])
	}
	l.wake()
	return len(p), nil
}

func (l *runLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.partial) > 0 {
		l.lines = append(l.lines, logLine{time.Now(), l.partial})
		l.partial = nil
	}
	l.closed = true
	l.wake()
}

func (l *runLog) tap(w io.Writer) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := l.nextTap
	l.nextTap++
	l.taps[id] = w
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.taps, id)
	}
}
func (c *container) serveLog(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	number := func(name string) (int, bool) {
		v, err := strconv.Atoi(q.Get(name))
		return v, err == nil
	}
	c.mu.Lock()
	log := c.log
	if q.Get("previous") == "true" {
		log = c.previous
	}
	c.mu.Unlock()
	if log == nil {
		http.Error(w, "no previous run", http.StatusBadRequest)
		return
	}
	var since time.Time
	if s, ok := number("sinceSeconds"); ok {
		since = time.Now().Add(-time.Duration(s) * time.Second)
	}
	if t, err := time.Parse(time.RFC3339Nano, q.Get("sinceTime")); err == nil {
		since = t
	}
	left, limited := number("limitBytes")
	log.mu.Lock()
	next := 0
	if tail, ok := number("tailLines"); ok {
		next = max(0, len(log.lines)-tail)
	}
	log.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain")
	out := http.NewResponseController(w)
	for {
		log.mu.Lock()
		fresh, closed, changed := slices.Clone(log.lines[min(next, len(log.lines)):]), log.closed, log.changed
		log.mu.Unlock()
		next += len(fresh)
		for _, line := range fresh {
			if line.at.Before(since) {
				continue
			}
			text := append(bytes.Clone(line.text), '\n')
			if q.Get("timestamps") == "true" {
				text = append([]byte(line.at.UTC().Format(time.RFC3339Nano)+" "), text...)
			}
			if limited {
				text = text[:min(left, len(text))]
				left -= len(text)
			}
			if _, err := w.Write(text); err != nil || limited && left == 0 {
				return
			}
		}
		_ = out.Flush()
		if q.Get("follow") != "true" || closed {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

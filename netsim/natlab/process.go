//go:build linux && natlab

package natlab

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	readyTimeout = 10 * time.Second // of a program, from start to the line that says so, and of an interface
	stopTimeout  = 5 * time.Second  // from SIGTERM to SIGKILL
	keptOutput   = 64 << 10         // bytes of a process's output that a failed test shows
)

// A Process is a program that runs in a node until the test ends.
type Process struct {
	node *Node
	cmd  *exec.Cmd
	out  *transcript
	stop context.CancelFunc

	ended chan struct{} // closed once err is set
	err   error         // of cmd.Wait
}

// Start starts a program in the node. When the test ends it is told to stop
// (SIGTERM), and killed if it does not; a failed test shows what it wrote.
func (n *Node) Start(name string, args ...string) *Process {
	n.lab.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &Process{
		node:  n,
		cmd:   n.command(ctx, name, args...),
		out:   &transcript{ready: make(chan string, 1)},
		stop:  cancel,
		ended: make(chan struct{}),
	}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := n.ns.do(p.cmd.Start); err != nil {
		cancel()
		n.must(err)
	}
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	n.lab.t.Cleanup(func() {
		p.Stop()
		if n.lab.t.Failed() {
			n.lab.t.Logf("%s: %s wrote:\n%s", n.Name, name, p.out)
		}
	})
	return p
}

// command prepares a program for the node. It is stopped when ctx is done, and
// dies with this process.
func (n *Node) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	// The signal comes when the thread ends that started the program: that is
	// the namespace's, which outlives it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Ready waits for the line that says that the program is ready, and returns
// the fields in it. It fails the test if the program ends instead, or takes
// more than 10 s.
func (p *Process) Ready() map[string]string {
	t := p.node.lab.t
	t.Helper()
	timeout := time.NewTimer(readyTimeout)
	defer timeout.Stop()
	select {
	case line := <-p.out.ready:
		return fields(line)
	case <-p.ended:
		t.Fatalf("%s: %s ended before it was ready: %v", p.node.Name, p.cmd.Path, p.err)
	case <-timeout.C:
		t.Fatalf("%s: %s is not ready after %v", p.node.Name, p.cmd.Path, readyTimeout)
	}
	return nil
}

// Stop stops the program and waits for it. Further calls do nothing.
func (p *Process) Stop() {
	p.stop()
	<-p.ended
}

// Run runs a program in the node until it ends, ctx is done or the test does,
// and returns what it wrote to standard output. Its error holds the end of what
// it wrote to standard error.
func (n *Node) Run(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := n.command(ctx, name, args...)
	var stdout bytes.Buffer
	stderr := &transcript{}
	cmd.Stdout, cmd.Stderr = &stdout, stderr
	if err := n.ns.do(cmd.Start); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		return stdout.Bytes(), fmt.Errorf("%s: %s: %w: %s", n.Name, name, err, stderr)
	}
	return stdout.Bytes(), nil
}

// fields returns the key=value fields of a line.
func fields(line string) map[string]string {
	m := make(map[string]string)
	for _, f := range strings.Fields(line) {
		if k, v, ok := strings.Cut(f, "="); ok {
			m[k] = v
		}
	}
	return m
}

// A transcript keeps the end of a program's output, and looks out for the line
// that begins with the word ready.
type transcript struct {
	ready chan string // gets the line; nil: nobody waits for it

	mu   sync.Mutex // guards all below
	kept []byte
	line []byte // that is not complete yet
	seen bool
}

// Write implements io.Writer.
func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - keptOutput; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	if t.ready == nil || t.seen {
		return len(b), nil
	}
	t.line = append(t.line, b...)
	for {
		line, rest, ok := bytes.Cut(t.line, []byte("\n"))
		if !ok {
			break
		}
		if !t.seen && bytes.HasPrefix(line, []byte("ready ")) {
			t.seen = true
			t.ready <- string(line)
		}
		t.line = rest
	}
	t.line = t.line[max(0, len(t.line)-keptOutput):]
	return len(b), nil
}

// String returns what is kept.
func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}

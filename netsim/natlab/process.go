package natlab

import (
	"bytes"
	"context"
	"errors"
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
	keptOutput   = 64 << 10         // bytes of a process's output that are kept
)

// A Process is a program that runs in a node until Stop, or the end of the lab or of this
// process, however that ends.
type Process struct {
	node *Node
	name string
	cmd  *exec.Cmd
	out  *transcript
	stop context.CancelFunc

	ended chan struct{} // closed once err is set
	err   error         // of cmd.Wait
}

// Start starts a program in the node, with env beside this process's environment.
func (n *Node) Start(env []string, name string, args ...string) (*Process, error) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Process{
		node:  n,
		name:  name,
		cmd:   n.command(ctx, env, name, args...),
		out:   &transcript{ready: make(chan string, 1)},
		stop:  cancel,
		ended: make(chan struct{}),
	}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	n.lab.mu.Lock()
	defer n.lab.mu.Unlock()
	if n.lab.closed {
		cancel()
		return nil, errClosed
	}
	if err := n.ns.do(p.cmd.Start); err != nil {
		cancel()
		return nil, n.errorf("%w", err)
	}
	n.lab.processes = append(n.lab.processes, p)
	go func() { // ends with the program, which Stop waits for
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// command prepares a program for the node. It is told to stop (SIGTERM) when ctx is done,
// killed if it does not, and dies with this process.
func (n *Node) command(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	cmd.Env = append(cmd.Environ(), env...)
	cmd.SysProcAttr = tied()
	return cmd
}

// Ready waits for the line that says that the program is ready, and returns the fields in
// it. It is an error if the program ends instead, or takes more than 10 s.
func (p *Process) Ready(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not ready after %v", readyTimeout))
	defer cancel()
	select {
	case line := <-p.out.ready:
		return fields(line), nil
	case <-p.ended:
		return nil, p.node.errorf("%s ended before it was ready: %w: %s", p.name, p.failure(), p.out)
	case <-ctx.Done():
		return nil, p.node.errorf("%s: %w: %s", p.name, context.Cause(ctx), p.out)
	}
}

// failure is why the program ended. It has.
func (p *Process) failure() error {
	if p.err == nil {
		return errors.New("with status 0")
	}
	return p.err
}

// Stop stops the program and waits for it. Further calls do nothing.
func (p *Process) Stop() {
	p.stop()
	<-p.ended
}

// Output returns the end of what the program has written.
func (p *Process) Output() string { return p.out.String() }

// Run runs a program in the node until it ends or ctx is done, and returns what it
// wrote to standard output. Its error holds the end of what it wrote to standard error.
func (n *Node) Run(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	cmd := n.command(ctx, env, name, args...)
	var stdout bytes.Buffer
	stderr := &transcript{}
	cmd.Stdout, cmd.Stderr = &stdout, stderr
	if err := n.ns.do(cmd.Start); err != nil {
		return nil, n.errorf("%w", err)
	}
	if err := cmd.Wait(); err != nil {
		return stdout.Bytes(), n.errorf("%s: %w: %s", name, err, stderr)
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

//go:build linux && natlab

package natlab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A namespace is a network namespace and the thread that lives in it.
type namespace struct {
	path  string // in /proc, for others to name it; good until close
	calls chan func()
	done  chan struct{}
}

func newNamespace() (*namespace, error) {
	n := &namespace{calls: make(chan func()), done: make(chan struct{})}
	ready := make(chan error)
	go n.live(ready)
	if err := <-ready; err != nil {
		return nil, err
	}
	return n, nil
}

// live makes the namespace and works there until close. The goroutine ends
// locked to its thread, so that the runtime ends the thread too; nobody else
// must ever run in the namespace.
func (n *namespace) live(ready chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The runtime cannot end the main thread, and would keep the namespace
		// with it. While this goroutine holds it another gets another one.
		defer runtime.UnlockOSThread()
		done := make(chan struct{})
		go func() {
			defer close(done)
			n.live(ready)
		}()
		<-done
		return
	}
	defer close(n.done)
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		ready <- fmt.Errorf("new network namespace: %w", err)
		return
	}
	n.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", unix.Getpid(), unix.Gettid())
	ready <- nil
	for f := range n.calls {
		f()
	}
}

// do runs f in the namespace. Sockets that it opens and processes that it
// starts belong there for good. It must return: neither panic nor Goexit.
func (n *namespace) do(f func() error) error {
	result := make(chan error)
	n.calls <- func() { result <- f() }
	return <-result
}

// run runs a command in the namespace and returns what it says.
func (n *namespace) run(stdin, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := n.do(cmd.Run); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s%s", name, strings.Join(args, " "), err, out, stdin)
	}
	return out.String(), nil
}

// ip runs an ip command, whose arguments are separated by blanks.
func (n *namespace) ip(format string, args ...any) error {
	_, err := n.run("", "ip", strings.Fields(fmt.Sprintf(format, args...))...)
	return err
}

// await waits until an interface is ready. The kernel activates it, and makes
// its link-local address, in the background; what is sent before is lost.
func (n *namespace) await(dev string) error {
	for deadline := time.Now().Add(readyTimeout); ; {
		link, err := n.run("", "ip", "link", "show", "dev", dev)
		if err != nil {
			return err
		}
		tentative, err := n.run("", "ip", "address", "show", "dev", dev, "tentative")
		if err != nil {
			return err
		}
		if strings.Contains(link, "state UP") && tentative == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %v: %s%s", dev, readyTimeout, link, tentative)
		}
	}
}

// sysctl sets a kernel parameter of the namespace: /proc/sys/net shows each
// thread those of the namespace it is in.
func (n *namespace) sysctl(key, value string) error {
	return n.do(func() error {
		return os.WriteFile("/proc/sys/net/"+key, []byte(value), 0)
	})
}

// sysctlIfAny is sysctl for parameters of kernel parts that may not be loaded.
func (n *namespace) sysctlIfAny(key, value string) error {
	err := n.sysctl(key, value)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// close ends the thread. The kernel deletes the namespace with everything in
// it as soon as the last process and socket there have gone.
func (n *namespace) close() {
	close(n.calls)
	<-n.done
}

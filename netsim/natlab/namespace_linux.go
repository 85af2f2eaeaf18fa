package natlab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A namespace is a network namespace and the thread that lives in it.
type namespace struct {
	path  string // in /proc, for others to name it; good until close
	calls chan func()
	quit  chan struct{} // closed by close
	done  chan struct{}
}

func newNamespace() (*namespace, error) {
	n := &namespace{calls: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
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
		ready <- fmt.Errorf("new network namespace: %w: it takes the capability CAP_SYS_ADMIN", err)
		return
	}
	n.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", unix.Getpid(), unix.Gettid())
	ready <- nil
	for {
		select {
		case f := <-n.calls:
			f()
		case <-n.quit:
			return
		}
	}
}

// do runs f in the namespace. Sockets that it opens and processes that it
// starts belong there for good. It must return: neither panic nor Goexit. After close it
// is an error.
func (n *namespace) do(f func() error) error {
	result := make(chan error)
	select {
	case n.calls <- func() { result <- f() }:
		return <-result
	case <-n.done:
		return errClosed
	}
}

// await waits until an interface is ready. The kernel activates it in the background;
// what is sent before is lost.
func (n *namespace) await(dev string) error {
	for deadline := time.Now().Add(readyTimeout); ; time.Sleep(time.Millisecond) {
		var ready bool
		err := n.do(func() error {
			i, err := net.InterfaceByName(dev)
			ready = err == nil && i.Flags&net.FlagRunning != 0
			return err
		})
		if ready || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %v", dev, readyTimeout)
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

// close ends the thread. The kernel deletes the namespace with everything in
// it as soon as the last process and socket there have gone.
func (n *namespace) close() {
	close(n.quit)
	<-n.done
}

// supported reports why there can be no lab here.
func supported() error {
	if os.Geteuid() != 0 {
		return errors.New("only root may make network namespaces: run it with sudo")
	}
	return nil
}

// tied has a program die with this process: the signal comes when the thread ends
// that started it, which is the namespace's.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

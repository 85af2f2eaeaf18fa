package fileserver

import (
	"crypto/rand"
	"net"
	"sync"

	"github.com/bdtnet/bdt/bdt"
)

// A limited listener has a bound on the streams that are open at once; the next ones
// wait.
type limited struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
}

func newLimited(ln net.Listener, n int) *limited {
	return &limited{Listener: ln, slots: make(chan struct{}, n), done: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &counted{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close implements net.Listener.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// A counted connection gives its slot back.
type counted struct {
	net.Conn
	free func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.free()
	return c.Conn.Close()
}

// Rights are those of the connection.
func (c *counted) Rights() bdt.Rights {
	if g, ok := c.Conn.(granted); ok {
		return g.Rights()
	}
	return 0
}

// random is a name that nobody else has.
func random() string { return rand.Text() }

package netsim

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

var _ net.Conn = (*TCPConn)(nil)

// A TCPConn is a TCP connection of a host. Its methods may be called concurrently.
// Its errors are those of package net: they wrap [net.ErrClosed],
// [os.ErrDeadlineExceeded], or a [syscall.Errno] such as ECONNRESET.
type TCPConn struct {
	host          *Host
	local, remote netip.AddrPort

	// The network's mutex guards all below.
	changed  sync.Cond // anything that a call waits for
	state    tcpState
	err      error        // why it ended, if its user did not end it
	closed   bool         // by its user
	listener *tcpListener // until it is accepted
	arrived  func()       // called after each segment: its user has no goroutine; or nil
	linger   int          // seconds, as for SetLinger
	tx       tcpSender
	rx       tcpReceiver
	out      timer // has what there is to send leave
	alarm    timer // retransmission, probes, TIME-WAIT
	alive    tcpKeepalive
	readBy   deadline
	writeBy  deadline
}

// setState makes the transition to a state. Who waits is told.
func (c *TCPConn) setState(s tcpState) {
	c.state = s
	c.changed.Broadcast()
}

// end makes c gone, because of err unless that is nil.
func (c *TCPConn) end(err error) {
	if c.state == tcpClosed {
		return
	}
	if c.err == nil {
		c.err = err
	}
	for _, t := range []*timer{&c.out, &c.alarm, &c.rx.late, &c.alive.timer} {
		t.disarm()
	}
	if l := c.listener; l != nil {
		l.forget(c)
	}
	delete(c.host.tcp.conns, tcpPair{c.local, c.remote})
	c.tx.buf, c.rx.ahead = byteQueue{}, nil
	c.rx.eof = true
	c.setState(tcpClosed)
}

// LocalAddr returns the local address, a [*net.TCPAddr].
func (c *TCPConn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr returns the remote address, a [*net.TCPAddr].
func (c *TCPConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// String names the connection by its ends.
func (c *TCPConn) String() string { return fmt.Sprintf("tcp %v > %v", c.local, c.remote) }

func (c *TCPConn) opError(op string, err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok && error(errno) == err {
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// Read reads what has come, and waits if nothing has. At the end of what the peer
// sends it returns [io.EOF].
func (c *TCPConn) Read(b []byte) (int, error) {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.opError("read", net.ErrClosed)
		case c.readBy.passed:
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		case len(b) == 0:
			return 0, nil
		case c.rx.buf.len() > 0:
			return c.read(b), nil
		case c.err != nil:
			return 0, c.opError("read", c.err)
		case c.rx.eof || c.rx.deaf:
			return 0, io.EOF
		}
		c.changed.Wait()
	}
}

// read takes data from the receive buffer, and has the peer told if it waits for that.
func (c *TCPConn) read(b []byte) int {
	r := &c.rx
	k := r.buf.read(b)
	left := r.edge - r.nxt
	room := uint32(max(0, r.limit-r.buf.len()))
	// As Linux: when what can be told is twice what was.
	if c.state.receives() && room >= 2*left && int(room-left) >= min(c.tx.mss, r.limit/2) {
		c.touch()
		c.acknowledge()
	}
	return k
}

// touch sets the instant for what a call makes happen, and wakes the network.
func (c *TCPConn) touch() {
	n := c.host.net
	n.at = n.now()
	if !c.out.armed() && c.state != tcpClosed {
		c.wake()
	}
	n.kick()
}

// Write queues b to be sent, and waits while the send buffer is full.
func (c *TCPConn) Write(b []byte) (int, error) {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for done := 0; ; c.changed.Wait() {
		switch {
		case c.closed:
			return done, c.opError("write", net.ErrClosed)
		case c.writeBy.passed:
			return done, c.opError("write", os.ErrDeadlineExceeded)
		case c.err != nil:
			return done, c.opError("write", c.err)
		case c.tx.fin || c.state == tcpClosed:
			return done, c.opError("write", syscall.EPIPE)
		}
		if room := c.tx.limit - c.tx.buf.len(); room > 0 && done < len(b) {
			part := b[done:min(len(b), done+room)]
			c.tx.buf.add(part)
			done += len(part)
			c.touch()
		}
		if done == len(b) {
			return done, nil
		}
	}
}

// Close closes the connection. What was written is still sent, unless SetLinger says
// otherwise; if the peer has sent what was not read it is told so by a reset (RFC
// 2525 §2.17).
func (c *TCPConn) Close() error {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.shut()
	return nil
}

// shut is Close.
func (c *TCPConn) shut() {
	c.closed = true
	unread := c.rx.buf.len() > 0
	c.rx.buf = byteQueue{}
	c.readBy.timer.disarm()
	c.writeBy.timer.disarm()
	c.changed.Broadcast()
	if c.state == tcpClosed {
		return
	}
	n := c.host.net
	n.at = n.now()
	switch {
	case c.linger == 0 || unread || c.state == tcpSynSent || c.state == tcpSynReceived:
		c.abort()
	case c.state == tcpFinWait2:
		c.alarm.arm(n.at + timeWait)
	default:
		c.finish()
	}
	n.kick()
}

// finish has a FIN follow on what is in the send buffer.
func (c *TCPConn) finish() {
	switch c.state {
	case tcpEstablished:
		c.setState(tcpFinWait1)
	case tcpCloseWait:
		c.setState(tcpLastACK)
	default:
		return
	}
	c.tx.fin = true
	c.touch()
}

// CloseWrite closes the sending side: the peer reads what was written, then [io.EOF].
func (c *TCPConn) CloseWrite() error {
	return c.do("close", func() error {
		if c.state == tcpClosed || c.tx.fin {
			return syscall.ENOTCONN
		}
		c.finish()
		return nil
	})
}

// CloseRead closes the receiving side: what has not been read, and what comes, is lost.
func (c *TCPConn) CloseRead() error {
	return c.do("close", func() error {
		if c.state == tcpClosed {
			return syscall.ENOTCONN
		}
		c.rx.deaf = true
		c.rx.buf = byteQueue{}
		return nil
	})
}

// do runs f under the lock unless c is closed, and wakes who waits.
func (c *TCPConn) do(op string, f func() error) error {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	err := net.ErrClosed
	if !c.closed {
		err = f()
	}
	c.changed.Broadcast()
	if err != nil {
		return c.opError(op, err)
	}
	return nil
}

// SetDeadline sets both deadlines.
func (c *TCPConn) SetDeadline(t time.Time) error {
	return c.do("set", func() error {
		c.readBy.set(t)
		c.writeBy.set(t)
		return nil
	})
}

// SetReadDeadline sets the deadline of Read; the zero time is none.
func (c *TCPConn) SetReadDeadline(t time.Time) error {
	return c.do("set", func() error { c.readBy.set(t); return nil })
}

// SetWriteDeadline sets the deadline of Write; the zero time is none.
func (c *TCPConn) SetWriteDeadline(t time.Time) error {
	return c.do("set", func() error { c.writeBy.set(t); return nil })
}

// SetLinger says what Close does with what was not acknowledged yet: with 0 it is
// forgotten and the peer is told by a reset, otherwise it is sent.
func (c *TCPConn) SetLinger(sec int) error {
	return c.do("set", func() error { c.linger = sec; return nil })
}

// SetNoDelay turns Nagle's algorithm (RFC 9293 §3.7.4) off or on. At first it is off.
func (c *TCPConn) SetNoDelay(noDelay bool) error {
	return c.do("set", func() error {
		c.tx.noDelay = noDelay
		c.touch()
		return nil
	})
}

// SetReadBuffer sets how many bytes may wait to be read, 4 KiB at least. The
// window that the peer knows of does not shrink.
func (c *TCPConn) SetReadBuffer(bytes int) error {
	return c.do("set", func() error { c.rx.limit = clampBuffer(bytes); return nil })
}

// SetWriteBuffer sets how many bytes may wait for their acknowledgement, 4 KiB at
// least.
func (c *TCPConn) SetWriteBuffer(bytes int) error {
	return c.do("set", func() error { c.tx.limit = clampBuffer(bytes); return nil })
}

func clampBuffer(bytes int) int { return min(max(bytes, 4<<10), 64<<20) }

package netsim

import (
	"net"
	"syscall"
	"time"
)

const (
	keepalivePeriod  = 15 * time.Second // as package net has it
	keepaliveRetries = 9                // as package net has it
)

// tcpKeepalive is the keepalive of a connection (RFC 9293 §3.8.4).
type tcpKeepalive struct {
	period     time.Duration
	timer      timer
	heard      time.Duration // when the peer was last heard
	unanswered int           // probes
}

// SetKeepAlive has the connection ask the peer for a sign of life whenever it has not
// heard it for a while, or not. Unlike in package net it does not at first: an idle
// network would then have something to do forever.
func (c *TCPConn) SetKeepAlive(keepalive bool) error {
	return c.do("set", func() error {
		k := &c.alive
		if !keepalive || c.state == tcpClosed {
			k.timer.disarm()
			return nil
		}
		k.heard, k.unanswered = c.host.net.now(), 0
		k.timer.arm(k.heard + k.period)
		c.host.net.kick()
		return nil
	})
}

// SetKeepAlivePeriod sets for how long the peer may be silent before it is asked, and
// how long it has for each of 9 answers; a second at least. At first it is 15 s.
func (c *TCPConn) SetKeepAlivePeriod(d time.Duration) error {
	return c.do("set", func() error {
		k := &c.alive
		k.period = max(d, time.Second)
		if k.timer.armed() {
			k.timer.arm(c.host.net.now() + k.period)
			c.host.net.kick()
		}
		return nil
	})
}

// keepAlive is what the timer of the keepalive does.
func (c *TCPConn) keepAlive() {
	k, now := &c.alive, c.host.net.at
	switch silent := now - k.heard; {
	case silent < k.period && k.unanswered == 0:
		k.timer.arm(k.heard + k.period)
		return
	case k.unanswered >= keepaliveRetries:
		c.send(TCPHeader{Flags: RST | ACK, Seq: c.tx.nxt, Ack: c.rx.nxt}, nil)
		c.end(syscall.ETIMEDOUT)
		return
	}
	if c.tx.nxt == c.tx.una { // else the retransmission timer sees to it
		k.unanswered++
		c.sendACK(TCPHeader{Seq: c.tx.una - 1}, nil)
	}
	k.timer.arm(now + k.period)
}

// hear notes that the peer lives.
func (k *tcpKeepalive) hear(now time.Duration) { k.heard, k.unanswered = now, 0 }

var _ interface { // what *net.TCPConn has and net.Conn has not
	net.Conn
	CloseRead() error
	CloseWrite() error
	SetKeepAlive(bool) error
	SetKeepAlivePeriod(time.Duration) error
	SetLinger(int) error
	SetNoDelay(bool) error
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
} = (*TCPConn)(nil)

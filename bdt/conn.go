package bdt

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/session"
)

// An Addr names one end of a stream: a device and a service.
type Addr struct {
	ID      identity.ID
	Service string
}

// Network returns "bdt".
func (Addr) Network() string { return "bdt" }

// String returns the id and the service, joined by a slash.
func (a Addr) String() string { return a.ID.String() + "/" + a.Service }

// A Conn is a stream to a service of another device. It is a net.Conn whose
// two directions can be closed one by one. All methods may be called
// concurrently.
type Conn struct {
	stream        session.Stream
	local, remote Addr
	device        *identity.Device
	rights        Rights
	caller        Caller
	failure       func(error) error // streams.failure of the session
	leave         func()            // gives back the place of a stream that was accepted; nil: it has none
}

var _ net.Conn = (*Conn)(nil)

// Peer returns the device at the other end, as it described itself in the
// handshake, authenticated by its key.
func (c *Conn) Peer() *identity.Device { return c.device }

// Rights returns what the caller was granted when the stream was accepted. At the
// end that dialled it is AllRights: what the other end granted, it does not say.
func (c *Conn) Rights() Rights { return c.rights }

// Caller returns the peer as a policy of this device sees it now.
func (c *Conn) Caller() Caller { return c.caller }

// Read reads from the stream. After the peer's CloseWrite it returns io.EOF.
// If the peer's policy refuses this device it fails with [ErrDenied], if it
// does not serve what was dialled with [ErrNoService].
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.stream.Read(b)
	return n, c.error("read", err)
}

// Write writes to the stream. It blocks while the peer does not read.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.stream.Write(b)
	return n, c.error("write", err)
}

// CloseWrite says that no more will be written; the peer reads io.EOF after
// the last byte.
func (c *Conn) CloseWrite() error { return c.error("close", c.stream.CloseWrite()) }

// Close closes the stream: what was written is delivered, what was not read is
// refused. A stream that was accepted is to be closed even when both ends are through
// with it: of each service a device may have 1,024.
func (c *Conn) Close() error {
	defer c.left()
	return c.error("close", c.stream.Close())
}

// left says that nothing serves the stream any more.
func (c *Conn) left() {
	if c.leave != nil {
		c.leave()
	}
}

// refuse resets a stream that nobody has accepted.
func (c *Conn) refuse(code uint64) {
	refuse(c.stream, code)
	c.left()
}

// Reset abandons the stream in both directions. The peer's reads and writes
// fail with a [*ResetError] that holds the code.
func (c *Conn) Reset(code uint32) {
	c.stream.CancelRead(uint64(code) + applicationCode)
	c.stream.CancelWrite(uint64(code) + applicationCode)
	c.left()
}

// LocalAddr returns this device and the service.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the peer and the service.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.error("set deadline", c.stream.SetDeadline(t))
}

// SetReadDeadline bounds Read, which then fails with os.ErrDeadlineExceeded.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.error("set deadline", c.stream.SetReadDeadline(t))
}

// SetWriteDeadline bounds Write, which then fails with os.ErrDeadlineExceeded.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.error("set deadline", c.stream.SetWriteDeadline(t))
}

// A ResetError is a stream that was abandoned with [Conn.Reset].
type ResetError struct {
	Code   uint32
	Remote bool // by the peer
}

// Error returns the code.
func (e *ResetError) Error() string {
	if e.Remote {
		return fmt.Sprintf("the peer reset the stream with code %d", e.Code)
	}
	return fmt.Sprintf("the stream was reset with code %d", e.Code)
}

// error names the operation and the peer. io.EOF stays what it is.
func (c *Conn) error(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	var se *session.StreamError
	if errors.As(err, &se) {
		err = streamCause(se)
	} else {
		err = c.failure(err)
	}
	return &OpError{Op: op, Peer: c.remote.ID, Err: err}
}

package session

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// quicStream implements Stream.
type quicStream struct {
	stream *quic.Stream

	// writing is held by Write, and by CloseWrite for the FIN: quic-go's Write
	// and Close must not meet.
	writing sync.Mutex

	mu          sync.Mutex  // makes one of writeClosed's change and the write deadline's
	writeClosed atomic.Bool // by Close or CloseWrite
	closed      atomic.Bool // by Close
}

// longAgo makes what waits return at once.
var longAgo = time.Unix(1, 0)

func (s *quicStream) Read(b []byte) (int, error) {
	n, err := 0, error(net.ErrClosed)
	if !s.closed.Load() {
		n, err = s.stream.Read(b)
	}
	if err != nil && s.closed.Load() {
		return n, net.ErrClosed
	}
	return n, quicError(err)
}

func (s *quicStream) Write(b []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.writeClosed.Load() {
		return 0, net.ErrClosed
	}
	n, err := s.stream.Write(b)
	if err != nil && s.writeClosed.Load() {
		return n, net.ErrClosed
	}
	return n, quicError(err)
}

// CloseWrite interrupts a Write that is waiting; that one returns how much it
// had written.
func (s *quicStream) CloseWrite() error {
	s.mu.Lock()
	again := s.writeClosed.Swap(true)
	if !again {
		s.stream.SetWriteDeadline(longAgo)
	}
	s.mu.Unlock()
	if again {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.stream.Close() // fails only on a stream that was reset, and so is closed
	return nil
}

func (s *quicStream) Close() error {
	s.closed.Store(true)
	s.stream.CancelRead(0)
	return s.CloseWrite()
}

func (s *quicStream) CancelRead(code uint64) {
	s.stream.CancelRead(quic.StreamErrorCode(min(code, MaxCode)))
}

func (s *quicStream) CancelWrite(code uint64) {
	s.stream.CancelWrite(quic.StreamErrorCode(min(code, MaxCode)))
}

func (s *quicStream) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	if err := s.SetWriteDeadline(t); err != nil && s.closed.Load() {
		return err
	}
	return nil // after CloseWrite there is no write to limit
}

func (s *quicStream) SetReadDeadline(t time.Time) error {
	if s.closed.Load() {
		return net.ErrClosed
	}
	return s.stream.SetReadDeadline(t)
}

func (s *quicStream) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writeClosed.Load() {
		return net.ErrClosed // and CloseWrite's own deadline stays
	}
	return s.stream.SetWriteDeadline(t)
}

func (s *quicStream) ID() uint64 { return uint64(s.stream.StreamID()) }

func (s *quicStream) Context() context.Context { return quicContext{s.stream.Context()} }

func (s *quicStream) LocalAddr() net.Addr  { return streamAddr{} }
func (s *quicStream) RemoteAddr() net.Addr { return streamAddr{} }

// quicContext hides the cause of a context of quic-go's, which would be an
// error of quic-go's.
type quicContext struct{ context.Context }

func (quicContext) Value(any) any { return nil }

// AfterFunc lets package context make children without a goroutine each.
func (c quicContext) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(c.Context, f)
}

// streamAddr stands where the layer above puts device ids.
type streamAddr struct{}

func (streamAddr) Network() string { return "bdt" }
func (streamAddr) String() string  { return "session" }

package bdt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/session"
)

// A DatagramConn is a flow of datagrams with a service of another device:
// unreliable, unordered, whole or not at all, none delivered twice. It belongs to a stream,
// which carries the service's name and ends with it (docs/spec/datagram.md). All
// methods may be called concurrently.
type DatagramConn struct {
	conn    *Conn // its stream
	flows   *flows
	id      uint64
	prefix  []byte // the id, as it precedes each datagram
	dropped atomic.Uint64
	ready   chan struct{} // takes one: there may be a datagram
	done    chan struct{} // closed when the flow has ended

	// Of flows.mu.
	queue [][]byte
	cause error // why it has ended; io.EOF: the peer closed it
}

// DialDatagrams opens a flow of datagrams to a service of a device, or of an owner,
// as [Stack.Dial] does a stream: it does not wait for the peer's consent, and a
// refusal shows in Receive and Send. Datagrams may be sent at once.
func (s *Stack) DialDatagrams(ctx context.Context, id identity.ID, service string) (*DatagramConn, error) {
	if err := checkService(service); err != nil {
		return nil, &OpError{Op: "dial", Peer: id, Err: err}
	}
	ss, err := s.session(ctx, id)
	if err != nil {
		return nil, &OpError{Op: "dial", Peer: id, Err: err}
	}
	if ss.session.MaxDatagramSize() == 0 {
		return nil, &OpError{Op: "dial", Peer: id, Err: ErrNoDatagrams}
	}
	stream, err := ss.session.OpenStream(ctx)
	if err != nil {
		return nil, &OpError{Op: "dial", Peer: id, Err: ss.failure(err)}
	}
	c := s.newFlow(ss, stream, service, AllRights)
	ss.flows.add(c, false)
	s.receiveDatagrams(ss)
	if _, err := stream.Write(appendHeader(nil, formFlow, service)); err != nil {
		c.end(ErrClosed)
		refuse(stream, codeClosed)
		return nil, &OpError{Op: "dial", Peer: id, Err: ss.failure(err)}
	}
	c.watch()
	return c, nil
}

// newFlow makes the embedder's view of a flow.
func (s *Stack) newFlow(ss *streams, stream session.Stream, service string, rights Rights) *DatagramConn {
	return &DatagramConn{
		conn:   s.newConn(ss, stream, service, rights),
		flows:  &ss.flows,
		id:     stream.ID(),
		prefix: appendFlowID(nil, stream.ID()),
		ready:  make(chan struct{}, 1),
		done:   make(chan struct{}),
	}
}

// watch has the flow end with its stream. What it starts waits for nothing.
func (c *DatagramConn) watch() {
	context.AfterFunc(c.conn.stream.Context(), func() {
		_, err := c.conn.stream.Write([]byte{0}) // says why nothing can be written
		cause := error(io.EOF)
		if e, ok := errors.AsType[*session.StreamError](err); ok && e.Code != codeClosed {
			cause = streamCause(e)
		} else if !ok && err != nil {
			cause = c.conn.failure(err)
		}
		c.end(cause)
		c.conn.stream.Close()
	})
}

// end ends the flow once. It reports whether it had not ended. What has come and
// was not received goes with ErrClosed, whoever ended the flow before: it takes room
// from the session's other flows.
func (c *DatagramConn) end(cause error) bool {
	f := c.flows
	f.mu.Lock()
	defer f.mu.Unlock()
	if cause == ErrClosed {
		f.clearLocked(c)
	}
	if c.cause != nil {
		return false
	}
	c.cause = cause
	f.removeLocked(c)
	close(c.done)
	return true
}

// Send sends a datagram of at most [DatagramConn.MaxSize] bytes, and does not keep b. It waits while
// congestion control holds back those before it. That it was sent says nothing of
// its arrival.
func (c *DatagramConn) Send(b []byte) error {
	select {
	case <-c.done:
		return c.error("send", c.ended(errPeerClosed))
	default:
	}
	if limit := c.MaxSize(); len(b) > limit {
		return c.error("send", fmt.Errorf("datagram of %d bytes, at most %d: %w", len(b), limit, ErrTooLong))
	}
	b = append(append(make([]byte, 0, len(c.prefix)+len(b)), c.prefix...), b...)
	if err := c.flows.session.SendDatagram(b); err != nil {
		return c.error("send", c.conn.failure(err))
	}
	return nil
}

// Receive returns the next datagram, which is the caller's. 128 wait at most; when
// more arrive the oldest are dropped. When the peer has closed the flow, or refused it,
// and none is left, the error is io.EOF, or says why.
func (c *DatagramConn) Receive(ctx context.Context) ([]byte, error) {
	for {
		if b := c.flows.take(c); b != nil {
			return b, nil
		}
		select {
		case <-c.ready:
		case <-c.done:
			if b := c.flows.take(c); b != nil {
				return b, nil
			}
			return nil, c.error("receive", c.ended(io.EOF))
		case <-ctx.Done():
			return nil, c.error("receive", ctx.Err())
		}
	}
}

// ended returns why the flow has ended; atEnd if the peer closed it.
func (c *DatagramConn) ended(atEnd error) error {
	c.flows.mu.Lock()
	defer c.flows.mu.Unlock()
	if c.cause == io.EOF {
		return atEnd
	}
	return c.cause
}

// error names the operation and the peer. io.EOF stays what it is.
func (c *DatagramConn) error(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &OpError{Op: op, Peer: c.conn.remote.ID, Err: err}
}

// MaxSize is the most bytes that Send takes. With the engine quic it is about 1,160, and does not change.
func (c *DatagramConn) MaxSize() int {
	return max(c.flows.session.MaxDatagramSize()-len(c.prefix), 0)
}

// Dropped counts the datagrams that arrived and found no room.
func (c *DatagramConn) Dropped() uint64 { return c.dropped.Load() }

// Close ends the flow at both ends. Datagrams under way may be lost.
func (c *DatagramConn) Close() error {
	if c.end(ErrClosed) {
		c.conn.stream.Close()
	}
	return nil
}

// Peer returns the device at the other end; see [Conn.Peer].
func (c *DatagramConn) Peer() *identity.Device { return c.conn.device }

// Caller returns the peer as a policy of this device sees it now.
func (c *DatagramConn) Caller() Caller { return c.conn.caller }

// Rights returns what the caller was granted; see [Conn.Rights].
func (c *DatagramConn) Rights() Rights { return c.conn.rights }

// LocalAddr returns this device and the service.
func (c *DatagramConn) LocalAddr() net.Addr { return c.conn.local }

// RemoteAddr returns the peer and the service.
func (c *DatagramConn) RemoteAddr() net.Addr { return c.conn.remote }

// A DatagramListener accepts the flows of datagrams of one service.
type DatagramListener struct {
	stack   *Stack
	service string
	access  Access
	conns   chan *DatagramConn
	done    chan struct{}
	close   sync.Once
}

// ListenDatagrams serves flows of datagrams to those whom access admits; nil means
// [OwnZone]. A service of the same name for streams has nothing to do with it.
func (s *Stack) ListenDatagrams(service string, access Access) (*DatagramListener, error) {
	if err := checkService(service); err != nil {
		return nil, &OpError{Op: "listen", Err: err}
	}
	l := &DatagramListener{
		stack:   s,
		service: service,
		access:  access,
		conns:   make(chan *DatagramConn, backlog),
		done:    make(chan struct{}),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, &OpError{Op: "listen", Err: ErrClosed}
	case s.datagrams[service] != nil:
		return nil, &OpError{Op: "listen", Err: ErrServiceInUse}
	}
	s.datagrams[service] = l
	return l, nil
}

// Accept returns the next flow.
func (l *DatagramListener) Accept(ctx context.Context) (*DatagramConn, error) {
	select {
	case <-l.done:
		return nil, &OpError{Op: "accept", Err: ErrClosed}
	default:
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, &OpError{Op: "accept", Err: ErrClosed}
	case <-ctx.Done():
		return nil, &OpError{Op: "accept", Err: ctx.Err()}
	}
}

// Addr returns this device and the service.
func (l *DatagramListener) Addr() net.Addr { return Addr{l.stack.ID(), l.service} }

// Close stops accepting. Flows that wait for Accept are refused; accepted ones
// live on.
func (l *DatagramListener) Close() error {
	l.close.Do(func() {
		l.stack.mu.Lock()
		delete(l.stack.datagrams, l.service)
		l.stack.mu.Unlock()
		close(l.done)
		l.drain()
	})
	return nil
}

// drain refuses the flows that wait for Accept.
func (l *DatagramListener) drain() {
	for {
		select {
		case c := <-l.conns:
			c.refuse(codeNoService)
		default:
			return
		}
	}
}

// refuse ends a flow that nobody has accepted.
func (c *DatagramConn) refuse(code uint64) {
	c.end(ErrClosed)
	refuse(c.conn.stream, code)
}

// offer queues a flow for Accept, or refuses it.
func (l *DatagramListener) offer(c *DatagramConn) {
	select {
	case l.conns <- c:
	default:
		c.refuse(codeBusy)
		return
	}
	select {
	case <-l.done:
		l.drain() // a Close may have drained before the flow was in it
	default:
	}
}

// serveFlow hands a flow that the peer opens to its listener.
func (s *Stack) serveFlow(ss *streams, stream session.Stream, service string) {
	s.mu.Lock()
	l := s.datagrams[service]
	s.mu.Unlock()
	caller := s.callerOf(ss)
	if l == nil {
		refuse(stream, caller.noService())
		return
	}
	rights := l.access.grant(caller)
	if rights == 0 {
		refuse(stream, caller.denied())
		return
	}
	c := s.newFlow(ss, stream, service, rights)
	if !ss.flows.add(c, true) {
		refuse(stream, codeBusy)
		return
	}
	s.receiveDatagrams(ss)
	c.watch()
	l.offer(c)
}

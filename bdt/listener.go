package bdt

import (
	"cmp"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/session"
)

const (
	// backlog is how many streams of one service wait for Accept.
	backlog = 128
	// headerTimeout bounds the time from a stream's first byte to its header's
	// last.
	headerTimeout = 10 * time.Second
	// maxStreams is how many streams of one service a session may have that were let in
	// and not closed: what serves one, as net/http does, holds some 20 KB.
	maxStreams = 1024
	// maxHeaders is how many streams of one session may be without their header:
	// each holds a goroutine.
	maxHeaders = 256
)

// A Listener accepts the streams of one service. It is a net.Listener.
type Listener struct {
	stack   *Stack
	service string
	access  Access
	conns   chan *Conn
	done    chan struct{}
	close   sync.Once
}

var _ net.Listener = (*Listener)(nil)

// Listen serves a service to those whom access admits; nil means [OwnZone].
// There is one listener for each service.
func (s *Stack) Listen(service string, access Access) (*Listener, error) {
	if err := checkService(service); err != nil {
		return nil, &OpError{Op: "listen", Err: err}
	}
	l := &Listener{
		stack:   s,
		service: service,
		access:  access,
		conns:   make(chan *Conn, backlog),
		done:    make(chan struct{}),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, &OpError{Op: "listen", Err: ErrClosed}
	case s.listeners[service] != nil:
		return nil, &OpError{Op: "listen", Err: ErrServiceInUse}
	}
	s.listeners[service] = l
	return l, nil
}

// Accept returns the next stream. Its dynamic type is *[Conn].
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptConn(context.Background())
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptConn is Accept with a context and the concrete type.
func (l *Listener) AcceptConn(ctx context.Context) (*Conn, error) {
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

// Close stops accepting. Streams that wait for Accept are refused; accepted
// ones live on.
func (l *Listener) Close() error {
	l.close.Do(func() {
		l.stack.mu.Lock()
		delete(l.stack.listeners, l.service)
		l.stack.mu.Unlock()
		close(l.done)
		for {
			select {
			case c := <-l.conns:
				c.refuse(codeNoService)
			default:
				return
			}
		}
	})
	return nil
}

// Addr returns this device and the service.
func (l *Listener) Addr() net.Addr { return Addr{l.stack.ID(), l.service} }

// serveStreams takes the streams that the peer opens, until the session ends.
func (s *Stack) serveStreams(ss *streams) {
	headers := make(chan struct{}, maxHeaders)
	for {
		stream, err := ss.session.AcceptStream(s.ctx)
		if err != nil {
			return
		}
		select {
		case headers <- struct{}{}:
			s.workers.Go(func() {
				defer func() { <-headers }()
				s.serveStream(ss, stream)
			})
		default:
			refuse(stream, codeBusy)
		}
	}
}

// serveStream reads a stream's header and hands the stream to its listener.
func (s *Stack) serveStream(ss *streams, stream session.Stream) {
	stream.SetReadDeadline(time.Now().Add(headerTimeout))
	form, service, err := readHeader(stream)
	if err != nil {
		refuse(stream, codeMalformed)
		return
	}
	stream.SetReadDeadline(time.Time{})
	switch form {
	case formCall:
		s.serveCall(ss, stream, service)
		return
	case formFlow:
		s.serveFlow(ss, stream, service)
		return
	}

	s.mu.Lock()
	l := s.listeners[service]
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
	if !ss.enter(service) {
		refuse(stream, codeBusy)
		return
	}
	c := s.newConn(ss, stream, service, rights)
	c.leave = sync.OnceFunc(func() { ss.leave(service) })
	l.offer(c)
}

// denied returns the reset code of a denial, when it is time for it.
func (c Caller) denied() uint64 {
	c.settle()
	return codeDenied
}

// noService returns the reset code that tells a caller that there is no such
// service, if it may know which there are; for others it is a denial like any.
func (c Caller) noService() uint64 {
	if c.InOwnZone() {
		return codeNoService
	}
	return c.denied()
}

// offer queues a stream for Accept, or refuses it.
func (l *Listener) offer(c *Conn) {
	select {
	case <-l.done:
		c.refuse(codeNoService)
		return
	default:
	}
	select {
	case l.conns <- c:
	default:
		c.refuse(codeBusy)
		return
	}
	// A Close that emptied the queue before the stream was in it.
	select {
	case <-l.done:
		c.refuse(codeNoService)
	default:
	}
}

// A streams is a session and whose it is, as its streams know it.
type streams struct {
	session session.Session
	flows   flows
	device  *identity.Device
	relied  atomic.Pointer[identity.People] // by what a policy has let the device in as a member of its owner's zone; nil: none has

	mu    sync.Mutex
	open  map[string]int // streams of a service that were let in and not closed; at most maxStreams each
	cause error          // why the session ended
}

// enter takes a place for a stream that the peer opens to a service. It reports false
// if there is none.
func (ss *streams) enter(service string) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.open[service] >= maxStreams {
		return false
	}
	if ss.open == nil {
		ss.open = make(map[string]int)
	}
	ss.open[service]++
	return true
}

func (ss *streams) leave(service string) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.open[service]--; ss.open[service] == 0 {
		delete(ss.open, service)
	}
}

// ended returns why the session ended, nil if it has not.
func (ss *streams) ended() error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.cause == nil && ss.session.Err() != nil {
		return sessionCause(ss.session.Err())
	}
	return ss.cause
}

// failure returns why an operation on the session, or on a stream of it, failed with
// err: why the session has ended, if it has, or else what err says. What is waiting
// hears of the session's end before the session says that it has ended.
func (ss *streams) failure(err error) error {
	return cmp.Or(ss.ended(), sessionCause(err))
}

func (ss *streams) end(cause error) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.cause == nil {
		ss.cause = sessionCause(cause)
	}
}

package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

const (
	// StrangerRate is what all streams of one stranger get together, each
	// direction counted, in bytes a second: 100 Mbit/s (spec §3).
	StrangerRate = 100_000_000 / 8
	// strangerBurst is 10 ms of it.
	strangerBurst = StrangerRate / 100
	// idleTimeout is how long a stream may do nothing.
	idleTimeout = 10 * time.Second
	// codeRefused resets a stream that asks for what is not served, or stalls.
	codeRefused = 1
)

// A Server answers the streams of the service.
type Server struct {
	// Trusted reports whether a caller is not limited. nil: none is.
	Trusted func(bdt.Caller) bool

	mu     sync.Mutex
	limits map[identity.ID]*rate.Limiter // of strangers that were heard lately
}

// Serve answers the streams of a listener, until that is closed or ctx ends.
// It waits for the streams.
func (s *Server) Serve(ctx context.Context, ln *bdt.Listener) error {
	var streams sync.WaitGroup
	defer streams.Wait()
	for {
		c, err := ln.AcceptConn(ctx)
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		}
		var limit *rate.Limiter
		if s.Trusted == nil || !s.Trusted(c.Caller()) {
			limit = s.limit(c.Peer().ID())
		}
		streams.Go(func() { answer(ctx, c, limit) })
	}
}

// limit returns the limiter of a stranger. One that is full again allows what
// a fresh one does, so those are dropped.
func (s *Server) limit(id identity.ID) *rate.Limiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.limits[id]; l != nil {
		return l
	}
	for id, l := range s.limits {
		if l.Tokens() >= strangerBurst {
			delete(s.limits, id)
		}
	}
	if s.limits == nil {
		s.limits = make(map[identity.ID]*rate.Limiter)
	}
	l := rate.NewLimiter(StrangerRate, strangerBurst)
	s.limits[id] = l
	return l
}

// answer does what one stream asks for. limit is nil for a trusted device.
func answer(ctx context.Context, c stream, limit *rate.Limiter) {
	stop := context.AfterFunc(ctx, func() { c.Reset(codeRefused) })
	defer stop()
	defer c.Close()
	c.SetDeadline(time.Now().Add(idleTimeout))
	h, err := readHeader(c)
	if err == nil {
		l := &limited{ctx: ctx, stream: c, limit: limit}
		switch h.op {
		case opSink:
			err = sink(l)
		case opSource:
			err = source(l, time.Duration(h.argument)*time.Millisecond)
		case opAnswer:
			err = echo(l, int64(h.argument))
		}
	}
	if err != nil {
		c.Reset(codeRefused)
	}
}

// sink counts what it reads until its end, and writes the count.
func sink(c *limited) error {
	end := time.Now().Add(MaxDuration + idleTimeout)
	var count atomic.Int64
	if _, err := io.CopyBuffer(counter{&count}, until{c, end}, make([]byte, blockSize)); err != nil {
		return err
	}
	if _, err := c.Write(binary.BigEndian.AppendUint64(nil, uint64(count.Load()))); err != nil {
		return err
	}
	return c.stream.CloseWrite()
}

// source writes for a while.
func source(c *limited, d time.Duration) error {
	block := make([]byte, blockSize)
	for end := time.Now().Add(d); time.Now().Before(end); {
		if _, err := c.Write(block); err != nil {
			return err
		}
	}
	return c.stream.CloseWrite()
}

// echo returns n bytes.
func echo(c *limited, n int64) error {
	if _, err := io.CopyN(c, c, n); err != nil {
		return err
	}
	return c.stream.CloseWrite()
}

// until ends in an error at a time.
type until struct {
	io.Reader
	end time.Time
}

// Read fails after the end.
func (u until) Read(b []byte) (int, error) {
	if time.Now().After(u.end) {
		return 0, context.DeadlineExceeded
	}
	return u.Reader.Read(b)
}

// limited is a stream whose bytes take tokens, and which may not stand still.
type limited struct {
	ctx    context.Context
	stream stream
	limit  *rate.Limiter // nil: no limit
}

// Read reads, and waits until what it read was allowed: the peer is held back
// by flow control.
func (l *limited) Read(b []byte) (int, error) {
	l.stream.SetReadDeadline(time.Now().Add(idleTimeout))
	n, err := l.stream.Read(b)
	if wait := l.wait(n); wait != nil {
		return n, wait
	}
	return n, err
}

// Write waits until b is allowed, and writes it.
func (l *limited) Write(b []byte) (int, error) {
	if err := l.wait(len(b)); err != nil {
		return 0, err
	}
	l.stream.SetWriteDeadline(time.Now().Add(idleTimeout))
	return l.stream.Write(b)
}

// wait takes n tokens, at most a burst at a time.
func (l *limited) wait(n int) error {
	if l.limit == nil {
		return nil
	}
	for n > 0 {
		take := min(n, strangerBurst)
		if err := l.limit.WaitN(l.ctx, take); err != nil {
			return err
		}
		n -= take
	}
	return nil
}

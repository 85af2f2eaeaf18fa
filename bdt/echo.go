package bdt

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// EchoService is the name of the built-in service that returns what it reads.
const EchoService = "echo"

// errEcho: the answer to a ping is not what was sent.
var errEcho = errors.New("the answer is not what was sent")

// ServeEcho serves the built-in service echo to everyone, until the stack or
// the returned listener is closed.
func (s *Stack) ServeEcho() (*Listener, error) {
	l, err := s.Listen(EchoService, Everyone)
	if err != nil {
		return nil, err
	}
	s.workers.Go(func() {
		for {
			c, err := l.AcceptConn(s.ctx)
			if err != nil {
				return
			}
			s.workers.Go(func() {
				defer c.Close()
				if _, err := io.Copy(c, c); err == nil {
					c.CloseWrite()
				}
			})
		}
	})
	return l, nil
}

// Ping opens a stream to a device's echo service and returns how long 8 bytes
// took there and back. The first Ping of a device takes as long as a Dial.
func (s *Stack) Ping(ctx context.Context, id identity.ID) (time.Duration, error) {
	start := time.Now()
	c, err := s.Dial(ctx, id, EchoService)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Reset(0) })
	defer stop()
	var question, answer [8]byte
	rand.Read(question[:])
	_, err = c.Write(question[:])
	if err == nil {
		_, err = io.ReadFull(c, answer[:])
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return 0, &OpError{Op: "ping", Peer: id, Err: ctx.Err()}
	case err != nil:
		return 0, err
	case question != answer:
		return 0, &OpError{Op: "ping", Peer: id, Err: errEcho}
	}
	return time.Since(start), nil
}

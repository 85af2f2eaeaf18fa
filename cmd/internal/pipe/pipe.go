// Package pipe is two streams that are one: what comes out of either goes into the
// other, and each direction ends on its own.
package pipe

import (
	"context"
	"io"
	"net"
	"sync"
)

// A Stream is a connection whose directions can be closed one by one.
type Stream interface {
	net.Conn
	CloseWrite() error
}

// Join joins two streams until both directions are over, or ctx is, and closes them.
// It returns what went wrong first, unless it was ctx.
func Join(ctx context.Context, a, b Stream) error {
	stop := context.AfterFunc(ctx, func() {
		Abandon(a)
		Abandon(b)
	})
	defer stop()
	var ways sync.WaitGroup
	var once sync.Once
	var err error
	way := func(to, from Stream) {
		if e := move(to, from); e != nil {
			// The other way fails of this. Half of what was said must not look like
			// the whole.
			once.Do(func() {
				err = e
				Abandon(a)
				Abandon(b)
			})
		}
	}
	ways.Go(func() { way(a, b) })
	way(b, a)
	ways.Wait()
	a.Close()
	b.Close()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// move copies to its end, and passes that on.
func move(to, from Stream) error {
	_, err := io.Copy(writer{to}, from)
	if err == nil {
		err = to.CloseWrite()
	}
	return err
}

// writer hides that a connection can read from another by itself, which for some of
// them ends in the wrong error.
type writer struct{ io.Writer }

// Abandon breaks a stream off, so that its other end sees that something is missing.
func Abandon(s Stream) {
	switch s := s.(type) {
	case interface{ Reset(uint32) }:
		s.Reset(0)
	case *net.TCPConn:
		s.SetLinger(0)
		s.Close()
	default:
		s.Close()
	}
}

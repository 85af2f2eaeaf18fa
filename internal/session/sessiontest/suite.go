package sessiontest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/bdtnet/bdt/internal/session"
)

// NewPair opens a session over n, whose packets or bytes take n's path, and
// has it cleaned up when t is done. Engines over byte streams may ignore n's
// losses, which they are not tested with.
type NewPair func(t testing.TB, n *Network) (client, server session.Session)

// clean is the network of tests that need no other.
var clean = Conditions{Delay: 10 * time.Millisecond}

// Run tests the sessions that newPair makes, which have the capabilities c.
func Run(t *testing.T, c session.Capabilities, newPair NewPair) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Streams", streamTests},
		{"Deadlines", deadlineTests},
		{"Datagrams", datagramTests},
		{"Sessions", sessionTests},
		{"Bulk", bulkTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, tt := range group.tests {
				if tt.needs == nil || tt.needs(c) {
					t.Run(tt.name, func(t *testing.T) { tt.run(t, c, newPair) })
				}
			}
		})
	}
	t.Run("Conn", func(t *testing.T) { nettest.TestConn(t, connPipe(t, newPair)) })
}

// A test is run in a bubble of its own, on a fresh session.
type test struct {
	name  string
	needs func(session.Capabilities) bool // nil: nothing
	conds Conditions                      // zero: clean
	f     func(e *env)
}

func (tt test) run(t *testing.T, c session.Capabilities, newPair NewPair) {
	conds := tt.conds
	if conds == (Conditions{}) {
		conds = clean
	}
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(t, conds)
		client, server := newPair(t, n)
		tt.f(&env{T: t, net: n, caps: c, client: client, server: server})
	})
}

// An env is what a test works with.
type env struct {
	*testing.T
	net            *Network
	caps           session.Capabilities
	client, server session.Session
}

// context returns one that ends when the test should have.
func (e *env) context() context.Context {
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	e.Cleanup(cancel)
	return ctx
}

// streams returns both ends of a new stream that a opened.
func (e *env) streams(a, b session.Session) (near, far session.Stream) {
	e.Helper()
	near, far, err := streamPair(e.context(), a, b)
	if err != nil {
		e.Fatal(err)
	}
	return near, far
}

func streamPair(ctx context.Context, a, b session.Session) (near, far session.Stream, err error) {
	if near, err = a.OpenStream(ctx); err != nil {
		return nil, nil, err
	}
	if _, err = near.Write([]byte{0}); err != nil {
		return nil, nil, err
	}
	if far, err = b.AcceptStream(ctx); err != nil {
		return nil, nil, err
	}
	_, err = io.ReadFull(far, make([]byte, 1))
	return near, far, err
}

// send writes b to from and wants it read from to.
func (e *env) send(from, to session.Stream, b string) {
	e.Helper()
	written := e.start(func() error {
		_, err := io.WriteString(from, b)
		return err
	})
	got := make([]byte, len(b))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != b {
		e.Fatalf("read %d bytes, %v; want the %d sent", len(got), err, len(b))
	}
	e.want(<-written, nil)
}

// alive wants a new stream to work.
func (e *env) alive() {
	e.Helper()
	near, far := e.streams(e.client, e.server)
	e.send(near, far, "still here")
	e.send(far, near, "and here")
	near.Close()
	far.Close()
}

// start runs f beside the test.
func (e *env) start(f func() error) <-chan error {
	c := make(chan error, 1)
	go func() { c <- f() }()
	return c
}

// want checks that err is want, as errors.Is has it.
func (e *env) want(err, want error) {
	e.Helper()
	if !errors.Is(err, want) {
		e.Fatalf("error is %v, want %v", err, want)
	}
}

func (e *env) wantReset(err error, code uint64, remote bool) {
	e.Helper()
	got, ok := errors.AsType[*session.StreamError](err)
	if !ok || got.Code != code || got.Remote != remote {
		e.Fatalf("error is %v, want a StreamError with code %d, remote %t", err, code, remote)
	}
}

func (e *env) wantClose(err error, code uint64, reason string, remote bool) {
	e.Helper()
	got, ok := errors.AsType[*session.CloseError](err)
	if !ok || got.Code != code || got.Reason != reason || got.Remote != remote {
		e.Fatalf("error is %v, want a CloseError with code %d, reason %q, remote %t", err, code, reason, remote)
	}
	if errors.Is(err, net.ErrClosed) == remote {
		e.Fatalf("%v matches net.ErrClosed: %t", err, !remote)
	}
}

func (e *env) wantTimeout(err error) {
	e.Helper()
	var ne net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
		e.Fatalf("error is %v, want os.ErrDeadlineExceeded that is a timeout", err)
	}
}

// writeUntilError writes to st until that fails, and returns how much went.
func writeUntilError(st session.Stream) (int, error) {
	b := bytes.Repeat([]byte{'x'}, 8192)
	total := 0
	for {
		n, err := st.Write(b)
		if total += n; err != nil {
			return total, err
		}
	}
}

// connPipe makes pipes for nettest, in real time: its tests run subtests,
// which a bubble cannot.
func connPipe(t *testing.T, newPair NewPair) nettest.MakePipe {
	client, server := newPair(t, NewNetwork(t, Conditions{}))
	return func() (c1, c2 net.Conn, stop func(), err error) {
		near, far, err := streamPair(t.Context(), client, server)
		if err != nil {
			return nil, nil, nil, err
		}
		return near, far, func() { near.Close(); far.Close() }, nil
	}
}

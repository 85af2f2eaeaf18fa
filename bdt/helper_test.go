package bdt_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

var lastAddr atomic.Uint32

// freshAddr returns an address that no host has had, of 198.51.100.16 to .250.
func freshAddr() string { return fmt.Sprintf("198.51.100.%d", 16+lastAddr.Add(1)%235) }

// pair opens two stacks on public hosts, 5 ms from the core.
func pair(w *world, change ...func(*bdt.Config)) (alice, bob *bdt.Stack) {
	const delay = 5 * time.Millisecond
	alice = w.open("alice", w.public("alice", delay, "203.0.113.11"), change...)
	bob = w.open("bob", w.public("bob", delay, "203.0.113.12"), change...)
	return alice, bob
}

// closeAll closes stacks and checks that each let go of what it held.
func closeAll(t testing.TB, stacks ...*bdt.Stack) {
	t.Helper()
	for _, s := range stacks {
		s.Close()
		if n := s.Indices(); n != 0 {
			t.Errorf("%d receiver indices in use after Close", n)
		}
		if _, sessions, _ := s.Table(); sessions != 0 {
			t.Errorf("%d sessions after Close", sessions)
		}
	}
}

// connect dials a service that l serves, and accepts: the two ends of a stream.
// The caller's first byte, which it takes to show the stream, is read.
func connect(t testing.TB, s *bdt.Stack, l *bdt.Listener) (dialled, accepted *bdt.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	addr := l.Addr().(bdt.Addr)
	dialled, err := s.Dial(ctx, addr.ID, addr.Service)
	if err != nil {
		t.Fatal(err)
	}
	accepted, err = l.AcceptConn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return dialled, accepted
}

// listen serves a service to everyone.
func listen(t testing.TB, s *bdt.Stack, service string) *bdt.Listener {
	t.Helper()
	return listenFor(t, s, service, bdt.Everyone)
}

// listenFor serves a service to those whom access admits.
func listenFor(t testing.TB, s *bdt.Stack, service string, access bdt.Access) *bdt.Listener {
	t.Helper()
	l, err := s.Listen(service, access)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// elapsed returns how long f takes.
func elapsed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// readByte reads one byte, or returns why there is none.
func readByte(c net.Conn) error {
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

// acquaintAt tells a stack where a device is.
func acquaintAt(t testing.TB, s *bdt.Stack, id idT, at netip.AddrPort) {
	t.Helper()
	if err := s.Learn(identity.Ticket{ID: id, Endpoints: []netip.AddrPort{at}}); err != nil {
		t.Fatal(err)
	}
}

// some returns the first and the last of many cases in short mode: under the race
// detector virtual hours take real minutes.
func some[T any](cases ...T) []T {
	if testing.Short() && len(cases) > 2 {
		return []T{cases[0], cases[len(cases)-1]}
	}
	return cases
}

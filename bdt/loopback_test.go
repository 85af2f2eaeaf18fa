package bdt_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

// openLoopback opens a stack on a real socket.
func openLoopback(t testing.TB, change ...func(*bdt.Config)) *bdt.Stack {
	t.Helper()
	cfg := bdt.Config{Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Logger: testLogger("loopback")}
	for _, f := range change {
		f(&cfg)
	}
	s, err := bdt.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// acquaint tells a stack where another is.
func acquaint(t testing.TB, s, other *bdt.Stack) {
	t.Helper()
	if err := s.Learn(identity.Ticket{ID: other.ID(), Endpoints: other.LocalAddrs()}); err != nil {
		t.Fatal(err)
	}
}

// loopbackPair opens two stacks on real sockets that know of each other. They
// end with the test.
func loopbackPair(t testing.TB) (alice, bob *bdt.Stack) {
	alice, bob = openLoopback(t), openLoopback(t)
	t.Cleanup(func() { closeAll(t, alice, bob) })
	acquaint(t, alice, bob)
	acquaint(t, bob, alice)
	return alice, bob
}

// Many devices dial many others at once, each of which dials back, over real
// sockets; some are closed meanwhile. Those that stay serve all who stay.
func TestManyDialMany(t *testing.T) {
	const n, leaving, calls = 8, 2, 4
	stacks := make([]*bdt.Stack, n)
	for i := range stacks {
		stacks[i] = openLoopback(t)
		stacks[i].ServeEcho()
	}
	defer closeAll(t, stacks...)
	for _, s := range stacks {
		for _, other := range stacks {
			if s != other {
				acquaint(t, s, other)
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for i, s := range stacks {
		for j, other := range stacks {
			if s == other {
				continue
			}
			for range calls {
				wg.Go(func() {
					// Calls that a Close cuts off fail, one way or another.
					limit, stays := ctx, i >= leaving && j >= leaving
					if !stays {
						short, cancel := context.WithTimeout(ctx, time.Second)
						defer cancel()
						limit = short
					}
					if err := echo(limit, s, other.ID(), 10_000); err != nil && stays {
						t.Errorf("%d to %d: %v", i, j, err)
					}
				})
			}
		}
	}
	for _, s := range stacks[:leaving] {
		wg.Go(func() {
			time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
			s.Close()
		})
	}
	wg.Wait()
	for _, s := range stacks[leaving:] {
		if peers, sessions, _ := s.Table(); peers > n-1 || sessions > n-1 {
			t.Errorf("%d peers and %d sessions, of %d devices", peers, sessions, n)
		}
	}
}

// echo sends n bytes to a device's echo service and checks the answer.
func echo(ctx context.Context, s *bdt.Stack, id identity.ID, n int) error {
	c, err := s.Dial(ctx, id, bdt.EchoService)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Reset(1) })
	defer stop()
	want := make([]byte, n)
	io.ReadFull(pattern(uint64(n)), want)
	go func() {
		c.Write(want)
		c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err == nil && !bytes.Equal(got, want) {
		return io.ErrUnexpectedEOF
	}
	return err
}

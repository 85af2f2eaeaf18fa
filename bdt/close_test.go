package bdt_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
)

// Close comes at every moment of a dial and of a transfer, at either end and at
// both. Whatever waits returns, and nothing is left.
func TestCloseAtAnyMoment(t *testing.T) {
	const rounds = 100
	for i := range rounds {
		inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
			alice := w.open("alice", w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.1"))
			bob := w.open("bob", w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2"))
			bob.ServeEcho()
			alice.ServeEcho()
			if i&1 != 0 {
				alice.Learn(identity.Ticket{ID: bob.ID(), Device: bob.Device()})
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			for _, d := range []struct{ from, to *bdt.Stack }{{alice, bob}, {bob, alice}} {
				wg.Go(func() { // fails or not; it is to return
					_ = echo(ctx, d.from, d.to.ID(), 500_000)
				})
			}
			l := listen(t, alice, "idle")
			wg.Go(func() {
				if _, err := l.Accept(); err == nil {
					t.Error("accepted something")
				}
			})
			moment := time.Duration(i) * 4 * time.Millisecond
			if i%3 != 0 {
				wg.Go(func() { time.Sleep(moment); alice.Close() })
			}
			if i%3 != 1 {
				wg.Go(func() { time.Sleep(moment); bob.Close() })
			}
			if i%3 == 0 {
				wg.Go(func() { time.Sleep(time.Minute); alice.Close() })
			}
			start := time.Now()
			wg.Wait()
			if took := time.Since(start); took > time.Minute {
				t.Errorf("round %d: all returned after %v", i, took)
			}
			closeAll(t, alice, bob)
		})
		if t.Failed() {
			t.Fatalf("in round %d", i)
		}
	}
}

// Two Closes at once both wait for the goroutines.
func TestCloseTwiceAtOnce(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		bob.ServeEcho()
		ask(t, alice, bob.ID())
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				alice.Close()
				if n := alice.Indices(); n != 0 {
					t.Errorf("%d indices in use when Close returned", n)
				}
			})
		}
		wg.Wait()
		closeAll(t, bob)
	})
}

// Close while a Write is blocked by the peer's window and a Read by its silence.
func TestCloseWhileBlocked(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		for _, far := range []bool{false, true} {
			alice := w.open("alice", w.public("alice", time.Millisecond, freshAddr()))
			bob := w.open("bob", w.public("bob", time.Millisecond, freshAddr()))
			a, _ := connect(t, alice, listen(t, bob, "s"))
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := a.Write(make([]byte, 64<<20)); err == nil {
					t.Error("written")
				}
			})
			wg.Go(func() {
				if _, err := io.ReadAll(a); err == nil {
					t.Error("read to the end")
				}
			})
			time.Sleep(time.Second)
			if far {
				bob.Close()
			} else {
				alice.Close()
			}
			took := elapsed(wg.Wait)
			if took > time.Second {
				t.Errorf("returned after %v", took)
			}
			closeAll(t, alice, bob)
		}
	})
}

// Dials that fail leave nothing: no index, and after a while no peer.
func TestFailedDialsLeaveNothing(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice := w.open("alice", w.public("alice", time.Millisecond, "203.0.113.11"))
		before := alice.Indices()
		var wg sync.WaitGroup
		for range 50 {
			ghost := newDevice(t, "ghost").Device
			alice.Learn(identity.Ticket{ID: ghost.ID(), Device: ghost})
			wg.Go(func() {
				if _, err := alice.Dial(context.Background(), ghost.ID(), "x"); err == nil {
					t.Error("dialled a ghost")
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Minute)
		if n := alice.Indices(); n != before {
			t.Errorf("%d indices in use, %d before", n, before)
		}
		if n := len(alice.Peers()); n != 50 {
			t.Errorf("%d peers; their records should still be there", n)
		}
		time.Sleep(10 * time.Minute)
		if n := len(alice.Peers()); n != 0 {
			t.Errorf("%d peers kept for ever", n)
		}
		closeAll(t, alice)
	})
}

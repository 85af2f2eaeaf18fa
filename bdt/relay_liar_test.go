package bdt_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/pn"
)

// Whoever passes on calls may name any relay in them: nothing grows by it, a session that is
// there goes on, and the peer is reached.
func TestHostileRelayNames(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		node := w.pn("pn", "203.0.113.5", 5*time.Millisecond)
		defer node.Close()
		alice, bob := relayWorld(w, node)
		defer closeAll(t, alice, bob)
		l := newLoad(t, alice, bob)
		defer l.stop()
		time.Sleep(5 * time.Second)
		l.from(0)
		worst := time.Duration(0)
		for i := range 400 {
			bob.FeignCall(wire.Called{
				Caller: alice.ID(), Device: alice.Device().Bytes(), Call: uint64(i + 1),
				Relay: &wire.Relay{PN: node.ref.ID, Tag: wire.Tag{byte(i), byte(i >> 8), 9}},
			})
			time.Sleep(50 * time.Millisecond)
			toAlice, toBob := l.gaps()
			if toAlice < time.Hour && toBob < time.Hour {
				worst = max(worst, toAlice, toBob)
				l.from(0)
			}
		}
		t.Logf("worst gap %v; %+v", worst, node.Stats())
		if worst > 300*time.Millisecond || len(l.errors()) > 0 || sessionsOpened(alice) > 1 {
			explain(t, bob, alice.ID())
			t.Errorf("gap %v, %v, %d sessions", worst, l.errors(), sessionsOpened(alice))
		}
		if n := bob.PNs()[0].Relays; n > 5 {
			t.Errorf("%d bindings", n)
		}
		time.Sleep(2 * time.Minute)
		if n := node.Stats().Pairs; n > 2 {
			t.Errorf("%d pairs are left", n)
		}
	})
}

// A PN that restarts, or forgets all bindings now and then, costs a moment.
func TestRelayRestarts(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		node := w.pn("pn", "203.0.113.5", 5*time.Millisecond)
		alice, bob := relayWorld(w, node)
		defer closeAll(t, alice, bob)
		l := newLoad(t, alice, bob)
		defer l.stop()
		for range 3 {
			time.Sleep(10 * time.Second)
			cfg := node.cfg
			node.Server.Close()
			time.Sleep(time.Second)
			s, err := pn.Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			node.Server = s
			l.from(0)
			time.Sleep(10 * time.Second)
			toAlice, toBob := l.gaps()
			t.Logf("gaps after it is back %v and %v", toAlice, toBob)
			if limit := 3 * time.Second; toAlice > limit || toBob > limit || len(l.errors()) > 0 {
				explain(t, alice, bob.ID())
				t.Errorf("limit %v; %v", limit, l.errors())
			}
		}
		node.Server.Close()
	})
}

// Two that ask each other at once, again and again in sessions that come and go, are answered.
func TestRelayedCallsAtOnce(t *testing.T) {
	for _, later := range some(0, time.Millisecond, 20*time.Millisecond, 26*time.Millisecond, 51*time.Millisecond, 90*time.Millisecond) {
		inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
			node := w.pn("pn", "203.0.113.5", 5*time.Millisecond)
			defer node.Close()
			alice, bob := relayWorld(w, node)
			defer closeAll(t, alice, bob)
			for _, s := range []*bdt.Stack{alice, bob} {
				answer := func(context.Context, *bdt.Question) ([]byte, error) { return []byte(s.ID().Short()), nil }
				if _, err := s.HandleCalls("id", bdt.CallConfig{Access: bdt.Everyone, Handler: answer, ReplaySafe: true}); err != nil {
					t.Fatal(err)
				}
			}
			for round := range 3 {
				if round == 1 {
					alice.Learn(identity.Ticket{ID: bob.ID(), Device: bob.Device()})
					bob.Learn(identity.Ticket{ID: alice.ID(), Device: alice.Device()})
				}
				var calls sync.WaitGroup
				ask := func(from, to *bdt.Stack) {
					start := time.Now()
					answer, err := from.Call(t.Context(), to.ID(), "id", nil)
					if took := time.Since(start); err != nil || string(answer) != to.ID().Short() || took > 1500*time.Millisecond {
						t.Errorf("%v later, round %d: %q, %v after %v", later, round, answer, err, took)
					}
				}
				calls.Go(func() { ask(alice, bob) })
				time.Sleep(later)
				calls.Go(func() { ask(bob, alice) })
				calls.Wait()
				time.Sleep(time.Hour)
			}
		})
	}
}

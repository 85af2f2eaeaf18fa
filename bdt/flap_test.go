package bdt_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
)

// uses counts how often a stack has changed the path of a session since a time.
func uses(s *bdt.Stack, id idT, since time.Time) (n int) {
	e, _ := s.Explain(id)
	for _, l := range e.Lines {
		if strings.Contains(l.Text, "in use") && !l.Time.Before(since) {
			n++
		}
	}
	return n
}

// Two paths whose round trips vary, which lose packets in bursts, or which go dead now and
// then: data does not swing between them, and keeps coming.
func TestUnsteadyPaths(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	vary := func(w *world, is string) {
		w.links["alice"+is].SetDelay(10*time.Millisecond + time.Duration(rng.Int64N(int64(20*time.Millisecond))))
	}
	type paths struct {
		name string
		each func(w *world, second int)
		most int // changes in 5 minutes, at either end
	}
	for _, c := range some(
		paths{"jitter", func(w *world, _ int) { vary(w, "4"); vary(w, "6") }, 5},
		paths{"bursts of loss", func(w *world, second int) {
			for i, is := range []string{"4", "6"} {
				loss := 0.0
				if second%10 == 3+4*i {
					loss = 0.4
				}
				w.links["alice"+is].SetLoss(loss)
			}
		}, 15},
		paths{"jitter and loss", func(w *world, _ int) {
			for _, is := range []string{"4", "6"} {
				vary(w, is)
				w.links["alice"+is].SetLoss(0.05)
			}
		}, 15},
		paths{"one comes and goes", func(w *world, second int) { w.links["alice6"].SetDown(second%6 >= 3) }, 24},
	) {
		t.Run(c.name, func(t *testing.T) {
			inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
				alice := w.open("alice", w.dualStack("alice", "198.51.100.1", "2001:db8:a::2"))
				bob := w.open("bob", w.dualStack("bob", "198.51.100.2", "2001:db8:b::2"))
				defer closeAll(t, alice, bob)
				settle(w)
				l := newLoad(t, alice, bob)
				defer l.stop()
				time.Sleep(10 * time.Second)
				silent := 0 // seconds in which an end read nothing
				fromAlice, fromBob := 0, 0
				for minute := range 5 {
					start := time.Now()
					for second := range 60 {
						l.from(0)
						c.each(w, second+60*minute)
						time.Sleep(time.Second)
						toAlice, toBob := l.gaps()
						if max(toAlice, toBob) > time.Second {
							silent++
						}
					}
					// The record is short: it is read before it is full.
					fromAlice += uses(alice, bob.ID(), start)
					fromBob += uses(bob, alice.ID(), start)
				}
				t.Logf("%d and %d changes in 5 minutes, nothing read in %d of 300 seconds", fromAlice, fromBob, silent)
				if fromAlice > c.most || fromBob > c.most || silent > 6 {
					t.Errorf("want at most %d changes, and 6 silent seconds", c.most)
					explain(t, alice, bob.ID())
				}
				if len(l.errors()) > 0 || sessionsOpened(alice) > 1 {
					t.Errorf("streams ended with %v", l.errors())
				}
			})
		})
	}
}

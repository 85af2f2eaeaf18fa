package bdt_test

import (
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
)

// A device behind a symmetric NAT is not where its SN sees it. It reaches, and
// is reached by, whoever lets strangers in, at any ratio of the distances to
// the SN and to the peer: whichever way the keys come first.
func TestSymmetric(t *testing.T) {
	symmetric := netsim.Symmetric
	symmetric.Ports, symmetric.StealPorts = netsim.RandomPort, true
	for _, toSN := range []time.Duration{100 * time.Microsecond, 10 * time.Millisecond, 100 * time.Millisecond} {
		for _, other := range []string{"public", "full cone"} {
			for _, known := range []bool{false, true} {
				inVirtualTime(t, toSN, func(t *testing.T, w *world) {
					alice := w.open("alice", w.behind("alice", symmetric, time.Millisecond, "198.51.100.1"))
					defer alice.Close()
					var bob *bdt.Stack
					if other == "public" {
						bob = w.open("bob", w.public("bob", time.Millisecond, "203.0.113.9"))
					} else {
						bob = w.open("bob", w.behind("bob", netsim.FullCone, time.Millisecond, "198.51.100.2"))
					}
					defer bob.Close()
					alice.ServeEcho()
					bob.ServeEcho()
					settle(w)
					if known {
						alice.Learn(identity.Ticket{ID: bob.ID(), Device: bob.Device()})
						bob.Learn(identity.Ticket{ID: alice.ID(), Device: alice.Device()})
					}
					out := ask(t, alice, bob.ID())
					alice.Close()
					alice = w.open("alice", w.behind("carol", symmetric, time.Millisecond, "198.51.100.3"))
					defer alice.Close()
					alice.ServeEcho()
					settle(w)
					in := ask(t, bob, alice.ID())
					t.Logf("SN %v away, %s, known=%v: dials in %v, is dialled in %v", toSN, other, known, out, in)
					if limit := 2*toSN + 2*toSN + time.Second/2; out > limit || in > limit {
						t.Errorf("limit %v", limit)
					}
				})
			}
		}
	}
}

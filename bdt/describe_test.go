package bdt_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
)

// A ticket that has an address and no descriptor is dialled although the first
// question for the descriptor, or its answer, is lost.
func TestDescribeIsRepeated(t *testing.T) {
	for _, lost := range []wire.Type{wire.TypeDescribe, wire.TypeDescribed} {
		inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
			alice := w.open("alice", w.public("alice", time.Millisecond, aliceHost), noSN)
			bob := w.open("bob", w.public("bob", time.Millisecond, bobHost), noSN)
			defer closeAll(t, alice, bob)
			bob.ServeEcho()
			n := 0
			w.links["alice"].SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
				if got, err := wire.ControlType(p.Data); err == nil && got == lost {
					if n++; n == 1 {
						return
					}
				}
				emit(p, 0)
			})
			if err := alice.Learn(identity.Ticket{ID: bob.ID(), Endpoints: []netip.AddrPort{addrOf(bob, bobHost)}}); err != nil {
				t.Fatal(err)
			}
			if took := ask(t, alice, bob.ID()); took > 2*time.Second {
				t.Errorf("it took %v", took)
			}
			if n < 2 {
				t.Error("nothing was lost: this proves nothing")
			}
		})
	}
}

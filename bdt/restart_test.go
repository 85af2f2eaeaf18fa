package bdt_test

import (
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
)

// A device that has restarted where it was dials a peer that still holds the old
// session, by its id alone: the peer initiates, and the first packet of the new
// session comes to it from the source that is still the old one's. It takes no
// longer than the first time, whichever id is the lower.
func TestDialAfterRestart(t *testing.T) {
	for _, lower := range []bool{true, false} {
		inVirtualTime(t, 5*time.Millisecond, func(t *testing.T, w *world) {
			device, other := newDevice(t, "alice"), newDevice(t, "bob")
			if (device.Device.ID().Compare(other.Device.ID()) < 0) != lower {
				device, other = other, device
			}
			asAlice := func(c *bdt.Config) { c.Device, c.Listen = device, fixedPort }
			host := w.public("alice", 20*time.Millisecond, aliceHost)
			alice := w.open("alice", host, asAlice)
			bob := w.open("bob", w.public("bob", 20*time.Millisecond, bobHost), func(c *bdt.Config) { c.Device = other })
			bob.ServeEcho()
			first := ask(t, alice, bob.ID())

			w.links["alice"].SetDown(true)
			alice.Close() // without a goodbye
			w.links["alice"].SetDown(false)
			alice = w.open("alice", host, asAlice)
			if again := ask(t, alice, bob.ID()); again > first {
				explain(t, alice, bob.ID())
				explain(t, bob, alice.ID())
				t.Errorf("%v, and %v the first time", again, first)
			}
			closeAll(t, alice, bob)
		})
	}
}

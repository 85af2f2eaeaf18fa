package bdt_test

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/internal/wire"
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

// A peer that has restarted says so by a hint, and that is heard through a flood of
// forged ones.
func TestHintInFlood(t *testing.T) {
	told := func(flood int) (after time.Duration) {
		inVirtualTime(t, 5*time.Millisecond, func(t *testing.T, w *world) {
			device := newDevice(t, "bob")
			asBob := func(c *bdt.Config) { c.Device, c.Listen, c.SNs = device, fixedPort, nil }
			host := w.public("bob", 20*time.Millisecond, bobHost)
			bob := w.open("bob", host, asBob)
			alice := w.open("alice", w.public("alice", 20*time.Millisecond, aliceHost), noSN)
			bob.ServeEcho()
			bobAt, aliceAt := addrOf(bob, bobHost), addrOf(alice, aliceHost)
			acquaintAt(t, alice, bob.ID(), bobAt)
			ask(t, alice, bob.ID())
			time.Sleep(10 * time.Second)

			w.links["bob"].SetDown(true)
			bob.Close() // without a goodbye
			w.links["bob"].SetDown(false)
			bob = w.open("bob", host, asBob)
			defer closeAll(t, alice, bob)
			r := w.rogue("203.0.113.66")
			defer r.close()
			start := time.Now()
			for n := 0; ; n++ {
				for range flood { // in each millisecond
					m := wire.Hint{Receiver: rand.Uint32()}
					r.send(nowhere, aliceAt, m.Append(nil))
					r.send(bobAt, aliceAt, m.Append(nil))
					r.send(netip.AddrPortFrom(invented, uint16(rand.IntN(60000)+1)), aliceAt, m.Append(nil))
				}
				time.Sleep(time.Millisecond)
				if n%100 != 0 {
					continue
				}
				synctest.Wait()
				e, _ := alice.Explain(bob.ID())
				for _, l := range e.Lines {
					if strings.Contains(l.Text, "does not know the session") {
						after = l.Time.Sub(start)
						return
					}
				}
				if time.Since(start) > 5*time.Minute {
					explain(t, alice, bob.ID())
					t.Error("the hint was not heard")
					return
				}
			}
		})
		return after
	}
	calm, flooded := told(0), told(2)
	t.Logf("heard of the restart after %v, after %v with 6,000 forged hints a second", calm, flooded)
	if flooded > calm+6*time.Second { // a probe every 25 s ± 10 %
		t.Errorf("the flood delayed it from %v to %v", calm, flooded)
	}
}

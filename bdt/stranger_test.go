package bdt_test

import (
	"context"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// A stranger that dials and vanishes does not have us register with the SNs that
// it names in its descriptor: it would learn where we are, and crowd out others.
func TestStrangersSNsAreNotJoined(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		bob := w.open("bob", w.public("bob", time.Millisecond, bobHost))
		bob.ServeEcho()
		foreign := identity.Ref{ID: newDevice(t, "foreign").Device.ID(), Addr: "198.51.100.200:8443"}
		mallory := w.open("mallory", w.public("mallory", time.Millisecond, aliceHost), func(c *bdt.Config) {
			c.SNs = append(c.SNs, foreign)
		})
		mallory.ServeEcho()
		c, err := mallory.Dial(context.Background(), bob.ID(), bdt.EchoService)
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("x"))
		if err := readByte(c); err != nil {
			t.Fatal(err)
		}
		w.links["mallory"].SetDown(true)
		time.Sleep(time.Minute) // bob misses it, and calls it again
		for _, sn := range bob.SNs() {
			if sn.Ref == foreign {
				t.Error("joined a stranger's super node")
			}
		}
		w.links["mallory"].SetDown(false)
		// Whom we dial ourselves is another matter.
		ask(t, bob, mallory.ID())
		closeAll(t, bob, mallory)
	})
}

// An SN that makes up callers without end costs no more than so many handshakes,
// and what is sent to the address where it says that they are is bounded.
func TestInventedCallers(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		bob := w.open("bob", w.public("bob", time.Millisecond, bobHost))
		defer closeAll(t, bob)
		v := w.victim("198.51.100.99")
		for i := range 3 * bdt.CallsHeard {
			d := newDevice(t, "invented").Device
			bob.FeignCall(wire.Called{
				Call: uint64(i), Caller: d.ID(), Device: d.Bytes(),
				Candidates: []wire.Candidate{{Kind: wire.CandidateServerReflexive, Addr: v.addr}},
			})
			time.Sleep(time.Microsecond) // a worker takes it
		}
		time.Sleep(time.Minute)
		const heard = 2 * bdt.CallsHeard // at once
		if n := v.haul().types[wire.TypeInitiation]; n < heard || n > 7*heard {
			t.Errorf("%d initiations, for %d calls of which %d may be heard", n, 3*bdt.CallsHeard, heard)
		}
	})
}

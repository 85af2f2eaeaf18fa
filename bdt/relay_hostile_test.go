package bdt_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
)

// Who has only a relay to go by looks for something better for a while, and then
// leaves the super node alone.
func TestRelayedCallsLittle(t *testing.T) {
	for _, relayed := range []bool{true, false} {
		inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
			var change []func(*bdt.Config)
			if relayed {
				node := w.pn("pn", "203.0.113.5", 5*time.Millisecond)
				defer node.Close()
				change = append(change, through(node))
			}
			alice := w.open("alice", w.behind("alice", symmetricRandom, 10*time.Millisecond, "198.51.100.1"), change...)
			bob := w.open("bob", w.behind("bob", symmetricRandom, 10*time.Millisecond, "198.51.100.2"), change...)
			defer closeAll(t, alice, bob)
			bob.ServeEcho()
			settle(w)
			_, err := alice.Ping(t.Context(), bob.ID())
			if relayed != (err == nil) {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			calls := w.sn.Stats().CallsMade
			time.Sleep(10 * time.Minute)
			t.Logf("relayed=%v: %d calls, %d more", relayed, calls, w.sn.Stats().CallsMade-calls)
			if more := w.sn.Stats().CallsMade - calls; more != 0 || calls > 12 {
				t.Errorf("%d calls in a minute, %d later", calls, more)
			}
		})
	}
}

// A stranger cannot have a device look for a proxy node at addresses that mean another host
// to it, nor keep it from one by naming that with a wrong address.
func TestNamedRelayPlaces(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		node := w.pn("pn", "203.0.113.5", 5*time.Millisecond)
		defer node.Close()
		bob := w.open("bob", w.public("bob", 5*time.Millisecond, "203.0.113.12"))
		defer closeAll(t, bob)
		bob.ServeEcho()
		settle(w)
		var strays atomic.Int64
		w.links["bob"].SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
			if a := p.Dst.Addr(); a.IsPrivate() || p.Dst.Port() == 9999 {
				strays.Add(1)
			}
			emit(p, 0)
		})
		// What a stranger names, and whether it is looked for.
		for i, c := range []struct {
			id    identity.ID
			addr  string
			looks bool
		}{
			{newDevice(t, "no PN").Device.ID(), "10.1.2.3:53", false},
			{newDevice(t, "no PN").Device.ID(), "203.0.113.66:9999", true},
			{node.ref.ID, "203.0.113.66:9999", true},
		} {
			name := fmt.Sprint("stranger", i)
			s := w.open(name, w.public(name, time.Millisecond, freshAddr()), through(&relayNode{ref: identity.Ref{ID: c.id, Addr: c.addr}}))
			ask(t, s, bob.ID())
			s.Close()
			time.Sleep(time.Second)
			if n := strays.Swap(0); (n > 0) != c.looks {
				t.Errorf("%s: %d packets", c.addr, n)
			}
		}
		alice := w.open("alice", w.behind("alice", symmetricRandom, 10*time.Millisecond, "198.51.100.1"), through(node))
		defer closeAll(t, alice)
		settle(w)
		ask(t, alice, bob.ID())
		time.Sleep(2 * time.Second)
		if node.Stats().Met != 1 {
			t.Error("bob has not found the proxy node that a stranger named with a wrong address")
		}
	})
}

package bdt_test

import (
	"errors"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/netsim"
)

// tooSmall is the MTU of a tunnel through which probes fit and an engine's packets do not.
const tooSmall = 1100

// When the MTU of the path in use drops in the middle of a transfer, far away where nobody
// tells, the session goes on over the other path within the time of a failover.
func TestMTUDropsWithAnotherPath(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		alice := w.open("alice", w.dualStack("alice", "198.51.100.1", "2001:db8:a::2"))
		bob := w.open("bob", w.dualStack("bob", "198.51.100.2", "2001:db8:b::2"))
		defer closeAll(t, alice, bob)
		settle(w)
		l := newLoad(t, alice, bob)
		defer l.stop()
		time.Sleep(10 * time.Second)
		before, _ := alice.Peer(bob.ID())
		link := w.links["alice6"]
		if before.Path.Remote.Addr().Is4() {
			link = w.links["alice4"]
		}
		link.SetMTU(tooSmall)
		time.Sleep(50 * time.Millisecond) // what was on its way
		l.from(0)
		time.Sleep(20 * time.Second)
		toAlice, toBob := l.gaps()
		after, _ := alice.Peer(bob.ID())
		t.Logf("from %v to %v: gaps %v and %v", before.Path.Remote, after.Path.Remote, toAlice, toBob)
		if toAlice > time.Second || toBob > time.Second || len(l.errors()) > 0 || sessionsOpened(alice) != 1 {
			t.Errorf("limit 1s; streams ended with %v", l.errors())
			explain(t, alice, bob.ID())
			explain(t, bob, alice.ID())
		}
		if after.Path.Remote.Addr().Is4() == before.Path.Remote.Addr().Is4() {
			t.Error("still on the path")
		}
	})
}

// The same where the machine's own interface says so.
func TestMTUDropsAtTheInterface(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		host := w.net.Host("alice")
		links := map[bool]*netsim.Link{}
		for is4, addr := range map[bool]string{true: "203.0.113.21", false: "2001:db8:a::2"} {
			links[is4] = netsim.Must(w.net.Connect(host, w.core, netsim.LinkConfig{Delay: 10 * time.Millisecond}, addr))
		}
		alice := w.open("alice", host)
		bob := w.open("bob", w.dualStack("bob", "198.51.100.2", "2001:db8:b::2"))
		defer closeAll(t, alice, bob)
		settle(w)
		l := newLoad(t, alice, bob)
		defer l.stop()
		time.Sleep(10 * time.Second)
		before, _ := alice.Peer(bob.ID())
		links[before.Path.Remote.Addr().Is4()].SetMTU(tooSmall)
		time.Sleep(50 * time.Millisecond)
		l.from(0)
		time.Sleep(20 * time.Second)
		toAlice, toBob := l.gaps()
		t.Logf("gaps %v and %v", toAlice, toBob)
		if toAlice > time.Second || toBob > time.Second || len(l.errors()) > 0 {
			t.Errorf("limit 1s; streams ended with %v", l.errors())
			explain(t, alice, bob.ID())
			explain(t, bob, alice.ID())
		}
	})
}

// Without another path the session goes on when the MTU is back, and otherwise ends with a
// named error.
func TestMTUDropsOnTheOnlyPath(t *testing.T) {
	for _, out := range []time.Duration{5 * time.Second, 20 * time.Second, time.Minute} {
		inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
			alice := w.open("alice", w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.1"))
			bob := w.open("bob", w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2"))
			defer closeAll(t, alice, bob)
			settle(w)
			l := newLoad(t, alice, bob)
			defer l.stop()
			time.Sleep(10 * time.Second)
			w.links["alice"].SetMTU(tooSmall)
			time.Sleep(out)
			w.links["alice"].SetMTU(1500)
			l.from(0)
			time.Sleep(40 * time.Second)
			toAlice, toBob := l.gaps()
			t.Logf("out for %v: back after %v and %v, streams ended with %v", out, toAlice, toBob, l.errors())
			if lost := out > 30*time.Second; lost {
				if len(l.errors()) == 0 || !errors.Is(l.errors()[0], bdt.ErrPeerLost) && !errors.Is(l.errors()[0], bdt.ErrPeerClosed) {
					t.Errorf("want %v", bdt.ErrPeerLost)
				}
			} else if len(l.errors()) > 0 || toAlice > 20*time.Second || toBob > 20*time.Second {
				t.Error("want the session to go on")
				explain(t, alice, bob.ID())
			}
		})
	}
}

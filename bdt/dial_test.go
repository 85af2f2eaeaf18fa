package bdt_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
)

// Both ends at round trip R from the SN and P from each other: the first
// answered byte comes within R + 2.5 P + 5 ms, whether the callee's descriptor
// was known or not (docs/spec/handshake.md §10).
func TestFirstByte(t *testing.T) {
	nats := map[string]netsim.NATConfig{
		"full cone":       netsim.FullCone,
		"restricted cone": netsim.RestrictedCone,
		"port restricted": netsim.PortRestricted,
	}
	for name, nat := range nats {
		for _, known := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				// The core is 10 ms from each end and 15 ms from the SN.
				const R, P = 2 * (10 + 15) * time.Millisecond, 2 * (10 + 10) * time.Millisecond
				took := firstByte(t, nat, 10*time.Millisecond, 10*time.Millisecond, known)
				t.Logf("known=%v: %v = R + 2.5 P + %v", known, took, took-R-P*5/2)
				if limit := R + P*5/2 + 5*time.Millisecond; took > limit {
					t.Errorf("first answered byte after %v, limit %v", took, limit)
				}
			})
		}
	}
}

// With unequal distances to the SN there is no promise, but a number.
func TestFirstByteUnequal(t *testing.T) {
	for _, d := range []struct{ a, b time.Duration }{
		{5 * time.Millisecond, 50 * time.Millisecond},
		{50 * time.Millisecond, 5 * time.Millisecond},
	} {
		for _, known := range []bool{false, true} {
			took := firstByte(t, netsim.PortRestricted, d.a, d.b, known)
			P := 2 * (d.a + d.b)
			t.Logf("caller %v, callee %v from the core, known=%v: %v (P = %v)", d.a, d.b, known, took, P)
		}
	}
}

// firstByte measures one dial between two devices behind NATs of a kind, a and
// b from the core, 15 ms from which is the SN.
func firstByte(t *testing.T, nat netsim.NATConfig, a, b time.Duration, known bool) (took time.Duration) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		alice := w.open("alice", w.behind("alice", nat, a, "198.51.100.1"))
		defer alice.Close()
		bob := w.open("bob", w.behind("bob", nat, b, "198.51.100.2"))
		defer bob.Close()
		bob.ServeEcho()
		if known {
			if err := alice.Learn(identity.Ticket{ID: bob.ID(), Device: bob.Device()}); err != nil {
				t.Fatal(err)
			}
		}
		settle(w)
		took = ask(t, alice, bob.ID())
		if p, ok := alice.Peer(bob.ID()); !ok || p.Path.Kind != "punched" {
			explain(t, alice, bob.ID())
			t.Errorf("path is %q, not punched", p.Path.Kind)
		}
	})
	return took
}

// settle lets the stacks ping their SNs, so that these know the round trips.
func settle(*world) { time.Sleep(time.Minute) }

// A public device is reached directly, with and without an SN.
func TestDirect(t *testing.T) {
	for _, family := range []struct{ name, addr string }{{"IPv4", "203.0.113.9"}, {"IPv6", "2001:db8::9"}} {
		t.Run(family.name, func(t *testing.T) {
			inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
				pub := w.open("public", w.public("public", 10*time.Millisecond, family.addr))
				defer pub.Close()
				pub.ServeEcho()
				host := w.behind("alice", netsim.Symmetric, 10*time.Millisecond, "198.51.100.1")
				if family.name == "IPv6" {
					host = w.public("alice6", 10*time.Millisecond, "2001:db8::a")
				}
				alice := w.open("alice", host)
				defer alice.Close()
				ask(t, alice, pub.ID())
				settle(w)
				for _, s := range []struct{ from, to *bdt.Stack }{{alice, pub}, {pub, alice}} {
					if p, _ := s.from.Peer(s.to.ID()); p.Path.Kind != "direct" {
						explain(t, s.from, s.to.ID())
						t.Errorf("path is %q, not direct", p.Path.Kind)
					}
				}
			})
		})
	}
}

// A ticket with an address needs no SN at all.
func TestTicketAlone(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		noSN := func(c *bdt.Config) { c.SNs = nil }
		pub := w.open("public", w.public("public", 10*time.Millisecond, "203.0.113.9"), noSN)
		defer pub.Close()
		pub.ServeEcho()
		alice := w.open("alice", w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.1"), noSN)
		defer alice.Close()
		port := pub.LocalAddrs()[0].Port()
		ticket, err := identity.ParseTicket("bdt:" + pub.ID().String() + "?ep=203.0.113.9:" + strconv.Itoa(int(port)))
		if err != nil {
			t.Fatal(err)
		}
		if err := alice.Learn(ticket); err != nil {
			t.Fatal(err)
		}
		ask(t, alice, pub.ID())
	})
}

// Two devices behind one router meet on their LAN.
func TestLAN(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		nat := w.net.NAT("home", netsim.PortRestricted)
		netsim.Must(w.net.Connect(nat, w.core, netsim.LinkConfig{Delay: 10 * time.Millisecond}, "198.51.100.1"))
		hosts := map[string]*netsim.Host{}
		for name, addr := range map[string]string{"alice": "198.18.1.2/24", "bob": "198.18.1.3/24"} {
			hosts[name] = w.net.Host(name)
			netsim.Must(w.net.Connect(hosts[name], nat, netsim.LinkConfig{Delay: time.Millisecond}, addr))
		}
		alice, bob := w.open("alice", hosts["alice"]), w.open("bob", hosts["bob"])
		defer alice.Close()
		defer bob.Close()
		bob.ServeEcho()
		ask(t, alice, bob.ID())
		time.Sleep(3 * time.Second)
		for _, s := range []struct{ from, to *bdt.Stack }{{alice, bob}, {bob, alice}} {
			if p, _ := s.from.Peer(s.to.ID()); p.Path.Kind != "lan" {
				explain(t, s.from, s.to.ID())
				t.Errorf("path is %q, not lan", p.Path.Kind)
			}
		}
	})
}

// Two devices that dial each other at the same instant get one session, every
// time.
func TestGlare(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 50
	}
	for i := range n {
		inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
			glare(t, w, i)
		})
		if t.Failed() {
			t.Fatalf("in round %d", i)
		}
	}
}

func glare(t *testing.T, w *world, round int) {
	// Knowledge of descriptors and distances vary from round to round.
	da := 5*time.Millisecond + time.Duration(round%7)*time.Millisecond
	alice := w.open("alice", w.behind("alice", netsim.PortRestricted, da, "198.51.100.1"))
	defer alice.Close()
	bob := w.open("bob", w.behind("bob", netsim.PortRestricted, 8*time.Millisecond, "198.51.100.2"))
	defer bob.Close()
	alice.ServeEcho()
	bob.ServeEcho()
	if round&1 != 0 {
		alice.Learn(identity.Ticket{ID: bob.ID(), Device: bob.Device()})
	}
	if round&2 != 0 {
		bob.Learn(identity.Ticket{ID: alice.ID(), Device: alice.Device()})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Within one trip of the other's call, in steps that end on both sides.
		time.Sleep(time.Duration(round%60) * time.Millisecond / 2)
		ask(t, bob, alice.ID())
	}()
	ask(t, alice, bob.ID())
	<-done
	time.Sleep(5 * time.Second)
	pa, _ := alice.Peer(bob.ID())
	pb, _ := bob.Peer(alice.ID())
	if pa.State != "connected" || pb.State != "connected" {
		t.Errorf("alice is %s, bob is %s", pa.State, pb.State)
	}
	for name, s := range map[string]*bdt.Stack{"alice": alice, "bob": bob} {
		if n := sessionsOpened(s); n != 1 {
			t.Errorf("%s had %d sessions", name, n)
			explain(t, s, s.Peers()[0].ID)
		}
	}
}

// sessionsOpened counts the sessions that a stack has had with its only peer.
func sessionsOpened(s *bdt.Stack) (n int) {
	e, _ := s.Explain(s.Peers()[0].ID)
	for _, l := range e.Lines {
		if l.Text == "session open" {
			n++
		}
	}
	return n
}

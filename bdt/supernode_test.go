package bdt_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/sn"
)

// secondSN opens another super node.
func (w *world) secondSN(addr string) (*sn.Server, identity.Ref) {
	w.t.Helper()
	s, err := sn.Open(sn.Config{
		Network:   w.public("sn-"+addr, 5*time.Millisecond, addr),
		Local:     newDevice(w.t, "sn2"),
		Listen:    []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:8443")},
		Advertise: addr + ":8443",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s, s.Ref()
}

// With two SNs, calls go on when either is gone.
func TestTwoSNs(t *testing.T) {
	for _, dead := range []int{0, 1} {
		inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
			second, ref := w.secondSN("203.0.113.2")
			defer second.Close()
			both := func(c *bdt.Config) { c.SNs = []identity.Ref{w.ref, ref} }
			alice := w.open("alice", w.behind("alice", netsim.PortRestricted, time.Millisecond, "198.51.100.1"), both)
			bob := w.open("bob", w.behind("bob", netsim.PortRestricted, time.Millisecond, "198.51.100.2"), both)
			defer closeAll(t, alice, bob)
			bob.ServeEcho()
			time.Sleep(time.Second)
			for _, s := range alice.SNs() {
				if s.State != "online" || s.RTT == 0 || s.Observed.Addr() != netip.MustParseAddr("198.51.100.1") {
					t.Errorf("%+v", s)
				}
			}
			if dead == 0 {
				w.sn.Close()
			} else {
				second.Close()
			}
			took := ask(t, alice, bob.ID())
			t.Logf("SN %d gone: first byte after %v", dead, took)
			if took > time.Second {
				t.Errorf("first byte after %v", took)
			}
			time.Sleep(2 * time.Minute)
			if !alice.Online() {
				t.Error("offline with one SN left")
			}
			states := map[string]int{}
			for _, s := range alice.SNs() {
				states[s.State]++
			}
			if states["online"] != 1 || states["offline"] != 1 {
				t.Errorf("SNs are %v", states)
			}
		})
	}
}

// A ticket names an SN that the caller does not use; nothing else leads to the
// callee.
func TestTicketNamesSN(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		second, ref := w.secondSN("203.0.113.2")
		defer second.Close()
		alice := w.open("alice", w.behind("alice", netsim.PortRestricted, time.Millisecond, "198.51.100.1"))
		bob := w.open("bob", w.behind("bob", netsim.PortRestricted, time.Millisecond, "198.51.100.2"),
			func(c *bdt.Config) { c.SNs = []identity.Ref{ref} })
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		if _, err := alice.Ping(context.Background(), bob.ID()); !errors.Is(err, bdt.ErrNotFound) {
			t.Errorf("without a ticket: %v", err)
		}
		ticket, err := identity.ParseTicket(bob.Ticket().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := alice.Learn(ticket); err != nil {
			t.Fatal(err)
		}
		ask(t, alice, bob.ID())
		if n := len(alice.SNs()); n != 2 {
			t.Errorf("client of %d SNs", n)
		}
	})
}

// However many SNs tickets have named, one more can be used.
func TestManySNs(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		second, ref := w.secondSN("203.0.113.2")
		defer second.Close()
		alice := w.open("alice", w.behind("alice", netsim.PortRestricted, time.Millisecond, "198.51.100.1"))
		bob := w.open("bob", w.behind("bob", netsim.PortRestricted, time.Millisecond, "198.51.100.2"),
			func(c *bdt.Config) { c.SNs = []identity.Ref{ref} })
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		for range 40 {
			ghost := newDevice(t, "ghost").Device.ID()
			nowhere := identity.Ref{ID: newDevice(t, "sn").Device.ID(), Addr: "203.0.113.250:8443"}
			if err := alice.Learn(identity.Ticket{ID: ghost, SNs: []identity.Ref{nowhere}}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			alice.Dial(ctx, ghost, "x")
			cancel()
		}
		if _, _, n := alice.Table(); n > 16 {
			t.Errorf("client of %d SNs", n)
		}
		if err := alice.Learn(bob.Ticket()); err != nil {
			t.Fatal(err)
		}
		ask(t, alice, bob.ID())
		if !alice.Online() {
			t.Error("no longer at its own SN")
		}
	})
}

// Who is visible to nobody, or to the zone only, is reached all the same; its
// addresses do not come from the SN.
func TestVisibility(t *testing.T) {
	for _, v := range []bdt.Visibility{bdt.VisibleToNobody, bdt.VisibleToZone} {
		inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
			const secret = "198.51.100.2"
			alice := w.open("alice", w.behind("alice", netsim.PortRestricted, time.Millisecond, "198.51.100.1"))
			bob := w.open("bob", w.behind("bob", netsim.PortRestricted, time.Millisecond, secret),
				func(c *bdt.Config) { c.Visibility = v })
			defer closeAll(t, alice, bob)
			bob.ServeEcho()
			// While bob cannot answer alice learns nothing about where it is.
			w.cutter("bob")(true)
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			_, err := alice.Dial(ctx, bob.ID(), bdt.EchoService)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("visibility %d: %v", v, err)
			}
			e, _ := alice.Explain(bob.ID())
			for _, p := range e.Paths {
				t.Errorf("visibility %d: the SN told of %v", v, p.Remote)
			}
			for _, l := range e.Lines {
				if strings.Contains(l.Text, secret) {
					t.Errorf("visibility %d: the record names the address: %s", v, l.Text)
				}
			}
			w.cutter("bob")(false)
			time.Sleep(time.Minute)
			ask(t, alice, bob.ID())
		})
	}
}

// An address in the descriptor that leads nowhere does not slow the dial down.
func TestStaleEndpoint(t *testing.T) {
	took := map[bool]time.Duration{}
	for _, stale := range []bool{false, true} {
		inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
			alice := w.open("alice", w.behind("alice", netsim.PortRestricted, time.Millisecond, "198.51.100.1"))
			bob := w.open("bob", w.behind("bob", netsim.PortRestricted, time.Millisecond, "198.51.100.2"), func(c *bdt.Config) {
				if stale {
					c.Endpoints = []netip.AddrPort{netip.MustParseAddrPort("203.0.113.222:1")}
				}
			})
			defer closeAll(t, alice, bob)
			bob.ServeEcho()
			if err := alice.Learn(identity.Ticket{ID: bob.ID(), Device: bob.Device()}); err != nil {
				t.Fatal(err)
			}
			settle(w)
			took[stale] = ask(t, alice, bob.ID())
		})
	}
	if took[true] > took[false]+time.Millisecond {
		t.Errorf("first byte after %v, %v without the stale endpoint", took[true], took[false])
	}
}

func TestWaitOnline(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		lone := w.open("lone", w.public("lone", time.Millisecond, "203.0.113.11"), noSN)
		defer closeAll(t, lone)
		wantOp(t, lone.WaitOnline(context.Background()), "go online", bdt.ErrNoRoute)

		w.sn.Close()
		s, err := bdt.Open(bdt.Config{SNs: []identity.Ref{w.ref}, Network: w.public("h", time.Millisecond, "203.0.113.12")})
		if err != nil {
			t.Fatal(err)
		}
		defer closeAll(t, s)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		wantOp(t, s.WaitOnline(ctx), "go online", context.DeadlineExceeded)
		if s.Online() {
			t.Error("online without a server")
		}
	})
}

// A stranger beyond MaxPeers takes the place of an idle peer, not of one with
// a session.
func TestMaxPeers(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		bob := w.open("bob", w.public("bob", time.Millisecond, "203.0.113.12"), func(c *bdt.Config) { c.MaxPeers = 2 })
		bob.ServeEcho()
		var callers []*bdt.Stack
		for range 3 {
			s := w.open("caller", w.public("caller", time.Millisecond, freshAddr()), func(c *bdt.Config) { c.DialTimeout = 5 * time.Second })
			callers = append(callers, s)
		}
		defer closeAll(t, append(callers, bob)...)
		ask(t, callers[0], bob.ID())
		ask(t, callers[1], bob.ID())
		if _, err := callers[2].Ping(context.Background(), bob.ID()); !errors.Is(err, bdt.ErrUnreachable) {
			t.Errorf("the third of two: %v", err)
		}
		if n := len(bob.Peers()); n != 2 {
			t.Errorf("%d peers", n)
		}
		// Those whom bob wants himself are not strangers.
		callers[2].ServeEcho()
		ask(t, bob, callers[2].ID())
		callers[0].Close()
		callers[1].Close()
		time.Sleep(time.Second)
		s := w.open("late", w.public("late", time.Millisecond, freshAddr()))
		defer closeAll(t, s)
		ask(t, s, bob.ID())
	})
}

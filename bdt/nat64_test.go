package bdt_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/nat64"
	"github.com/bdtnet/bdt/netsim"
)

// The prefix of the phone networks' translators. It is not the well-known one, so
// it has to be found out.
var prefix64 = netip.MustParsePrefix("2001:db8:64:64::/96")

// phone makes a host that has IPv6 only, and a NAT64 to what has IPv4 only.
func (w *world) phone(name string) *netsim.Host {
	w.t.Helper()
	cfg := netsim.NAT64
	cfg.Prefix64 = prefix64
	nat, h := w.net.NAT(name+"-nat64", cfg), w.net.Host(name)
	w.links[name] = netsim.Must(w.net.Connect(nat, w.core, netsim.LinkConfig{Delay: 10 * time.Millisecond}, "198.51.100.64"))
	netsim.Must(w.net.Connect(h, nat, netsim.LinkConfig{Delay: time.Millisecond}, "2001:db8:64::2/64"))
	return h
}

// literal names the world's SN by its IPv4 address.
func literal(w *world) func(*bdt.Config) {
	ref := identity.Ref{ID: w.ref.ID, Addr: "203.0.113.1:8443"}
	return func(c *bdt.Config) { c.SNs = []identity.Ref{ref} }
}

// onlyName4 names the world's SN by a name that has an IPv4 address only.
func onlyName4(w *world) func(*bdt.Config) {
	w.net.SetName("sn4.example", netip.MustParseAddr("203.0.113.1"))
	ref := identity.Ref{ID: w.ref.ID, Addr: "sn4.example:8443"}
	return func(c *bdt.Config) { c.SNs = []identity.Ref{ref} }
}

// wantTranslated checks that data goes to an IPv4 host by way of the NAT64.
func wantTranslated(t *testing.T, s *bdt.Stack, id idT, kind, remote string) {
	t.Helper()
	p := pathTo(t, s, id)
	v4, ok := nat64.Extract(prefix64, p.Remote.Addr())
	if p.Kind != kind || !ok || v4 != netip.MustParseAddr(remote) {
		explain(t, s, id)
		t.Errorf("the path is %s to %v, want %s to %s by way of the NAT64", p.Kind, p.Remote, kind, remote)
	}
}

// A phone with IPv6 only and a device with IPv4 only, each behind its NAT, dial
// each other through an SN whose address is an IPv4 literal.
func TestNAT64(t *testing.T) {
	for _, tt := range []struct {
		name   string
		sn     func(*world) func(*bdt.Config)
		nat    netsim.NATConfig
		callee bool // the phone is dialled
	}{
		{"literal, the phone dials", literal, netsim.PortRestricted, false},
		{"literal, the phone is dialled", literal, netsim.PortRestricted, true},
		{"name, the phone dials", onlyName4, netsim.PortRestricted, false},
		{"name, the phone is dialled", onlyName4, netsim.FullCone, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, 20*time.Millisecond, func(t *testing.T, w *world) {
				sn := tt.sn(w)
				phone := w.open("phone", w.phone("phone"), sn)
				bob := w.open("bob", w.behind("bob", tt.nat, 10*time.Millisecond, "198.51.100.2"), sn)
				defer closeAll(t, phone, bob)
				phone.ServeEcho()
				bob.ServeEcho()
				caller, callee := phone, bob
				if tt.callee {
					caller, callee = bob, phone
				}
				took := ask(t, caller, callee.ID())
				time.Sleep(time.Second)
				ask(t, caller, callee.ID())
				wantTranslated(t, phone, bob.ID(), "punched", "198.51.100.2")
				p := pathTo(t, bob, phone.ID())
				if p.Kind != "punched" || p.Remote.Addr() != netip.MustParseAddr("198.51.100.64") {
					t.Errorf("bob's path is %s to %v", p.Kind, p.Remote)
				}
				for _, st := range phone.SNs() {
					if st.Observed.Addr() != netip.MustParseAddr("198.51.100.64") {
						t.Errorf("the SN sees the phone at %v", st.Observed)
					}
				}
				t.Logf("first byte after %v", took)
			})
		})
	}
}

// A ticket with an IPv4 endpoint is enough.
func TestNAT64Ticket(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		phone := w.open("phone", w.phone("phone"), noSN)
		bob := w.open("bob", w.public("bob", time.Millisecond, "203.0.113.9"), noSN, func(c *bdt.Config) {
			c.Listen = fixedPort[:1]
			c.Endpoints = []netip.AddrPort{netip.MustParseAddrPort("203.0.113.9:7000")}
		})
		defer closeAll(t, phone, bob)
		bob.ServeEcho()
		if err := phone.Learn(bob.Ticket()); err != nil {
			t.Fatal(err)
		}
		ask(t, phone, bob.ID())
		wantTranslated(t, phone, bob.ID(), "direct", "203.0.113.9")
	})
}

// Where there is IPv4, nothing is translated, whatever the resolver says; and
// private addresses nowhere.
func TestNAT64NotNeeded(t *testing.T) {
	inVirtualTime(t, 20*time.Millisecond, func(t *testing.T, w *world) {
		h := w.phone("phone")
		nat4 := w.net.NAT("home", netsim.PortRestricted)
		netsim.Must(w.net.Connect(nat4, w.core, netsim.LinkConfig{Delay: 10 * time.Millisecond}, "198.51.100.1"))
		netsim.Must(w.net.Connect(h, nat4, netsim.LinkConfig{}, "198.18.1.2/24"))
		phone := w.open("phone", h, literal(w))
		bob := w.open("bob", w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2"), literal(w))
		defer closeAll(t, phone, bob)
		bob.ServeEcho()
		ask(t, phone, bob.ID())
		e, _ := phone.Explain(bob.ID())
		for _, p := range e.Paths {
			if prefix64.Contains(p.Remote.Addr()) {
				t.Errorf("tried %v", p.Remote)
			}
		}
	})
}

// The prefix belongs to a network: a session that leaves IPv4 for a network with
// IPv6 only goes on there by way of its NAT64 within a second, and comes back.
func TestNAT64Moves(t *testing.T) {
	inVirtualTime(t, 20*time.Millisecond, func(t *testing.T, w *world) {
		h := w.net.Host("phone")
		wifi := w.net.NAT("home", netsim.PortRestricted)
		netsim.Must(w.net.Connect(wifi, w.core, netsim.LinkConfig{Delay: 10 * time.Millisecond}, "198.51.100.1"))
		wlan := netsim.Must(w.net.Connect(h, wifi, netsim.LinkConfig{}, "198.18.1.2/24"))
		cfg := netsim.NAT64
		cfg.Prefix64 = prefix64
		carrier := w.net.NAT("carrier", cfg)
		netsim.Must(w.net.Connect(carrier, w.core, netsim.LinkConfig{Delay: 10 * time.Millisecond}, "198.51.100.64"))
		cell := netsim.Must(w.net.Connect(h, carrier, netsim.LinkConfig{}))

		phone := w.open("phone", h, literal(w))
		bob := w.open("bob", w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2"), literal(w))
		defer closeAll(t, phone, bob)
		bob.ServeEcho()
		ask(t, phone, bob.ID())
		for range 3 {
			time.Sleep(30 * time.Second)
			move(t, h, "198.18.1.2", cell, "2001:db8:64::2/64")
			out := ask(t, phone, bob.ID())
			wantTranslated(t, phone, bob.ID(), "punched", "198.51.100.2")
			time.Sleep(30 * time.Second)
			move(t, h, "2001:db8:64::2", wlan, "198.18.1.2/24")
			back := ask(t, phone, bob.ID())
			if p := pathTo(t, phone, bob.ID()); p.Remote.Addr() != netip.MustParseAddr("198.51.100.2") {
				t.Errorf("back home the path leads to %v", p.Remote)
			}
			if max(out, back) > time.Second {
				t.Errorf("the first byte took %v on the way out, %v back", out, back)
			}
			t.Logf("first byte after %v with IPv6 only, %v with IPv4 only", out, back)
		}
		if n := len(bob.Peers()); n != 1 {
			t.Errorf("bob has %d peers", n)
		}
	})
}

// move takes an address from a host and gives it another on another link.
func move(t *testing.T, h *netsim.Host, from string, l *netsim.Link, to string) {
	t.Helper()
	if err := errors.Join(h.RemoveAddr(netip.MustParseAddr(from)), h.AddAddr(l, to)); err != nil {
		t.Fatal(err)
	}
}

// A network without IPv4 and without a NAT64 is dealt with in time.
func TestNAT64Missing(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		h := w.public("phone", time.Millisecond, "2001:db8:6::6")
		phone := w.open("phone", h, noSN)
		defer closeAll(t, phone)
		ghost := newDevice(t, "ghost").Device
		if err := phone.Learn(identity.Ticket{ID: ghost.ID(), Endpoints: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.9:7000")}}); err != nil {
			t.Fatal(err)
		}
		var err error
		took := elapsed(func() { _, err = phone.Dial(t.Context(), ghost.ID(), "x") })
		if err == nil || took > 16*time.Second || !strings.Contains(err.Error(), "no path") {
			t.Errorf("%v after %v", err, took)
		}
	})
}

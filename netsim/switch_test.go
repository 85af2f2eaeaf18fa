package netsim

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/bdtnet/bdt/underlay"
	"github.com/bdtnet/bdt/underlay/underlaytest"
)

// join opens a member of a group and reads it until it is closed.
func join(t *testing.T, h *Host, ifname, group string) *peer {
	t.Helper()
	c, err := h.ListenMulticast(ifname, netip.MustParseAddrPort(group))
	if err != nil {
		t.Fatal(err)
	}
	return reading(t, c)
}

const (
	group4 = "239.255.66.1:17000"
	group6 = "[ff12::1]:17000"
)

// TestMulticaster runs the suite of the interface.
func TestMulticaster(t *testing.T) {
	underlaytest.TestMulticaster(t, func(t *testing.T, body func(*testing.T, underlaytest.Segment)) {
		simulate(t, func(t *testing.T, n *Network) {
			lan, a, b := n.Switch("lan"), n.Host("a"), n.Host("b")
			Must(n.Connect(a, lan, LinkConfig{}, "198.18.1.1/24", "fd00::1/64"))
			Must(n.Connect(b, lan, LinkConfig{}, "198.18.1.2/24", "fd00::2/64"))
			body(t, underlaytest.Segment{A: a, B: b, IfA: "eth0", IfB: "eth0", IPv6: true})
		})
	})
}

// TestSegment: a group is heard on its segment and nowhere else, across a second
// switch but not across a NAT or a router.
func TestSegment(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		core, nat := n.Router("core"), n.NAT("nat", PortRestricted)
		lan, upstairs := n.Switch("lan"), n.Switch("upstairs")
		a, b, c, far := n.Host("a"), n.Host("b"), n.Host("c"), n.Host("far")
		Must(n.Connect(nat, core, LinkConfig{}, "198.51.100.7"))
		Must(n.Connect(far, core, LinkConfig{}, s1Addr))
		Must(n.Connect(a, lan, LinkConfig{Delay: time.Millisecond}, "198.18.1.1/24", "fd00::1/64"))
		Must(n.Connect(lan, nat, LinkConfig{}))
		Must(n.Connect(b, lan, LinkConfig{}, "198.18.1.2/24", "fd00::2/64"))
		Must(n.Connect(upstairs, lan, LinkConfig{}))
		Must(n.Connect(c, upstairs, LinkConfig{}, "198.18.1.3/24", "fd00::3/64"))
		for _, group := range []string{group4, group6} {
			var members []*peer
			for _, h := range []*Host{a, b, c} {
				members = append(members, join(t, h, "eth0", group))
			}
			var outside *peer
			if group == group4 {
				outside = join(t, far, "eth0", group)
			}
			for _, from := range members {
				from.send(addr(group), "hello")
				for _, m := range members {
					if d := m.want("hello"); d.Addr.Port() != 17000 {
						t.Errorf("from %v", d.Addr)
					}
				}
			}
			if outside != nil {
				outside.wantNone()
				outside.send(addr(group), "hello") // the router does not carry it
				members[0].wantNone()
			}
		}
		// Addresses work as ever, on the segment and out of it, with all hops left.
		pa, pc, pf := listen(t, a, "0.0.0.0:1"), listen(t, c, "0.0.0.0:1"), listen(t, far, "0.0.0.0:1")
		pa.write(underlay.Datagram{Addr: addr("198.18.1.3:1"), Data: []byte("near"), HopLimit: 1})
		pc.want("near")
		pc.send(addr(s1Addr+":1"), "far")
		d := pf.want("far")
		if d.Addr.Addr() != netip.MustParseAddr("198.51.100.7") {
			t.Errorf("from %v", d.Addr)
		}
		pf.send(d.Addr, "back")
		pc.want("back")
	})
}

// TestSwitchDoesNotReturn: nothing goes back by the port that it came from, or a
// packet to nobody would go round for ever.
func TestSwitchDoesNotReturn(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		core, lan, a, far := n.Router("core"), n.Switch("lan"), n.Host("a"), n.Host("far")
		Must(n.Connect(lan, core, LinkConfig{}, "198.18.1.0/24"))
		Must(n.Connect(a, lan, LinkConfig{}, "198.18.1.1/24"))
		Must(n.Connect(far, core, LinkConfig{}, s1Addr))
		pf := listen(t, far, "0.0.0.0:1")
		pf.send(addr("198.18.1.99:1"), "anybody?")
		settle()
		if s := lan.Stats(); s.Packets[DropNoRoute] != 1 {
			t.Errorf("the switch dropped %d, want 1", s.Packets[DropNoRoute])
		}
		alone := n.Switch("alone")
		b := n.Host("b")
		Must(n.Connect(b, alone, LinkConfig{}, "198.18.2.1/24"))
		listen(t, b, "0.0.0.0:1").send(addr(s1Addr+":1"), "out?")
		settle()
		if s := alone.Stats(); s.Packets[DropNoRoute] != 1 {
			t.Errorf("the switch without a router dropped %d, want 1", s.Packets[DropNoRoute])
		}
		if _, err := n.Connect(lan, core, LinkConfig{}, "198.18.1.0/24"); !errors.Is(err, ErrAddressInUse) {
			t.Errorf("the prefix again: %v", err)
		}
	})
}

func TestMulticastErrors(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		lan, h := n.Switch("lan"), n.Host("h")
		Must(n.Connect(h, lan, LinkConfig{}, "198.18.1.1/24"))
		if _, err := h.ListenMulticast("eth0", addr(group6)); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("IPv6 without an address: %v", err)
		}
		m := join(t, h, "eth0", group4)
		d := []underlay.Datagram{{Addr: addr(group4), Data: []byte("x"), Local: netip.MustParseAddr("198.18.1.9")}}
		if _, err := m.conn.WriteBatch(d); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("from an address that is not its own: %v", err)
		}
		d = []underlay.Datagram{{Addr: addr(group4), Data: []byte("x")}}
		if _, err := listen(t, h, "0.0.0.0:1").conn.WriteBatch(d); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("from a socket that has not joined: %v", err)
		}
		// An ordinary socket may have the port; it hears nothing of the group.
		p := listen(t, h, "0.0.0.0:17000")
		m.send(addr(group4), "x")
		m.want("x")
		p.wantNone()
		if err := m.conn.Close(); err != nil {
			t.Error(err)
		}
		if err := m.conn.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed twice: %v", err)
		}
		n.Close()
		if _, err := h.ListenMulticast("eth0", addr(group4)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("on a closed network: %v", err)
		}
	})
}

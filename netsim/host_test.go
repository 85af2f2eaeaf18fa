package netsim

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/bdtnet/bdt/underlay"
	"github.com/bdtnet/bdt/underlay/underlaytest"
)

// TestConformance runs the suite of the interface in virtual and in real time.
func TestConformance(t *testing.T) {
	hosts := func(n *Network) underlaytest.Hosts {
		core, a, b := n.Router("core"), n.Host("a"), n.Host("b")
		Must(n.Connect(a, core, LinkConfig{}, "198.51.100.1/24", "2001:db8:1::1/64"))
		Must(n.Connect(b, core, LinkConfig{}, "203.0.113.1/24", "2001:db8:2::1/64"))
		return underlaytest.Hosts{
			A: a, A4: a.Addrs()[0], A6: a.Addrs()[1],
			B: b, B4: b.Addrs()[0], B6: b.Addrs()[1],
		}
	}
	t.Run("virtual", func(t *testing.T) {
		underlaytest.TestNetwork(t, func(t *testing.T, body func(*testing.T, underlaytest.Hosts)) {
			simulate(t, func(t *testing.T, n *Network) { body(t, hosts(n)) })
		})
	})
	t.Run("real", func(t *testing.T) {
		underlaytest.TestNetwork(t, func(t *testing.T, body func(*testing.T, underlaytest.Hosts)) {
			n := New(Config{})
			defer n.Close()
			body(t, hosts(n))
		})
	})
}

func TestInterfaces(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		core, h := n.Router("core"), n.Host("h")
		Must(n.Connect(h, core, LinkConfig{MTU: 1280}, "198.51.100.1/24", "2001:db8::1/64"))
		Must(n.Connect(h, core, LinkConfig{}, "203.0.113.1"))
		got, err := h.Interfaces()
		prefixes := func(ss ...string) (ps []netip.Prefix) {
			for _, s := range ss {
				ps = append(ps, netip.MustParsePrefix(s))
			}
			return ps
		}
		want := []underlay.Interface{
			{Name: "lo", Index: 1, MTU: 65535, Up: true, Loopback: true, Prefixes: prefixes("127.0.0.1/8", "::1/128")},
			{Name: "eth0", Index: 2, MTU: 1280, Up: true, Prefixes: prefixes("198.51.100.1/24", "2001:db8::1/64")},
			{Name: "eth1", Index: 3, MTU: 1500, Up: true, Prefixes: prefixes("203.0.113.1/32")},
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.LookupNetIP(ctx, "192.0.2.1"); !errors.Is(err, context.Canceled) {
			t.Errorf("lookup when cancelled: %v", err)
		}
	})
}

// TestMultihomed: a bound source decides the uplink; without one the first
// uplink carries, and an on-link prefix wins over it.
func TestMultihomed(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		core, lan, h, s, near := n.Router("core"), n.Router("lan"), n.Host("h"), n.Host("s"), n.Host("near")
		Must(n.Connect(lan, core, LinkConfig{}))
		wifi := Must(n.Connect(h, core, LinkConfig{}, "198.51.100.1/24"))
		wire := Must(n.Connect(h, lan, LinkConfig{}, "198.18.0.7", "198.18.1.1/24"))
		Must(n.Connect(s, core, LinkConfig{}, s1Addr))
		Must(n.Connect(near, lan, LinkConfig{}, "198.18.1.9/24"))
		ps, pn := listen(t, s, "0.0.0.0:1"), listen(t, near, "0.0.0.0:1")
		any, bound := listen(t, h, "0.0.0.0:1"), listen(t, h, "198.18.1.1:2")

		any.send(addr(s1Addr+":1"), "default")
		if d := ps.want("default"); d.Addr != addr("198.51.100.1:1") {
			t.Fatalf("from %v", d.Addr)
		}
		bound.send(addr(s1Addr+":1"), "bound")
		if d := ps.want("bound"); d.Addr != addr("198.18.1.1:2") {
			t.Fatalf("from %v", d.Addr)
		}
		any.write(underlay.Datagram{Addr: addr(s1Addr + ":1"), Data: []byte("local"), Local: netip.MustParseAddr("198.18.1.1")})
		if d := ps.want("local"); d.Addr != addr("198.18.1.1:1") {
			t.Fatalf("from %v", d.Addr)
		}
		any.send(addr("198.18.1.9:1"), "on link")
		if d := pn.want("on link"); d.Addr != addr("198.18.1.1:1") {
			t.Fatalf("from %v", d.Addr)
		}
		up, _ := wifi.Stats()
		over, _ := wire.Stats()
		if up.Packets[Sent] != 1 || over.Packets[Sent] != 3 {
			t.Fatalf("%d and %d sent", up.Packets[Sent], over.Packets[Sent])
		}
	})
}

// TestAddressChange: a host moves to another address, and to another uplink.
func TestAddressChange(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		core, edge, h, s := n.Router("core"), n.Router("edge"), n.Host("h"), n.Host("s")
		Must(n.Connect(edge, core, LinkConfig{}))
		wifi := Must(n.Connect(h, edge, LinkConfig{}, "198.51.100.1/24"))
		cell := Must(n.Connect(h, core, LinkConfig{}))
		Must(n.Connect(s, core, LinkConfig{}, s1Addr))
		ph, ps := listen(t, h, "0.0.0.0:1"), listen(t, s, "0.0.0.0:1")
		bound := listen(t, h, "198.51.100.1:2")
		from := func(want string) {
			t.Helper()
			ph.send(addr(s1Addr+":1"), "here")
			d := ps.want("here")
			if d.Addr != addr(want) {
				t.Fatalf("from %v, want %v", d.Addr, want)
			}
			ps.send(d.Addr, "there")
			ph.want("there")
		}
		from("198.51.100.1:1")
		if err := h.AddAddr(wifi, "198.51.100.2/24"); err != nil {
			t.Fatal(err)
		}
		old := netip.MustParseAddr("198.51.100.1")
		if err := h.RemoveAddr(old); err != nil {
			t.Fatal(err)
		}
		from("198.51.100.2:1")
		ps.send(addr("198.51.100.1:1"), "to the old address")
		ph.wantNone()
		if _, err := bound.conn.WriteBatch([]underlay.Datagram{{Addr: addr(s1Addr + ":1")}}); err == nil {
			t.Fatal("sent from an address that is gone")
		}
		if err := h.AddAddr(cell, "203.0.113.77"); err != nil {
			t.Fatal(err)
		}
		from("198.51.100.2:1") // the old default stays
		if err := h.RemoveAddr(netip.MustParseAddr("198.51.100.2")); err != nil {
			t.Fatal(err)
		}
		from("203.0.113.77:1")
		if err := h.AddAddr(cell, "198.51.100.1"); err != nil { // the address moves
			t.Fatal(err)
		}
		bound.send(addr(s1Addr+":1"), "bound again")
		if d := ps.want("bound again"); d.Addr != addr("198.51.100.1:2") {
			t.Fatalf("from %v", d.Addr)
		}
		if want := []netip.Addr{netip.MustParseAddr("203.0.113.77"), old}; !slices.Equal(h.Addrs(), want) {
			t.Fatalf("addresses %v", h.Addrs())
		}
	})
}

func TestAddrErrors(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		core, h, g := n.Router("core"), n.Host("h"), n.Host("g")
		l := Must(n.Connect(h, core, LinkConfig{}, "198.51.100.1", "2001:db8::1"))
		m := Must(n.Connect(g, core, LinkConfig{}, "198.51.100.2"))
		for _, c := range []struct {
			l *Link
			a string
		}{{l, "x"}, {m, "198.51.100.3"}, {h.lo, "198.51.100.3"}, {l, "198.51.100.1"}, {l, "198.51.100.2"}} {
			if err := h.AddAddr(c.l, c.a); err == nil {
				t.Errorf("%s on %v is accepted", c.a, c.l)
			}
		}
		if err := h.RemoveAddr(netip.MustParseAddr("198.51.100.2")); err == nil {
			t.Error("removed the address of another")
		}
		// The last address of a family takes its default route with it.
		if err := h.RemoveAddr(netip.MustParseAddr("2001:db8::1")); err != nil {
			t.Error(err)
		}
		p := listen(t, h, "[::]:0")
		if _, err := p.conn.WriteBatch([]underlay.Datagram{{Addr: addr("[2001:db8::9]:1")}}); err == nil {
			t.Error("sent IPv6 without an address")
		}
	})
}

// TestUpperHostLosesAddr: on a link between hosts both ends have addresses.
func TestUpperHostLosesAddr(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{})
		p.up("x")
		p.z.send(p.z.want("x").Addr, "y")
		p.a.want("y")
		z := p.z.conn.(*socket).host
		if err := z.RemoveAddr(netip.MustParseAddr("198.51.100.2")); err != nil {
			t.Fatal(err)
		}
		p.up("gone")
		p.z.wantNone()
		if got := z.Stats().Packets[DropNoRoute]; got != 1 {
			t.Fatalf("%v", z.Stats().Packets)
		}
	})
}

func TestLoopback(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		h := n.Host("h")
		Must(n.Connect(h, n.Router("core"), LinkConfig{}, "198.51.100.1", "2001:db8::1"))
		any4, lo4, own4 := listen(t, h, "0.0.0.0:1"), listen(t, h, "127.0.0.1:2"), listen(t, h, "198.51.100.1:3")
		any6, lo6 := listen(t, h, "[::]:1"), listen(t, h, "[::1]:2")
		for _, c := range []struct {
			from     *peer
			to, seen string
			at       *peer
		}{
			{any4, "127.0.0.1:2", "127.0.0.1:1", lo4},
			{any4, "198.51.100.1:3", "198.51.100.1:1", own4},
			{own4, "127.0.0.1:1", "198.51.100.1:3", any4},
			{lo4, "127.0.0.1:1", "127.0.0.1:2", any4},
			{any6, "[::1]:2", "[::1]:1", lo6},
			{lo6, "[2001:db8::1]:1", "[::1]:2", any6},
		} {
			c.from.send(addr(c.to), "local")
			if d := c.at.want("local"); d.Addr != addr(c.seen) || d.Local != addr(c.to).Addr() {
				t.Errorf("to %s: from %v to %v", c.to, d.Addr, d.Local)
			}
		}
		any4.send(addr("127.0.0.1:99"), "nobody")
		synctest.Wait()
		if got := h.Stats().Packets[DropClosed]; got != 1 {
			t.Errorf("%v", h.Stats().Packets)
		}
	})
}

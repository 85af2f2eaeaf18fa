package underlaytest

import (
	"context"
	"net/netip"
	"slices"
	"testing"
)

// testInterfaces finds the hosts' addresses on their interfaces.
func testInterfaces(t *testing.T, h Hosts) {
	has := func(ifs []netip.Prefix, a netip.Addr) bool {
		return !a.IsValid() || slices.ContainsFunc(ifs, func(p netip.Prefix) bool { return p.Addr() == a })
	}
	list, err := h.A.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var up []netip.Prefix
	index := map[int]bool{}
	for _, ifi := range list {
		if ifi.Name == "" || index[ifi.Index] {
			t.Errorf("interface %+v: no name, or an index that another has", ifi)
		}
		index[ifi.Index] = true
		if ifi.Up {
			up = append(up, ifi.Prefixes...)
		}
		for _, p := range ifi.Prefixes {
			if !p.IsValid() || p.Addr().Is4In6() {
				t.Errorf("interface %s: prefix %v", ifi.Name, p)
			}
			if p.Contains(h.A4) && ifi.MTU < 576 {
				t.Errorf("interface %s: MTU %d", ifi.Name, ifi.MTU)
			}
		}
	}
	if !has(up, h.A4) || !has(up, h.A6) {
		t.Errorf("no interface that is up has %v and %v: %v", h.A4, h.A6, list)
	}
}

// testLookup resolves literals, which needs no server.
func testLookup(t *testing.T, h Hosts) {
	for in, want := range map[string]string{
		"192.0.2.7":         "192.0.2.7",
		"2001:db8::7":       "2001:db8::7",
		"::ffff:192.0.2.33": "192.0.2.33",
	} {
		got, err := h.A.LookupNetIP(t.Context(), in)
		if err != nil || len(got) != 1 || got[0] != netip.MustParseAddr(want) {
			t.Errorf("LookupNetIP(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	if got, err := h.A.LookupNetIP(t.Context(), ""); err == nil {
		t.Errorf("LookupNetIP of nothing = %v", got)
	}
}

// testLocalAddr binds one address, and all of them.
func testLocalAddr(t *testing.T, p pair) {
	for _, addr := range []netip.Addr{p.addrA, p.unspecified} {
		c := open(t, p.a, addr)
		if got := c.LocalAddr(); got.Addr() != addr || got.Port() == 0 {
			t.Errorf("bound to %v: LocalAddr %v", addr, got)
		}
	}
	if c, err := p.a.ListenUDP(netip.AddrPort{}); err == nil {
		c.Close()
		t.Error("ListenUDP of no address succeeded")
	}
}

func testPortInUse(t *testing.T, p pair) {
	c := open(t, p.a, p.addrA)
	if second, err := p.a.ListenUDP(c.LocalAddr()); err == nil {
		second.Close()
		t.Fatalf("a second socket on %v", c.LocalAddr())
	}
	c.Close()
	again, err := p.a.ListenUDP(c.LocalAddr())
	if err != nil {
		t.Fatalf("after Close the port is not free: %v", err)
	}
	again.Close()
}

// testFamiliesApart binds the same port for the other family: neither socket
// carries the other's packets.
func testFamiliesApart(t *testing.T, p pair) {
	if !p.dual {
		t.Skip("no IPv6")
	}
	other := netip.IPv6Unspecified()
	if p.unspecified.Is6() {
		other = netip.IPv4Unspecified()
	}
	for range 20 { // a stranger may hold the port in the other family
		c := open(t, p.a, p.unspecified)
		d, err := p.a.ListenUDP(netip.AddrPortFrom(other, c.LocalAddr().Port()))
		if err == nil {
			d.Close()
			return
		}
	}
	t.Error("the port of a wildcard socket is never free in the other family")
}

// testWatch ends two watches, one after the other. What changes meanwhile on a real
// host is nothing that a test can know.
func testWatch(t *testing.T, h Hosts) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first, err := h.A.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	other, stop := context.WithCancel(t.Context())
	second, err := h.A.Watch(other)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	for range second { // until it is closed
	}
	select {
	case _, ok := <-first:
		if !ok {
			t.Error("the end of one watch ended another")
		}
	default:
	}
	cancel()
	for range first {
	}
}

package netsim

import (
	"net/netip"
	"testing"
)

func TestRoutes(t *testing.T) {
	var r routes
	pipes := map[string]*pipe{}
	for _, s := range []string{"0.0.0.0/0", "198.51.100.0/24", "198.51.100.128/25", "198.51.100.129/32", "2001:db8::/32", "2001:db8:1::/48"} {
		pipes[s] = &pipe{}
		if !r.add(netip.MustParsePrefix(s), pipes[s]) {
			t.Fatalf("%s is not added", s)
		}
	}
	check := func(a, want string) {
		t.Helper()
		if got := r.lookup(netip.MustParseAddr(a)); got != pipes[want] {
			t.Errorf("%s does not go by %q", a, want)
		}
	}
	check("192.0.2.1", "0.0.0.0/0")
	check("198.51.100.1", "198.51.100.0/24")
	check("198.51.100.200", "198.51.100.128/25")
	check("198.51.100.129", "198.51.100.129/32")
	check("2001:db8:2::1", "2001:db8::/32")
	check("2001:db8:1::1", "2001:db8:1::/48")
	check("2001:db9::1", "") // IPv4's default is not IPv6's
	if r.lookup(netip.Addr{}) != nil {
		t.Error("no address has a route")
	}

	p := netip.MustParsePrefix("198.51.100.77/24") // masked on entry
	if r.add(p, &pipe{}) {
		t.Error("a second route replaces the first")
	}
	if r.remove(p, &pipe{}) {
		t.Error("a route is removed for another")
	}
	check("198.51.100.1", "198.51.100.0/24")
	if !r.remove(p, pipes["198.51.100.0/24"]) {
		t.Error("the route is not removed")
	}
	check("198.51.100.1", "0.0.0.0/0")
}

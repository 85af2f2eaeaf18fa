package discovery

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/bdtnet/bdt/underlay"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func addrPorts(list ...string) (out []netip.AddrPort) {
	for _, s := range list {
		out = append(out, netip.MustParseAddrPort(s))
	}
	return out
}

func TestWantedSegments(t *testing.T) {
	any := addrPorts("0.0.0.0:7000", "[::]:7001")
	for _, tt := range []struct {
		name      string
		ifi       underlay.Interface
		listening []netip.AddrPort
		groups    []netip.AddrPort
		addrs     []netip.AddrPort
	}{
		{"both families", underlay.Interface{Up: true, Prefixes: prefixes("fe80::1/64", "2001:db8::1/64", "192.168.7.1/24")}, any,
			[]netip.AddrPort{Group4, Group6}, addrPorts("192.168.7.1:7000", "[2001:db8::1]:7001", "[fe80::1]:7001")},
		{"down", underlay.Interface{Prefixes: prefixes("192.168.7.1/24")}, any, nil, nil},
		{"loopback", underlay.Interface{Up: true, Loopback: true, Prefixes: prefixes("127.0.0.1/8")}, any, nil, nil},
		{"a tunnel", underlay.Interface{Up: true, Prefixes: prefixes("10.0.0.1/32")}, any, nil, nil},
		{"bound elsewhere", underlay.Interface{Up: true, Prefixes: prefixes("192.168.7.1/24")}, addrPorts("192.168.8.1:1"), nil, nil},
		{"bound here", underlay.Interface{Up: true, Prefixes: prefixes("192.168.7.1/24", "192.168.7.2/24")}, addrPorts("192.168.7.2:1"),
			[]netip.AddrPort{Group4}, addrPorts("192.168.7.2:1")},
		{"many", underlay.Interface{Up: true, Prefixes: prefixes("10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24", "10.0.0.4/24", "10.0.0.5/24")}, any,
			[]netip.AddrPort{Group4}, addrPorts("10.0.0.1:7000", "10.0.0.2:7000", "10.0.0.3:7000", "10.0.0.4:7000")},
	} {
		got := wantedSegments([]underlay.Interface{tt.ifi}, tt.listening)
		var groups []netip.AddrPort
		for _, g := range got {
			groups = append(groups, g.group)
			if !slices.Equal(g.addrs, tt.addrs) {
				t.Errorf("%s: addresses %v, want %v", tt.name, g.addrs, tt.addrs)
			}
		}
		if !slices.Equal(groups, tt.groups) {
			t.Errorf("%s: groups %v, want %v", tt.name, groups, tt.groups)
		}
	}
	many := slices.Repeat([]underlay.Interface{{Up: true, Prefixes: prefixes("10.0.0.1/24", "fd00::1/64")}}, 100)
	if got := wantedSegments(many, any); len(got) != maxSegments {
		t.Errorf("%d segments of 100 interfaces", len(got))
	}
}

func TestOnLink(t *testing.T) {
	nets := prefixes("192.168.7.1/24", "fd00::1/64", "10.0.0.1/32")
	for _, tt := range []struct {
		addr, zone, want string // want: empty if refused
	}{
		{"192.168.7.9:1", "", "192.168.7.9:1"},
		{"192.168.8.9:1", "", ""},
		{"203.0.113.1:1", "", ""},
		{"10.0.0.1:1", "", ""},
		{"127.0.0.1:1", "eth0", ""},
		{"[fd00::9]:1", "", "[fd00::9]:1"},
		{"[fd01::9]:1", "eth0", ""},
		{"[fe80::9]:1", "eth0", "[fe80::9%eth0]:1"},
		{"[fe80::9]:1", "", ""},
		{"[fe80::9%eth1]:1", "eth0", "[fe80::9%eth0]:1"},
	} {
		got, ok := onLink(netip.MustParseAddrPort(tt.addr), nets, tt.zone)
		if ok != (tt.want != "") || ok && got != netip.MustParseAddrPort(tt.want) {
			t.Errorf("%s in zone %q: %v, %v; want %q", tt.addr, tt.zone, got, ok, tt.want)
		}
	}
}

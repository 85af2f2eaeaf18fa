package scenario

import (
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/netsim"
)

// The scenario of Pair: delays of the links to the internet, one way.
const (
	pairDelaySN = 10 * time.Millisecond
	pairDelay   = 15 * time.Millisecond
)

// Pair returns the scenario of the grid: alice, behind one preset, dials bob, behind another, of
// whom she knows nothing but his id. Both stacks have found an SN with two addresses of either
// family. Nothing is expected; the caller may add to it.
func Pair(a, b netsim.Preset) *File {
	f := &File{
		Name: a.Name + " to " + b.Name, Seed: 1, Limit: time.Minute, Ready: DefaultReady,
		Nodes: []Node{{Name: "internet", Kind: Router}, {Name: "sn", Kind: Host}},
		Links: []Link{{
			Name: "sn-internet", From: "sn", To: "internet", Config: netsim.LinkConfig{Delay: pairDelaySN},
			Addrs: []string{"203.0.113.1", "203.0.113.2", "2001:db8::1", "2001:db8::2"},
		}},
		SuperNodes: []SuperNode{{Name: "sn", Host: "sn"}},
		Devices:    []Device{{Name: "alice", Host: "alice"}, {Name: "bob", Host: "bob"}},
		Steps:      []Step{{Do: DoDial, From: "alice", To: "bob"}},
	}
	for i, s := range []struct {
		preset    netsim.Preset
		nat, host string
		wan       []string
	}{
		{a, "alice-nat", "alice", []string{"198.51.100.1", "2001:db8:a::/48"}},
		{b, "bob-nat", "bob", []string{"198.51.100.2", "2001:db8:b::/48"}},
	} {
		f.Nodes = append(f.Nodes, Node{Name: s.nat, Kind: NAT, Preset: s.preset.Name}, Node{Name: s.host, Kind: Host})
		f.Links = append(f.Links,
			Link{Name: s.nat + "-internet", From: s.nat, To: "internet", Addrs: s.wan, Config: netsim.LinkConfig{Delay: pairDelay}},
			Link{Name: s.host + "-" + s.nat, From: s.host, To: s.nat, Addrs: pairHost(s.preset, i, s.wan[1])},
		)
	}
	return f
}

// AddPN adds a PN with an address of either family to the scenario of Pair, which both devices use.
func (f *File) AddPN() {
	f.Nodes = append(f.Nodes, Node{Name: "pn", Kind: Host})
	f.Links = append(f.Links, Link{
		Name: "pn-internet", From: "pn", To: "internet", Config: netsim.LinkConfig{Delay: pairDelaySN},
		Addrs: []string{"203.0.113.65", "2001:db8::41"},
	})
	f.ProxyNodes = append(f.ProxyNodes, ProxyNode{Name: "pn", Host: "pn"})
}

// pairHost returns the addresses of a host of Pair, the same that a file would give it.
func pairHost(p netsim.Preset, i int, prefix6 string) (addrs []string) {
	if p.IPv4 {
		addrs = append(addrs, netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(1 + i), 2}), 24).String())
	}
	if p.IPv6 {
		a := netip.MustParsePrefix(prefix6).Addr().As16()
		a[15] = 2
		addrs = append(addrs, netip.PrefixFrom(netip.AddrFrom16(a), 64).String())
	}
	return addrs
}

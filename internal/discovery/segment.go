package discovery

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/underlay"
)

// maxSegments bounds the memberships: interfaces times families.
const maxSegments = 32

// A segment is a membership of the group of one family on one interface.
type segment struct {
	ifname string
	index  int
	group  netip.AddrPort
	conn   underlay.UDPConn
	dead   atomic.Bool // its reader has ended

	mu    sync.Mutex
	addrs []netip.AddrPort // where the stack can be reached there
	nets  []netip.Prefix   // the interface's own addresses, with their subnets
}

// segmentKey tells segments apart. An interface that comes back under its old name
// has another index, and is to be joined again.
type segmentKey struct {
	ifname string
	index  int
	is4    bool
}

func (g *segment) key() segmentKey { return segmentKey{g.ifname, g.index, g.group.Addr().Is4()} }

func (g *segment) set(addrs []netip.AddrPort, nets []netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.addrs, g.nets = addrs, nets
}

func (g *segment) get() ([]netip.AddrPort, []netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.addrs, g.nets
}

// wantedSegments returns what there is to join: the interfaces that are up, lead to
// others, and have an address at which the stack listens.
func wantedSegments(interfaces []underlay.Interface, listening []netip.AddrPort) []*segment {
	var list []*segment
	for _, i := range interfaces {
		if !i.Up || i.Loopback {
			continue
		}
		addrs := reachable(i.Prefixes, listening)
		if len(addrs) == 0 {
			continue
		}
		for _, group := range []netip.AddrPort{Group4, Group6} {
			hosts := slices.ContainsFunc(i.Prefixes, func(p netip.Prefix) bool {
				return p.Addr().Is4() == group.Addr().Is4() && !p.IsSingleIP()
			})
			if hosts && len(list) < maxSegments {
				list = append(list, &segment{ifname: i.Name, index: i.Index, group: group, addrs: addrs, nets: i.Prefixes})
			}
		}
	}
	return list
}

// reachable returns the addresses of an interface with the ports at which the
// stack listens there, at most as many as a beacon holds: IPv4 first, then
// global IPv6, then what is of this link only.
func reachable(own []netip.Prefix, listening []netip.AddrPort) []netip.AddrPort {
	var list []netip.AddrPort
	for _, p := range own {
		a := p.Addr().WithZone("")
		for _, l := range listening {
			bound := l.Addr().WithZone("")
			if a.Is4() == bound.Is4() && (bound.IsUnspecified() || bound == a) {
				list = append(list, netip.AddrPortFrom(a, l.Port()))
			}
		}
	}
	rank := func(a netip.AddrPort) int {
		switch ip := a.Addr(); {
		case ip.IsLinkLocalUnicast():
			return 2
		case ip.Is4():
			return 0
		}
		return 1
	}
	slices.SortStableFunc(list, func(a, b netip.AddrPort) int { return cmp.Compare(rank(a), rank(b)) })
	return list[:min(len(list), wire.MaxBeaconAddrs)]
}

// onLink returns a, with the zone if it needs one, if it is in one of the subnets;
// false if it is not, or is one that no device has.
func onLink(a netip.AddrPort, nets []netip.Prefix, zone string) (netip.AddrPort, bool) {
	ip := a.Addr()
	if ip.Is6() && ip.IsLinkLocalUnicast() {
		return netip.AddrPortFrom(ip.WithZone(zone), a.Port()), zone != ""
	}
	if ip.IsLoopback() || ip.IsMulticast() || ip.IsUnspecified() {
		return netip.AddrPort{}, false
	}
	return a, slices.ContainsFunc(nets, func(p netip.Prefix) bool {
		return !p.IsSingleIP() && p.Contains(ip)
	})
}

package netsim

import (
	"net/netip"

	"github.com/bdtnet/bdt/internal/nat64"
)

// to4 gives a packet from below that is to be translated its IPv4 destination.
// The mapping then gives it an IPv4 source. It reports false if there is no
// such destination.
func (t *NAT) to4(p *packet) bool {
	if !t.cfg.Prefix64.IsValid() || !t.cfg.Prefix64.Contains(p.Dst.Addr()) {
		return true
	}
	a, ok := nat64.Extract(t.cfg.Prefix64, p.Dst.Addr())
	if !ok || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() {
		return false
	}
	p.Dst = netip.AddrPortFrom(a, p.Dst.Port())
	return true
}

// to6 gives a packet whose destination below is IPv6 the source that its
// receiver knows the sender by.
func (t *NAT) to6(p *packet) {
	if p.Dst.Addr().Is4() == p.Src.Addr().Is4() {
		return
	}
	a, _ := nat64.Embed(t.cfg.Prefix64, p.Src.Addr()) // valid: there is a mapping
	p.Src = netip.AddrPortFrom(a, p.Src.Port())
}

// prefix64 returns the prefix of the nearest NAT64 above a node; zero if there is
// none.
func (b *base) prefix64() netip.Prefix {
	for _, l := range b.uplinks {
		if t, ok := l.up.to.(*NAT); ok && t.cfg.Prefix64.IsValid() {
			return t.cfg.Prefix64
		}
		if p := l.up.to.common().prefix64(); p.IsValid() {
			return p
		}
	}
	return netip.Prefix{}
}

// dns64 adds to the addresses of a name what the network's resolver makes of
// them if they are all IPv4 (RFC 6147 §5.1.6).
func (h *Host) dns64(addrs []netip.Addr) []netip.Addr {
	p := h.prefix64()
	if !p.IsValid() {
		return addrs
	}
	for _, a := range addrs {
		if a.Is6() {
			return addrs
		}
	}
	for _, a := range addrs[:len(addrs):len(addrs)] {
		if v6, ok := nat64.Embed(p, a); ok {
			addrs = append(addrs, v6)
		}
	}
	return addrs
}

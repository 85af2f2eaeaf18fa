package path

import (
	"net/netip"
	"slices"
)

// A Link is the owner's handle of something that carries packets: a UDP socket, a
// binding at a relay, a framed TCP connection. The Set compares links and
// returns them in actions, and never calls them. Its dynamic type is comparable,
// such as a pointer.
type Link any

// Transport is what a link runs over.
type Transport uint8

// The transports.
const (
	TransportUDP   Transport = iota // reaches any address of its family
	TransportTCP                    // reaches LinkInfo.Peer only
	TransportRelay                  // reaches LinkInfo.Peer only
)

// LinkInfo is what a Set needs to know of a link.
type LinkInfo struct {
	Link      Link
	Transport Transport

	// Local is the bound address. An unspecified address stands for all
	// addresses of its family in Prefixes.
	Local netip.AddrPort

	// Prefixes are the interfaces' own addresses of the family of Local (not
	// masked: the address says who we are), each with the length of its on-link
	// prefix. The Set keeps the slice and does not change it.
	Prefixes []netip.Prefix

	// Peer is the one remote address of a link that is not UDP: AddLink makes a
	// path of it. The rules on addresses (spec §2) do not bind it, since the owner
	// opened the link.
	Peer netip.AddrPort
}

type link struct{ LinkInfo }

// Refuses reports whether packets must not go to a over the link, if nothing more is known of it
// than that somebody named it (spec §2).
func (li LinkInfo) Refuses(a netip.AddrPort) bool {
	l := link{li}
	return l.refuse(a, false, false) != none
}

// owns reports whether a is the link's own address and port.
func (l *link) owns(a netip.AddrPort) bool {
	if !a.IsValid() || a.Port() != l.Local.Port() {
		return false
	}
	return a.Addr() == l.Local.Addr() ||
		slices.ContainsFunc(l.Prefixes, func(p netip.Prefix) bool { return p.Addr() == a.Addr() })
}

// onLink reports whether a is in one of the link's subnets.
func (l *link) onLink(a netip.Addr) bool {
	return slices.ContainsFunc(l.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// broadcasts reports whether a is the broadcast address of one of the link's subnets.
func (l *link) broadcasts(a netip.Addr) bool {
	return a.Is4() && slices.ContainsFunc(l.Prefixes, func(p netip.Prefix) bool {
		// A /31 and a /32 have none (RFC 3021). In the others it is the last address:
		// the next one is outside.
		return p.Addr().Is4() && p.Bits() < 31 && p.Contains(a) && !p.Contains(a.Next())
	})
}

var (
	sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")     // RFC 791 §3.2
	classE      = netip.MustParsePrefix("240.0.0.0/4")   // RFC 1112 §4, with 255.255.255.255
)

// isPrivate reports whether a means different hosts in different places.
func isPrivate(a netip.Addr) bool {
	return a.IsPrivate() || sharedSpace.Contains(a) || a.IsLinkLocalUnicast() || a.IsLoopback()
}

// refuse returns why packets must not go to a over l (spec §2), or none. A source is
// an address that an authenticated packet came from, or for loopback where an SN
// sees the peer: that SN is on this machine, and so is the peer if the address is
// shared.
func (l *link) refuse(a netip.AddrPort, shared, source bool) Reason {
	ip := a.Addr()
	switch {
	case !a.IsValid() || a.Port() == 0 || ip.Is4In6():
		return RefusedMalformed
	case ip.IsUnspecified() || ip.IsMulticast() || thisNetwork.Contains(ip) || classE.Contains(ip) || l.broadcasts(ip):
		return RefusedSpecial
	case ip.Is4() != l.Local.Addr().Is4():
		return RefusedFamily
	case l.owns(a):
		return RefusedOwn
	case ip.IsLoopback():
		if !l.Local.Addr().IsLoopback() && !(shared && source && l.onLink(ip)) {
			return RefusedLoopback
		}
	case ip.IsLinkLocalUnicast():
		if !l.sharesLink(ip) {
			return RefusedLinkLocal
		}
	case isPrivate(ip) && !shared && !source && !l.onLink(ip):
		return RefusedPrivate
	}
	return none
}

// sharesLink reports whether the link-local address a can mean a host on l. An
// IPv6 one needs a zone, which no message carries: only a source has one.
func (l *link) sharesLink(a netip.Addr) bool {
	if a.Is4() {
		return l.onLink(a)
	}
	local := l.Local.Addr()
	return a.Zone() != "" && (local.IsUnspecified() || local.Zone() == a.Zone())
}

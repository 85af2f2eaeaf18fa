package path

import "net/netip"

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

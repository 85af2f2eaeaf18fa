package netcheck

import (
	"net/netip"
	"time"
)

// A Verdict is what was found out about one property.
type Verdict struct {
	Value string // one of the constants below
	Why   string // for Unknown: why, and what it would take
}

// The kinds of mapping (RFC 4787 §4.1) and filtering (§5), and the answers to the
// other questions.
const (
	EndpointIndependent     = "endpoint-independent"
	AddressDependent        = "address-dependent"
	AddressAndPortDependent = "address-and-port-dependent"
	None                    = "none" // nothing translates addresses
	Yes                     = "yes"
	No                      = "no"
	Some                    = "sometimes"
	Unknown                 = "unknown"
)

func unknown(why string) Verdict { return Verdict{Unknown, why} }

// A Report is what an examination found.
type Report struct {
	Servers    []Server // in the order of Config.Servers
	IPv4, IPv6 Family
}

// A Server is how a STUN server is reached.
type Server struct{ IPv4, IPv6 Reach }

// A Reach is how a server is reached over one family. It is zero if it has no
// address of the family, or this machine has none.
type Reach struct {
	Addr     netip.AddrPort // that answered, else that was asked
	RTT      time.Duration  // 0: no answer
	Observed netip.AddrPort // where it sees us
	Ports    int            // 2: answers came from its other port, too
	Address2 bool           // it has another address
}

// A Family is what was found about IPv4 or IPv6.
type Family struct {
	Asked    bool           // there is a server to ask, and a socket to ask from
	Works    bool           // a server answered
	NAT64    bool           // all of those see us in the other family
	Observed netip.AddrPort // where one of those sees a socket of ours

	Mapping, Filtering, Hairpin, PortPreservation Verdict
}

package netcheck

import "net/netip"

// An observation is where one socket was seen by who sits at an address.
type observation struct{ by, mapped netip.AddrPort }

// Why a kind of mapping or filtering is not known.
const (
	whyNoServer     = "no super node has such an address"
	whyNoBind       = "this device has no socket for such addresses"
	whyNoSocket     = "no socket could be opened"
	whyInterrupted  = "the time was over before it was known"
	whyNoAnswer     = "no super node answered"
	whyOnePort      = "one address and one port of a super node tell nothing: that takes a second port, or a second super node"
	whyOneAddress   = "endpoint-independent or address-dependent: to tell takes a super node with two addresses, or a second super node"
	whySecondPort   = "address-dependent or address-and-port-dependent: to tell takes a super node with two ports"
	whyNotReached   = "the super nodes give no other way to send to a mapping"
	whyContradicted = "the answers contradict each other: packets were lost, or there are several NATs"
	whyNoMapping    = "there is no mapping that could be sent to"
	whyHairpin      = "mappings depend on the destination: that nothing came back may have other reasons"
)

// mapping names how a NAT maps, from where several servers see one socket. local
// reports whether an address is the socket's own.
func mapping(seen []observation, local func(netip.AddrPort) bool) Verdict {
	if len(seen) == 0 {
		return unknown(whyNoAnswer)
	}
	seen = beyondNAT(seen, local)
	if local(seen[0].mapped) {
		return Verdict{Value: None}
	}
	var addresses, ports, byAddress, byPort bool // there were two; the mappings differed
	for i, a := range seen {
		for _, b := range seen[:i] {
			switch same := a.mapped == b.mapped; {
			case a.by == b.by:
			case a.by.Addr() == b.by.Addr():
				ports, byPort = true, byPort || !same
			default:
				addresses, byAddress = true, byAddress || !same
			}
		}
	}
	switch {
	case byPort:
		return Verdict{Value: AddressAndPortDependent}
	case byAddress && ports:
		return Verdict{Value: AddressDependent}
	case byAddress:
		return unknown(whySecondPort)
	case addresses:
		return Verdict{Value: EndpointIndependent}
	case ports:
		return unknown(whyOneAddress)
	}
	return unknown(whyOnePort)
}

// beyondNAT leaves out the servers on this side of the NAT, unless there are
// no others.
func beyondNAT(seen []observation, local func(netip.AddrPort) bool) []observation {
	var far []observation
	for _, o := range seen {
		if !local(o.mapped) {
			far = append(far, o)
		}
	}
	if len(far) == 0 {
		return seen
	}
	return far
}

// A tried is what became of an attempt to be sent something.
type tried uint8

const (
	untried tried = iota // there is no server that can
	came
	missed
)

// filtering names how a NAT filters, from what came to a socket that has sent to
// one port of one address only: from another port of it, from
// another address.
func filtering(port, address tried) Verdict {
	switch {
	case address == came && port == missed:
		return unknown(whyContradicted)
	case address == came:
		return Verdict{Value: EndpointIndependent}
	case port == missed:
		return Verdict{Value: AddressAndPortDependent}
	case port == came && address == missed:
		return Verdict{Value: AddressDependent}
	case port == came:
		return unknown(whyOneAddress)
	case address == missed:
		return unknown(whySecondPort)
	}
	return unknown(whyNotReached)
}

// hairpin says whether a NAT turns around what is sent to its own mappings, given
// what became of that. Nothing comes back either if the filter is in the way, which
// could only be opened if the mapping were known in advance.
func hairpin(back tried, mapping, filtering Verdict) Verdict {
	switch {
	case mapping.Value == None:
		return Verdict{Value: None}
	case back == untried:
		return unknown(whyNoMapping)
	case back == came:
		return Verdict{Value: Yes}
	case mapping.Value == EndpointIndependent || filtering.Value == EndpointIndependent:
		return Verdict{Value: No}
	}
	return unknown(whyHairpin)
}

// preservation says whether the sockets' ports were kept.
func preservation(kept, all int) Verdict {
	switch {
	case all == 0:
		return unknown(whyNoAnswer)
	case kept == all:
		return Verdict{Value: Yes}
	case kept == 0:
		return Verdict{Value: No}
	}
	return Verdict{Value: Some}
}

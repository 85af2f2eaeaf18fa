package wire

import (
	"net/netip"
	"strconv"
)

// CandidateKind says where a candidate was learned (spec §4).
type CandidateKind uint8

// The kinds of candidate. Numbers are never reused.
const (
	CandidateHost            CandidateKind = 1 // on an interface of its owner
	CandidateServerReflexive CandidateKind = 2 // as an SN or a STUN server saw it
	CandidatePeerReflexive   CandidateKind = 3 // as a peer saw it
	CandidateConfigured      CandidateKind = 4 // set by the operator
	CandidateMapped          CandidateKind = 5 // mapped at the router on request
	CandidateRelay           CandidateKind = 6 // at a relay
)

// String returns the name of the kind.
func (k CandidateKind) String() string {
	switch k {
	case CandidateHost:
		return "host"
	case CandidateServerReflexive:
		return "server-reflexive"
	case CandidatePeerReflexive:
		return "peer-reflexive"
	case CandidateConfigured:
		return "configured"
	case CandidateMapped:
		return "mapped"
	case CandidateRelay:
		return "relay"
	}
	return "candidate kind " + strconv.Itoa(int(k))
}

// Candidate is a place where a device may be reached (spec §4). A mapped IPv4
// address is sent as IPv4, and a zone is not sent; a parsed address has neither,
// is not unspecified or multicast, and its port is not 0.
type Candidate struct {
	Kind CandidateKind
	Addr netip.AddrPort
}

// String returns kind and address, for logs.
func (c Candidate) String() string { return c.Kind.String() + " " + c.Addr.String() }

// appendCandidates appends the count, and for each candidate its kind, address
// length, address and port: at most 1 + 8 × 20 = 161 bytes.
func appendCandidates(b []byte, list []Candidate) []byte {
	b = append(b, byte(len(list)))
	for _, c := range list {
		b = appendAddr(append(b, byte(c.Kind)), c.Addr)
	}
	return b
}

// candidates returns a list, nil if it is empty. Candidates of a kind that this
// version does not know are left out: it would not know how to use them.
func (r *reader) candidates() []Candidate {
	n := int(r.uint8())
	if n > MaxCandidates {
		r.fail(ErrCount)
		return nil
	}
	var list []Candidate
	for range n {
		c := Candidate{CandidateKind(r.uint8()), r.addr()}
		r.check(c.Kind != 0)
		if r.err != nil {
			return nil
		}
		if c.Kind > CandidateRelay {
			continue
		}
		if list == nil {
			list = make([]Candidate, 0, n)
		}
		list = append(list, c)
	}
	return list
}

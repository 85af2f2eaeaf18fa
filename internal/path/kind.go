package path

import (
	"math/bits"
	"net/netip"

	"github.com/bdtnet/bdt/internal/wire"
)

// Kind is the kind of a path, for people and for the order of choice: the lower
// is preferred (spec §1, §5).
type Kind uint8

// The kinds, best first. An end of a path is open if the other end sees it at an
// address that is its own: on an interface, set by its operator, or mapped at its
// router on request.
const (
	LAN     Kind = iota + 1 // an end is open, and the remote address is private or, told by the peer as its own, in a subnet of ours
	Direct                  // an end is open
	Punched                 // neither end is known to be open
	TCP                     // a framed TCP connection
	Relayed                 // over a relay
)

var kindNames = [...]string{LAN: "lan", Direct: "direct", Punched: "punched", TCP: "tcp", Relayed: "relayed"}

// String returns the name of the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) && k != 0 {
		return kindNames[k]
	}
	return "unknown"
}

// classify returns the kind of p by what is known now. Both ends come to the same
// result when each was told the other's addresses: an end knows that it is open
// itself from the address that the peer observes, and of the peer from its candidates.
func (s *Set) classify(p *path) Kind {
	switch p.link.Transport {
	case TransportTCP:
		return TCP
	case TransportRelay:
		return Relayed
	}
	peerOpen := p.cand != nil && p.cand.kinds.open()
	if !peerOpen && !s.open(p.link, p.observed) {
		return Punched
	}
	if isPrivate(p.addr.Addr()) || peerOpen && p.link.onLink(p.addr.Addr()) {
		return LAN
	}
	return Direct
}

// open reports whether observed is an address of our own on l.
func (s *Set) open(l *link, observed netip.AddrPort) bool {
	if l.owns(observed) {
		return true
	}
	for _, c := range s.local {
		if c.Addr == observed && kindSetOf(c.Kind).open() {
			return true
		}
	}
	return false
}

// kindSet is the set of kinds by which an address was told.
type kindSet uint8

func kindSetOf(k wire.CandidateKind) kindSet {
	if k > wire.CandidateRelay {
		return 0
	}
	return 1 << k
}

// one returns a kind of the set, one that says that the address is open if there is
// such; 0: the set is empty.
func (k kindSet) one() wire.CandidateKind {
	if k.open() {
		k &= openKinds
	}
	return wire.CandidateKind(max(bits.Len8(uint8(k))-1, 0))
}

const openKinds = kindSet(1<<wire.CandidateHost | 1<<wire.CandidateConfigured | 1<<wire.CandidateMapped)

// open reports whether the address accepts packets from anybody, as far as the one who
// told it knows.
func (k kindSet) open() bool { return k&openKinds != 0 }

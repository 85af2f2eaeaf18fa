package path

import (
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// Origin says who told of a candidate.
type Origin uint8

// The origins.
const (
	OriginDescriptor Origin = iota + 1 // the peer's signed device
	OriginTicket                       // a ticket
	OriginObserved                     // an SN, which saw the peer there itself
	OriginSN                           // an SN, which passes on what the peer told it
	OriginPeer                         // the peer, in a sealed message or its response
	OriginDiscovery                    // discovery on the local network
)

// A Candidate is a place where the peer may be reached.
type Candidate struct {
	Addr   netip.AddrPort
	Kind   wire.CandidateKind // as its teller named it
	Origin Origin

	// Start is when the SN asked for the first knock (now + wait); the Set adds
	// the guard of spec §3. Zero: at once.
	Start time.Time

	// Opener asks for an Opener at once. Only OriginObserved gets one.
	Opener bool
}

package peer

import (
	"net/netip"
	"slices"
	"time"

	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/wire"
)

// maxDiscovered bounds the addresses of an attempt that discovery has told and that
// are asked for the peer's descriptor.
const maxDiscovered = 8

// HandleDiscovered takes an address on the local network where the peer says that
// it is, or somebody for it. It may be called on any goroutine.
func (p *Peer) HandleDiscovered(addr netip.AddrPort) {
	p.post(func(now time.Time) { p.onDiscovered(now, addr) })
}

func (p *Peer) onDiscovered(now time.Time, addr netip.AddrPort) {
	p.paths.AddCandidate(now, path.Candidate{Addr: addr, Kind: wire.CandidateHost, Origin: path.OriginDiscovery})
	a := p.attempt
	if a == nil {
		return
	}
	if p.device != nil {
		if p.current == nil && p.tentative == nil && !p.exchange.Pending() {
			p.callAgain(now) // it waited for something to try
		}
		return
	}
	if !slices.Contains(a.discovered, addr) && len(a.discovered) < maxDiscovered {
		a.discovered = append(a.discovered, addr)
		p.describe(addr)
	}
}

package peer

import (
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/internal/path"
)

// addCandidate adds a place to try, and on a network without IPv4 the IPv6 address
// that stands for it there (docs/adr/0018). It returns the one to use.
func (p *Peer) addCandidate(now time.Time, c path.Candidate) netip.AddrPort {
	if to, ok := p.cfg.Host.Translate(c.Addr); ok {
		c.Addr = to
	}
	p.paths.AddCandidate(now, c)
	return c.Addr
}

// HandleTranslation tells that IPv4 addresses can be translated now: those that
// were told are tried anew.
func (p *Peer) HandleTranslation() {
	p.post(func(now time.Time) {
		for _, c := range p.paths.Candidates() {
			if to, ok := p.cfg.Host.Translate(c.Addr); ok {
				c.Addr = to
				p.paths.AddCandidate(now, c)
			}
		}
		if to, ok := p.cfg.Host.Translate(p.observed); ok {
			p.observed = to
		}
	})
}

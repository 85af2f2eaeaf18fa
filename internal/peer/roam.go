package peer

import (
	"slices"
	"time"

	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/wire"
)

// NetworkChanged takes word that this device may be at another network, or is seen
// elsewhere. All ways to the peer are tried at once, unless the session is dormant; if
// none answers the peer is called.
func (p *Peer) NetworkChanged() { p.ask(p.ctx, p.onNetwork) }

func (p *Peer) onNetwork(now time.Time) {
	p.setLinks(now)
	p.setLocal()
	p.paths.NetworkChanged(now)
	p.betterTries = 0
	if a := p.attempt; a != nil {
		a.round, a.rounds = now, 0 // what was tried in vain may work from here
	}
}

// CandidatesChanged takes word that others see this device elsewhere than before, or
// as well.
func (p *Peer) CandidatesChanged() {
	p.ask(p.ctx, func(now time.Time) {
		if p.setLocal() {
			p.paths.NetworkChanged(now)
		}
	})
}

// KeepAliveChanged takes word that the host's KeepAlive has changed.
func (p *Peer) KeepAliveChanged() {
	p.ask(p.ctx, func(time.Time) { p.paths.SetKeepAlive(p.cfg.Host.KeepAlive()) })
}

// setLocal takes what this device is known to be reachable at, and reports whether
// that has changed.
func (p *Peer) setLocal() bool {
	list := p.cfg.Host.Candidates()
	if slices.Equal(list, p.local) {
		return false
	}
	p.paths.SetLocalCandidates(list)
	p.local, p.untold = list, true
	return true
}

// tellCandidates tells the peer where else we are, as soon as a path works: it may
// find a better one, and will need one when this one is gone. A message that is
// lost is missed only then, and then the peer is called.
func (p *Peer) tellCandidates(now time.Time) {
	if !p.untold || p.current == nil || !p.reached() {
		return
	}
	p.untold = false
	m := wire.Candidates{List: p.local}
	b := m.Append(nil)
	for _, info := range p.paths.Paths() {
		if info.State == path.Valid && (info.Current || info.Standby) {
			p.sendSealed(now, source{info.Link.(Link), info.Remote}, b)
		}
	}
}

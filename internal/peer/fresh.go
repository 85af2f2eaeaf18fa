package peer

import (
	"context"
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/wire"
)

// A Fresh is a link that nobody has sent to yet, and where an SN sees it.
//
// A punch that arrives too early at a router that does not drop it takes the
// port that the router's own device would have had towards us (path.md §3), for as long
// as we go on sending. From another port of ours everything is new. So when
// the first round of calls came to nothing, the next is made with a fresh link:
// it opens our NAT with an Opener before the peer hears of it, and stays silent
// until the peer is heard on it. Nothing is left to chance then.
type Fresh struct {
	Info   path.LinkInfo
	Mapped netip.AddrPort
	Close  func() error

	adopted bool // the peer was heard on it, and the paths know it
}

// freshTimeout bounds the time to open a fresh link and to learn its mapping.
const freshTimeout = time.Second

// wantsFresh reports whether a punch has been tried and no path has come of it.
func (p *Peer) wantsFresh() bool {
	return p.observed.IsValid() && p.attempt.rounds >= 2 && (!p.reached() || p.relayed())
}

// reached reports whether there is a path that works.
func (p *Peer) reached() bool {
	info, ok := p.paths.Current()
	return ok && info.State == path.Valid
}

// relayed reports whether data goes by a relay.
func (p *Peer) relayed() bool {
	info, ok := p.paths.Current()
	return ok && info.Kind == path.Relayed
}

// callBack has a callee that is called again, since no path came of the first
// call, do what the caller does: the port that was taken may be ours. A Linux
// router even gives later flows the port that it moved the first to, so that
// no fresh port at the other end helps.
func (p *Peer) callBack(now time.Time) {
	if now.Sub(p.failedAt) < attemptLife {
		p.unmet++
		return // it is calling us back
	}
	relayed := p.relayed() && p.live.Load() != nil
	if p.unmet++; p.unmet < 2 || p.attempt != nil || p.reached() && !relayed || relayed && p.betterTries == betterRounds {
		return
	}
	p.note(now, "called again without a path: calling back")
	p.beginAttempt(now)
	p.attempt.rounds, p.attempt.round = 1, now
	p.attempt.way, p.attempt.better = relayed, relayed
}

// freshen opens a fresh link on a worker and goes on with the round.
func (p *Peer) freshen(a *attempt, observed netip.AddrPort) {
	ctx, cancel := context.WithTimeout(p.ctx, freshTimeout)
	defer cancel()
	f, err := p.cfg.Host.OpenFresh(ctx, observed)
	if !p.ask(p.ctx, func(now time.Time) { p.onFresh(now, a, f, err) }) && f != nil {
		f.Close()
	}
}

// onFresh makes a fresh link ready and calls.
func (p *Peer) onFresh(now time.Time, a *attempt, f *Fresh, err error) {
	if p.attempt != a {
		p.discard(f)
		return
	}
	if err != nil {
		p.note(now, "no fresh link: "+err.Error())
		p.callAll(nil)
		return
	}
	p.dropFresh()
	p.fresh = f
	p.note(now, "calling with a fresh link, seen at "+f.Mapped.String())
	m := wire.Opener{Nonce: openerNonce()}
	_ = f.Info.Link.(Link).SendHopLimit(p.observed, m.Append(nil), path.OpenerHops)
	list := append([]wire.Candidate{{Kind: wire.CandidateServerReflexive, Addr: f.Mapped}}, p.cfg.Host.Candidates()...)
	p.callAll(list[:min(len(list), wire.MaxCandidates)])
}

// adopt tells the paths of the fresh link when the peer has been heard on it:
// the peer's NAT is open towards it.
func (p *Peer) adopt(now time.Time, link Link) {
	if f := p.fresh; f != nil && !f.adopted && f.Info.Link == path.Link(link) {
		f.adopted = true
		p.paths.AddLink(now, f.Info)
	}
}

// dropFresh closes the fresh link, whether it is used or not.
func (p *Peer) dropFresh() {
	f := p.fresh
	if f == nil {
		return
	}
	p.fresh = nil
	if f.adopted {
		p.paths.RemoveLink(time.Now(), f.Info.Link)
	}
	p.discard(f)
}

// discard closes a link on a worker, since that waits for its reader.
func (p *Peer) discard(f *Fresh) {
	if f != nil {
		p.workers.Go(func() { f.Close() })
	}
}

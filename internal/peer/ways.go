package peer

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"time"

	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/wire"
)

// setLinks tells the paths which links there are.
func (p *Peer) setLinks(now time.Time) {
	for _, li := range p.cfg.Host.Links() {
		p.paths.AddLink(now, li)
	}
}

// perform carries out what the paths ask for.
func (p *Peer) perform(now time.Time) {
	for _, a := range p.paths.Poll(now) {
		to := source{addr: a.Addr}
		to.link, _ = a.Link.(Link)
		switch a.Kind {
		case path.Open:
			m := wire.Opener{Nonce: openerNonce()}
			_ = to.link.SendHopLimit(to.addr, m.Append(nil), a.HopLimit)
		case path.Knock:
			p.knock(now, to)
		case path.SendProbe:
			p.sendSealed(now, to, a.Probe.Append(nil))
		case path.Sound:
			p.sendSealed(now, to, a.Sounding.Append(nil))
		case path.SendReply:
			p.sendSealed(now, to, a.Reply.Append(nil))
		case path.Use:
			p.use(now, to)
		case path.Recall:
			p.recall(now)
		case path.Check:
			p.cfg.Host.Check()
		case path.Resend:
			p.resend()
		case path.Lost:
			p.note(now, "no path has answered for too long")
			p.dropCurrent(now, ErrLost)
		}
	}
}

// recall has SNs call the peer: no path answers. Who was here without keys has proven
// nothing, and is not called unless he is wanted; who calls us now need not be called.
func (p *Peer) recall(now time.Time) {
	if p.current == nil && p.attempt == nil || p.tentative != nil || now.Sub(p.calledAt) < firstRound {
		return
	}
	if !p.leaves().IsZero() && p.attempt == nil {
		return // it has said that it leaves
	}
	p.note(now, "no path answers: calling again")
	p.recover(now, true)
}

// resend has the engine send again what was lost.
func (p *Peer) resend() {
	if ch := p.current; ch != nil && ch.conn.session != nil {
		ch.conn.lane.port.PathChanged()
	}
}

// openerNonce makes openers differ, so that nothing on the way that caches
// or filters repeated packets eats them.
func openerNonce() (n [4]byte) {
	rand.Read(n[:])
	return n
}

// knock sends what the handshake has for a place that has not answered: the
// pending initiation, or our response. When the peer is expected to initiate
// there is neither, and a bare opener keeps our NAT open for it.
func (p *Peer) knock(now time.Time, to source) {
	b := p.exchange.Packet(now)
	if b == nil {
		b = p.response
	}
	if b == nil {
		m := wire.Opener{Nonce: openerNonce()}
		b = m.Append(nil)
	}
	p.sendTo(now, to, b)
}

// use has data go to another place from now on.
func (p *Peer) use(now time.Time, to source) {
	if ch := p.current; ch != nil {
		p.steer(now, ch.conn, to)
		if p.live.Load() == ch.conn {
			p.finishAttempt(now) // it was to find a way, and here is one
		}
		if !p.relayed() {
			p.unmet = 0
		}
	}
	if ch := p.tentative; ch != nil && (p.current == nil || ch.conn != p.current.conn) {
		p.steer(now, ch.conn, to)
	}
}

// steer points a connection at a place, and starts it if it was waiting for one.
func (p *Peer) steer(now time.Time, c *connection, to source) {
	p.routes.claim(to, c.lane) // its answer may come before anything sealed does
	old := c.lane.route.Swap(&route{to.link, to.addr})
	if c.started && old != nil && (old.link != to.link || old.addr != to.addr) {
		c.lane.port.PathChanged()
	}
	p.start(now, c)
}

// chooseSource points a connection that has no place yet at the source of the
// packet that confirmed it: the paths may still hold an older place to be
// good, as when the peer restarted elsewhere.
func (p *Peer) chooseSource(now time.Time, c *connection, src source) {
	if c.lane.route.Load() == nil {
		p.steer(now, c, src)
	}
}

// addCandidates adds what the peer, or an SN for it, said. The address that the
// SN saw is not knocked at before start, unless there is no NAT.
func (p *Peer) addCandidates(now time.Time, list []wire.Candidate, origin path.Origin, start time.Time) {
	for i, c := range list {
		pc := path.Candidate{Addr: c.Addr, Kind: c.Kind, Origin: origin}
		if i == 0 && origin == path.OriginSN && c.Kind == wire.CandidateServerReflexive {
			pc.Origin = path.OriginObserved
			if !isOpen(list, c.Addr) {
				pc.Start, pc.Opener = start, true
			}
		}
		if used := p.addCandidate(now, pc); pc.Origin == path.OriginObserved {
			p.observed = used
		}
	}
}

// isOpen reports whether the peer names an address as one of its own interfaces,
// or one that its operator or its router has opened.
func isOpen(list []wire.Candidate, addr netip.AddrPort) bool {
	return slices.ContainsFunc(list, func(c wire.Candidate) bool {
		switch c.Kind {
		case wire.CandidateHost, wire.CandidateConfigured, wire.CandidateMapped:
			return c.Addr == addr
		}
		return false
	})
}

// addEndpoints adds published addresses. While the descriptor is not known,
// they are asked for it.
func (p *Peer) addEndpoints(now time.Time, list []netip.AddrPort, origin path.Origin) {
	for _, addr := range list {
		p.addCandidate(now, path.Candidate{Addr: addr, Kind: wire.CandidateConfigured, Origin: origin})
		if p.device == nil {
			p.describe(addr)
		}
	}
}

// describeAll asks again where the peer may be: questions and answers get lost.
func (p *Peer) describeAll() {
	for _, addr := range p.endpoints {
		p.describe(addr)
	}
	if p.attempt != nil {
		for _, addr := range p.attempt.discovered {
			p.describe(addr)
		}
	}
}

// describe asks one address for the peer's descriptor.
func (p *Peer) describe(addr netip.AddrPort) {
	if to, ok := p.cfg.Host.Translate(addr); ok {
		addr = to
	}
	for _, li := range p.cfg.Host.Links() {
		if li.Transport == path.TransportUDP && li.Local.Addr().Is4() == addr.Addr().Is4() {
			p.cfg.Host.Describe(p.cfg.ID, li.Link.(Link), addr)
		}
	}
}

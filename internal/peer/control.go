package peer

import (
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/wire"
)

// HandleControl takes a control packet whose receiver index is one of the
// peer's. It runs on a socket's reader goroutine, does not block, and does not
// retain b.
//
// A sealed packet is opened here and not by the owner: its source may then
// carry engine packets before the reader looks at the packet after it.
func (p *Peer) HandleControl(link Link, b []byte, from netip.AddrPort) {
	src := source{link, from}
	t, err := wire.ControlType(b)
	if err != nil {
		return
	}
	switch t {
	case wire.TypeSealed:
		p.openSealed(src, b)
	case wire.TypeResponse:
		p.HandleResponse(src.link, b, from)
	case wire.TypeCookieReply:
		if m, err := wire.ParseCookieReply(b); err == nil {
			p.post(func(now time.Time) { p.onCookie(now, src, m) })
		}
	}
}

// HandleHint takes word that the peer does not know the index under which we
// seal. It reports whether the hint is for this peer. It runs on a reader goroutine.
func (p *Peer) HandleHint(m wire.Hint) bool {
	for _, ch := range p.channels.all() {
		if ch.assoc.RemoteIndex() == m.Receiver {
			p.post(func(now time.Time) { p.onHint(now, m) })
			return true
		}
	}
	return false
}

// HandleResponse takes a Response to our initiation. A nil link says that it
// came by way of an SN. It may be called on any goroutine and does not retain b.
func (p *Peer) HandleResponse(link Link, b []byte, from netip.AddrPort) {
	m, err := wire.ParseResponse(b)
	if err != nil {
		return
	}
	src := source{link, from}
	if e := p.expected.Load(); e != nil && e.index == m.Receiver && link != nil {
		p.routes.claim(src, e.early)
		if p.expected.Load() != e { // meanwhile the owner was done with it
			p.routes.replace(e.early, e.early.heir())
		}
	}
	b = slices.Clone(b)
	p.post(func(now time.Time) { p.onResponse(now, src, b) })
}

func (p *Peer) openSealed(src source, b []byte) {
	h, err := wire.ParseSealedHeader(b)
	if err != nil {
		return
	}
	ch := p.channels.get(h.Receiver)
	if ch == nil {
		return
	}
	msg, err := ch.assoc.Open(nil, b, time.Now())
	if err != nil || len(msg) == 0 {
		return
	}
	p.routes.claim(src, ch.conn.lane)
	if ch.conn.lane.ended.Load() { // by the owner, meanwhile
		p.routes.remove(ch.conn.lane)
		return
	}
	ch.conn.lane.begin(src)
	p.post(func(now time.Time) { p.onSealed(now, ch, src, msg) })
}

// onSealed handles an opened message. Only these create or move paths.
func (p *Peer) onSealed(now time.Time, ch *channel, src source, msg []byte) {
	if p.channels.get(ch.assoc.LocalIndex()) != ch {
		return // dropped since
	}
	p.adopt(now, src.link)
	if ch == p.tentative {
		p.confirm(now, ch)
		p.chooseSource(now, ch.conn, src)
	}
	switch wire.MessageType(msg[0]) {
	case wire.MsgProbe:
		if m, err := wire.ParseProbe(msg); err == nil {
			p.paths.HandleProbe(now, src.link, src.addr, m)
		}
	case wire.MsgSounding:
		if m, err := wire.ParseSounding(msg); err == nil {
			p.paths.HandleProbe(now, src.link, src.addr, wire.Probe(m))
		}
	case wire.MsgProbeReply:
		if m, err := wire.ParseProbeReply(msg); err == nil {
			p.paths.HandleReply(now, src.link, src.addr, m)
			if p.current != nil && p.answers(src) {
				p.routes.take(src, p.current.conn.lane)
			}
		}
	case wire.MsgCandidates:
		if m, err := wire.ParseCandidates(msg); err == nil {
			p.addCandidates(now, m.List, path.OriginPeer, time.Time{})
		}
	case wire.MsgGoodbye:
		if m, err := wire.ParseGoodbye(msg); err == nil {
			p.onGoodbye(now, ch, m)
		}
	}
}

// answers reports whether a probe of ours was answered from src of late.
func (p *Peer) answers(src source) bool {
	for _, info := range p.paths.Paths() {
		if info.Link == path.Link(src.link) && info.Remote == src.addr {
			return info.State == path.Valid
		}
	}
	return false
}

// onGoodbye ends the session that the peer has ended. What the session itself
// had to say about it (its close code) has come first, if it was not lost.
func (p *Peer) onGoodbye(now time.Time, ch *channel, m wire.Goodbye) {
	if p.current == nil || ch.conn != p.current.conn {
		return
	}
	if m.Code == wire.GoodbyeLeaving {
		p.onLeaving(now, ch.conn)
		return
	}
	p.note(now, "the peer said goodbye: "+m.Reason)
	p.dropCurrent(now, ErrGone)
}

// onLeaving keeps the session of a peer that has left for those who have not read yet
// what arrived. Whoever wants the peer from now on calls it anew.
func (p *Peer) onLeaving(now time.Time, c *connection) {
	if c.started && c.leaves.IsZero() {
		p.note(now, "the peer has left: what it sent may be read for a while")
		c.leaves = now.Add(leaveGrace)
		p.live.CompareAndSwap(c, nil)
	}
}

// expireLeft ends the session of a peer that has left, when its time is up.
func (p *Peer) expireLeft(now time.Time) {
	if at := p.leaves(); !at.IsZero() && !now.Before(at) {
		p.dropCurrent(now, ErrGone)
	}
}

// leaves is when the session of a peer that has left ends; zero: it has not.
func (p *Peer) leaves() time.Time {
	if p.current == nil {
		return time.Time{}
	}
	return p.current.conn.leaves
}

// onHint handles word that the peer does not know an association. It may be
// forged, so all that it does is to start a handshake, now and then.
func (p *Peer) onHint(now time.Time, m wire.Hint) {
	if !p.exchange.HandleHint(now, m) {
		return
	}
	p.note(now, "the peer does not know the session: shaking hands again")
	p.recover(now, false)
}

// sealed seals msg under the best keys there are. It reports false if there
// are none.
func (p *Peer) sealed(now time.Time, msg []byte) ([]byte, bool) {
	ch := p.current
	if ch == nil {
		ch = p.tentative
	}
	if ch == nil {
		return nil, false
	}
	b, err := ch.assoc.Seal(nil, msg, now)
	return b, err == nil
}

// sendSealed seals msg and sends it on one path.
func (p *Peer) sendSealed(now time.Time, src source, msg []byte) {
	if b, ok := p.sealed(now, msg); ok {
		p.sendTo(now, src, b)
	}
}

// sendTo sends one control packet.
func (p *Peer) sendTo(now time.Time, to source, b []byte) {
	switch err := to.link.Send(to.addr, b); {
	case err == nil:
	case errors.Is(err, syscall.EMSGSIZE):
		p.paths.TooLong(now, to.link, to.addr)
	default:
		p.paths.SendFailed(now, to.link, to.addr, err)
	}
}

func (p *Peer) sendGoodbye(now time.Time) {
	if p.current == nil {
		return
	}
	m, copies := wire.Goodbye{Reason: "closed"}, 1
	if p.leaving {
		m, copies = wire.Goodbye{Code: wire.GoodbyeLeaving, Reason: "left"}, leaveCopies
	}
	if info, ok := p.paths.Current(); ok {
		for range copies {
			p.sendSealed(now, source{info.Link.(Link), info.Remote}, m.Append(nil))
		}
	}
}

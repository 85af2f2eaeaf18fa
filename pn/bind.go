package pn

import (
	"bytes"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// handleBind binds, or says why not. What takes public-key cryptography to decide goes to
// a goroutine for that.
func (s *Server) handleBind(r *request) {
	m, err := wire.ParseBind(r.b)
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	if !r.x.ask(r.now) {
		s.count.limited.Add(1)
		s.answerBind(r, &m, wire.StatusTooMany, false)
		return
	}
	if !m.Pays || s.settings.Load().admits.cheap(r.x.visitor(), m.Token) {
		s.bindAndAnswer(r, &m)
		return
	}
	// The device repeats what is not answered.
	if !s.checks.take(r.x.network, r.now) {
		s.count.limited.Add(1)
		return
	}
	if len(s.jobs) >= checkQueue {
		s.count.overload.Add(1)
		return
	}
	own := *r
	m.Token = bytes.Clone(m.Token)
	own.b = nil
	s.enqueue(func() { s.bindAndAnswer(&own, &m) })
}

// answerBind answers a Bind.
func (s *Server) answerBind(r *request, m *wire.Bind, status wire.Status, isReady bool) {
	s.reply(r, &wire.Bound{Request: m.Request, Status: status, Ready: isReady, Tag: m.Tag, Idle: s.settings.Load().idle})
}

func (s *Server) bindAndAnswer(r *request, m *wire.Bind) {
	status, p, met := s.bind(r, m)
	switch status {
	case wire.StatusSuperseded:
		s.count.refused.Add(1)
		return // the device is not there any more, and is served elsewhere
	case wire.StatusOK:
		s.count.binds.Add(1)
	case wire.StatusTooMany:
		s.count.noRoom.Add(1)
	default:
		s.count.refused.Add(1)
	}
	if met {
		s.count.met.Add(1)
		s.tellReady(r, p)
	}
	s.answerBind(r, m, status, p != nil && p.at() == ready)
}

// tellReady tells the end of a pair that was first that the other has come.
func (s *Server) tellReady(r *request, p *pair) {
	m := wire.Bound{Ready: true, Tag: p.tag, Idle: s.settings.Load().idle}
	for i := range p.ends {
		if x := p.ends[i].session.Load(); x != nil && x != r.x {
			if at := x.where.Load(); at != nil {
				s.sendMessage(x, *at, &m, r.clock)
			}
		}
	}
}

// bind does what a Bind asks (spec §2, §3). It returns the status of the answer, the pair
// if that is ok, and whether it has got ready by this.
func (s *Server) bind(r *request, m *wire.Bind) (status wire.Status, p *pair, met bool) {
	set, x := s.settings.Load(), r.x
	id := x.id()
	if m.Peer == id || m.Peer.IsZero() {
		return wire.StatusMalformed, nil, false
	}
	var zone identity.ID
	if m.Pays {
		var ok bool
		if zone, ok = set.admits.admit(x.visitor(), m.Token, r.clock); !ok {
			return wire.StatusNotAllowed, nil, false
		}
	}
	if x.count() >= set.limits.PerSession {
		if old := s.pairs.get(m.Tag); old == nil || old.endOn(x) < 0 {
			return wire.StatusTooMany, nil, false
		}
	}
	sh := s.pairs.shard(m.Tag)
	var left *session
	sh.mu.Lock()
	p = sh.m[m.Tag]
	if p == nil {
		p, status = s.beginLocked(sh, r, m, zone)
	} else {
		status, left, met = s.joinLocked(p, r, m, zone)
	}
	sh.mu.Unlock()
	if status != wire.StatusOK {
		return status, nil, false
	}
	if left != nil {
		left.remove(p)
	}
	if !x.add(p) {
		s.leave(p, x) // the session has gone meanwhile
	} else if p.at() == over || p.endOn(x) < 0 {
		x.remove(p) // so has the pair, or its end
	}
	return wire.StatusOK, p, met
}

// beginLocked makes the half of a pair.
func (s *Server) beginLocked(sh *pairShard, r *request, m *wire.Bind, zone identity.ID) (*pair, wire.Status) {
	if s.draining.Load() {
		return nil, wire.StatusDraining
	}
	network := r.x.network
	if !s.pairs.quota.Take(network, s.pairs.quota.Limit()) {
		return nil, wire.StatusTooMany
	}
	if !m.Pays && !s.pairs.unpaid.Take(network, s.pairs.unpaid.Limit()) {
		s.pairs.quota.Give(network)
		return nil, wire.StatusTooMany
	}
	p := &pair{tag: m.Tag, network: network, unpaid: !m.Pays, since: r.now}
	p.ends[0].id, p.ends[1].id = r.x.id(), m.Peer
	if m.Pays && !s.payLocked(p, 0, r, m, zone) {
		s.pairs.quota.Give(network)
		return nil, wire.StatusTooMany
	}
	p.ends[0].session.Store(r.x)
	sh.m[m.Tag] = p
	return p, wire.StatusOK
}

// joinLocked has an end of a pair bind: the second for the first time, or either of them
// again. left is the session that the end had before, if that is another. A Bind of a session that
// its device began before that one has been held back on its way: it is superseded.
func (s *Server) joinLocked(p *pair, r *request, m *wire.Bind, zone identity.ID) (status wire.Status, left *session, met bool) {
	i := p.endOf(r.x.id(), m.Peer)
	if i < 0 {
		return wire.StatusNotAllowed, nil, false
	}
	if left = p.ends[i].session.Load(); left != nil && left.stamp > r.x.stamp {
		return wire.StatusSuperseded, nil, false
	}
	if left == r.x {
		left = nil
	}
	switch {
	case p.at() == half && m.Pays && p.payer == nil:
		if !s.payLocked(p, uint8(i), r, m, zone) {
			return wire.StatusTooMany, nil, false
		}
		p.unpaid = false
		s.pairs.unpaid.Give(p.network)
	case m.Pays && p.payer != nil && int(p.paying) == i:
		p.token = bytes.Clone(m.Token) // perhaps a newer one
	}
	if i == 1 && p.payer == nil {
		return wire.StatusNotAllowed, nil, false
	}
	p.ends[i].session.Store(r.x)
	p.since = r.now
	if p.at() == half && p.payer != nil && p.ends[1].session.Load() != nil {
		p.last.Store(int64(r.now))
		p.stage.Store(uint32(ready))
		met = true
	}
	return wire.StatusOK, left, met
}

// payLocked has an end answer for a pair, and reports whether it has anything left of its day,
// and there was room to remember that.
func (s *Server) payLocked(p *pair, i uint8, r *request, m *wire.Bind, zone identity.ID) bool {
	payer, ok := s.accounts.open(r.x.id(), r.x.network, r.now)
	if !ok {
		return false
	}
	set := s.settings.Load()
	z, ok := s.accounts.open(zone, r.x.network, r.now)
	if !ok || payer.exhausted(set.payer, r.now) || z.exhausted(set.zone, r.now) {
		s.accounts.close(payer)
		s.accounts.close(z)
		return false
	}
	p.payer, p.zone, p.paying, p.token = payer, z, i, bytes.Clone(m.Token)
	return true
}

// handleUnbind ends a binding of the device's.
func (s *Server) handleUnbind(r *request) {
	m, err := wire.ParseUnbind(r.b)
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	if p := s.pairs.get(m.Tag); p != nil {
		s.leave(p, r.x)
		r.x.remove(p)
	}
}

// leave ends a pair because a session of it goes, if that is still its end.
func (s *Server) leave(p *pair, x *session) {
	sh := s.pairs.shard(p.tag)
	sh.mu.Lock()
	ended := p.endOn(x) >= 0 && s.endLocked(sh, p)
	sh.mu.Unlock()
	if ended {
		s.dissolve(p, wire.UnboundPeer, x)
	}
}

// end ends a pair.
func (s *Server) end(p *pair, why wire.UnboundReason) {
	sh := s.pairs.shard(p.tag)
	sh.mu.Lock()
	ended := s.endLocked(sh, p)
	sh.mu.Unlock()
	if ended {
		s.dissolve(p, why, nil)
	}
}

// endLocked takes a pair out of the table, and reports whether it was there.
func (s *Server) endLocked(sh *pairShard, p *pair) bool {
	if p.at() == over {
		return false
	}
	p.stage.Store(uint32(over))
	delete(sh.m, p.tag)
	return true
}

// dissolve gives back what a pair has held, and tells its ends, but the one who knows.
func (s *Server) dissolve(p *pair, why wire.UnboundReason, knows *session) {
	s.count.ended.Add(1)
	s.pairs.quota.Give(p.network)
	if p.unpaid {
		s.pairs.unpaid.Give(p.network)
	}
	s.accounts.close(p.payer)
	s.accounts.close(p.zone)
	now := time.Now()
	for i := range p.ends {
		x := p.ends[i].session.Load()
		if x == nil || x == knows {
			continue
		}
		x.remove(p)
		if at := x.where.Load(); at != nil {
			s.sendMessage(x, *at, &wire.Unbound{Tag: p.tag, Reason: why}, now)
		}
	}
}

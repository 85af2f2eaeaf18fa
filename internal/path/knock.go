package path

import (
	"net/netip"
	"time"
)

// A budget is a token bucket of packets to addresses that have never answered, kept
// as the time at which it is full again.
type budget struct{ full time.Time }

// take takes one packet of a bucket that holds burst, or returns when there will be one.
func (b *budget) take(now time.Time, burst int) (at time.Time, ok bool) {
	if b.full.Before(now) {
		b.full = now
	}
	if at = b.full.Add(-time.Duration(burst-1) * unprovenInterval); at.After(now) {
		return at, false
	}
	b.full = b.full.Add(unprovenInterval)
	return now, true
}

// spend takes one packet for p, or returns when to try again.
func (s *Set) spend(now time.Time, p *path) (at time.Time, ok bool) {
	if p.proven() {
		return now, true
	}
	burst := unprovenBurst
	if p.link.Transport == TransportUDP && (p.cand == nil || p.cand.found) {
		burst = sourceBurst
	}
	if at, ok = s.budget.take(now, burst); ok {
		s.stats.Unproven++
	}
	return at, ok
}

// startKnocking begins a round of knocks, at the candidate's start time if that is to come.
func (s *Set) startKnocking(now time.Time, p *path, why Reason) {
	s.setState(now, p, Knocking, why)
	p.knocks, p.round, p.knockAt = 0, now, now
	c := p.cand
	if c == nil || !c.start.After(now) {
		return
	}
	p.round, p.knockAt = c.start, c.start
	if !c.opener {
		return
	}
	if _, ok := s.spend(now, p); ok {
		s.stats.Openers++
		s.do(Action{Kind: Open, Link: p.link.Link, Addr: p.addr, HopLimit: OpenerHops})
		s.note(now, p, EventOpener, none)
	}
}

// renew begins another round on a failed path, if its budget allows.
func (s *Set) renew(now time.Time, p *path, why Reason) {
	if c := p.cand; !p.known() {
		if c == nil {
			return
		}
		if now.Sub(c.window) >= strangerRenewal {
			c.sent = 0
		}
	}
	if p.knocks = 0; p.knocksLeft() > 0 {
		s.startKnocking(now, p, why)
	}
}

// knocksLeft returns how many knocks the round of p has left.
func (p *path) knocksLeft() int {
	switch {
	case p.known() || p.proven():
		return knocks - p.knocks
	case p.cand != nil:
		return min(strangerKnocks-p.cand.sent, knocks-p.knocks)
	}
	return 0
}

// knock sends the next packet of p's round, or ends the round.
func (s *Set) knock(now time.Time, p *path) {
	if s.stage == Waiting {
		p.knockAt = time.Time{} // SetStage goes on
		return
	}
	if s.stage == Answering && !p.vouched() || s.stage == Calling && p.cand == nil && !p.vouched() {
		// Each copy of the initiation that came from there has been answered: more
		// could go to a third party, whose address it bears.
		p.knockAt, p.knockStage = time.Time{}, s.stage // SetStage goes on
		return
	}
	if p.knocksLeft() <= 0 {
		s.endRound(now, p)
		return
	}
	if at, ok := s.spend(now, p); !ok {
		p.knockAt = at
		return
	}
	if c := p.cand; c != nil && !p.known() {
		if c.sent == 0 {
			c.window = now
		}
		c.sent++
	}
	// The Response is larger than a probe and says who we are: it does not go to
	// addresses that only the peer has named.
	if s.stage == Sealed || s.stage == Answering && !p.known() {
		s.probe(now, p)
	} else {
		s.stats.Knocks++
		s.do(Action{Kind: Knock, Link: p.link.Link, Addr: p.addr})
	}
	p.knocks++
	p.knockStage = s.stage
	if p.knocksLeft() > 0 {
		p.knockAt = now.Add(knockGaps[p.knocks-1])
	} else {
		p.knockAt = now.Add(roundEnd)
	}
}

func (s *Set) endRound(now time.Time, p *path) {
	p.knockAt = time.Time{}
	if p.state != Knocking && p.state != Validating {
		return // a rekey over a path that was valid before
	}
	st := Failed
	if p.proven() {
		st = Dead // and tried again for a while
	}
	s.setState(now, p, st, Unanswered)
	if p == s.current {
		s.choose(now)
		s.checkDown(now, now)
	}
}

// SetStage says what can be sent from now on. Valid paths stay valid through
// Calling and Answering, as in a rekey or after a restart of the peer: the owner
// seals probes with the keys it has, and drops them if it has none. When a
// packet changes the stage and has a source, SetStage comes before HandleSource.
// Setting the present stage again changes nothing.
func (s *Set) SetStage(now time.Time, st Stage) {
	s.now = now
	if st == s.stage {
		return
	}
	s.stage = st
	s.activity = later(s.activity, now)
	for _, p := range s.paths {
		switch p.state {
		case Knocking, Validating:
			if p.knockAt.IsZero() {
				p.knockAt = later(now, p.round)
			}
		case Failed:
			// The peer is there, or is called anew: both are worth another round.
			if st == Calling || st != Waiting && p.known() {
				s.renew(now, p, Told)
			}
		default:
			p.knockAt = time.Time{}
			if st == Calling && (p == s.current || p == s.standby || p.state == Dead) {
				p.knocks, p.knockAt = 0, now
			}
		}
	}
}

// heardFrom handles an authenticated packet from p.
func (s *Set) heardFrom(now time.Time, p *path, sealed bool) {
	p.heard, p.source = now, true
	p.sealed = p.sealed || sealed
	if p == s.current && sealed {
		s.repair(now)
	}
	switch {
	case p.alive():
		if !sealed && (s.stage == Calling || s.stage == Answering) && p.knockAt.IsZero() {
			p.knocks = 0
			s.knock(now, p)
		}
	case p.state != Validating:
		s.setState(now, p, Validating, Heard)
		p.knocks, p.round = 0, now
		s.knock(now, p)
	case p.knockStage != s.stage:
		p.knocks = 0
		s.knock(now, p) // what can be sent now is worth more than what was sent
	}
	s.useSource(now, p, sealed)
}

// useSource has data follow a source before any path is valid (spec §4). The packet
// that knock has just queued goes first: a sealed one shows the peer where what
// follows comes from.
func (s *Set) useSource(now time.Time, p *path, sealed bool) {
	cur := s.current
	if s.stage < Answering || p == cur || p.state != Validating {
		return
	}
	if cur == nil || cur.state == Failed || cur.state == Knocking || sealed && (cur.state == Dead || !cur.alive() && !cur.sealed) {
		s.use(now, p, Heard)
	}
}

// sourcePath returns the path of an address that an authenticated packet came from, or
// nil if the address must not be used.
func (s *Set) sourcePath(now time.Time, handle Link, from netip.AddrPort) *path {
	l := s.link(handle)
	if l == nil {
		return nil
	}
	if p := s.find(l, from); p != nil {
		return p
	}
	if l.Transport != TransportUDP {
		return nil
	}
	if why := l.refuse(from, s.shared, true); why != none {
		s.refused(now, l, from, why)
		return nil
	}
	var told *candidate
	for _, c := range s.cands {
		if c.addr == from {
			told = c
		}
	}
	p := s.addPath(now, l, from, told)
	if p == nil {
		s.refused(now, l, from, RefusedFull)
	}
	return p
}

package path

import (
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// A probe is one that was sent and may be answered. The zero token is none.
type probe struct {
	token uint64
	sent  time.Time
}

// probe sends a probe over p. It tells the peer whether p carries our data.
func (s *Set) probe(now time.Time, p *path) {
	token := s.random()
	p.probes[p.probeN%len(p.probes)] = probe{token, now}
	p.probeN++
	p.probedAt, p.awaiting = now, true
	if p.alive() {
		p.checkAt = now.Add(p.rtt.miss())
	}
	s.stats.Probes++
	s.do(Action{Kind: SendProbe, Link: p.link.Link, Addr: p.addr,
		Probe: wire.Probe{Token: token, Nominated: p == s.current}})
}

// match returns when the probe with the token was sent over p, once.
func (p *path) match(token uint64) (sent time.Time, ok bool) {
	if token == 0 {
		return time.Time{}, false
	}
	for i := range p.probes {
		if p.probes[i].token == token {
			sent = p.probes[i].sent
			p.probes[i].token = 0
			return sent, true
		}
	}
	return time.Time{}, false
}

// HandleSource handles the source of another authenticated packet: a sealed message, or
// (sealed false) an Initiation or Response that was accepted, including duplicates.
func (s *Set) HandleSource(now time.Time, l Link, from netip.AddrPort, sealed bool) {
	s.now = now
	if p := s.sourcePath(now, l, from); p != nil {
		s.heardFrom(now, p, sealed)
	}
}

// HandleProbe handles an opened Probe.
func (s *Set) HandleProbe(now time.Time, l Link, from netip.AddrPort, pr wire.Probe) {
	s.now = now
	p := s.sourcePath(now, l, from)
	if p == nil {
		return
	}
	s.heardFrom(now, p, true)
	if len(s.queue) < maxQueue {
		s.stats.Replies++
		s.do(Action{Kind: SendReply, Link: l, Addr: from, Reply: wire.ProbeReply{Token: pr.Token, Observed: from}})
	}
	if !pr.Nominated {
		return
	}
	p.carries = now
	if s.nominator {
		s.peerElsewhere(now, p)
		return
	}
	s.nominated = p
	if p.alive() && p != s.current && (p.room != narrow || s.wider() == nil && s.current.room == narrow) {
		s.use(now, p, Nominated)
	}
}

// HandleReply handles an opened ProbeReply.
func (s *Set) HandleReply(now time.Time, l Link, from netip.AddrPort, r wire.ProbeReply) {
	s.now = now
	p := s.sourcePath(now, l, from)
	if p == nil {
		return
	}
	sent, ok := p.match(r.Token)
	sample := true
	if !ok {
		if sample, ok = p.sounds(r.Token); ok {
			sent = p.sounding.sent
			defer s.sounded(now, p)
		}
	}
	if !ok || now.Sub(sent) > replyLimit {
		s.heardFrom(now, p, true)
		return
	}
	p.heard, p.replied, p.source, p.sealed = now, now, true, true
	p.awaiting, p.misses = false, 0
	p.replyN++
	p.observed = r.Observed
	if sample {
		p.rtt.add(now.Sub(sent))
	}
	p.kind = s.classify(p)
	inDoubt := p == s.current && s.doubt.active()
	if !p.alive() {
		s.validate(now, p)
	} else if p.state == Suspect && !inDoubt {
		s.setState(now, p, Valid, Answered)
	}
	p.checkAt = later(p.heldUntil, now.Add(s.jitter(s.keepAlive)))
	if p.heldUntil.After(now) {
		p.checkAt = p.heldUntil
	} else {
		p.heldUntil = time.Time{}
	}
	switch {
	case inDoubt && !sent.Before(s.doubt.since):
		s.endDoubt(now, Answered)
	case s.doubt.active() && p != s.current:
		s.failover(now)
	}
	s.compare(now, p)
	s.choose(now)
}

// validate makes p valid. One that died before is held back, longer each time.
func (s *Set) validate(now time.Time, p *path) {
	p.heldUntil = time.Time{}
	if p.deaths > 0 {
		p.heldUntil = now.Add(min(holdMin<<(p.deaths-1), holdMax))
	}
	p.knockAt = time.Time{}
	s.setState(now, p, Valid, Answered)
	if p == s.current {
		if p.deaths > 0 {
			s.do(Action{Kind: Resend}) // what was sent meanwhile was lost
		}
		p.heldUntil = time.Time{}
		s.down = down{}
		s.announce(now, Answered)
		s.sound(now, p, soundTries)
	}
}

// check does what is due on p outside a round of knocks: a keepalive probe, a missing
// answer, another try of a dead path, the end of one that is not needed.
func (s *Set) check(now time.Time, p *path) {
	p.checkAt = time.Time{}
	switch {
	case p.state == Dead:
		s.retry(now, p)
	case !p.alive():
	case p.awaiting:
		s.miss(now, p)
	case s.dormant:
	case p == s.current || p == s.standby || p.wins > 0 || !p.heldUntil.IsZero():
		s.probe(now, p)
	default:
		if end := p.heard.Add(expireAfter); end.After(now) {
			p.checkAt = end
		} else {
			s.setState(now, p, Failed, Expired)
		}
	}
}

// miss counts a missing answer. For the current path the first is a suspicion, which
// sends the next probes.
func (s *Set) miss(now time.Time, p *path) {
	p.misses++
	p.wins = 0
	switch {
	case p == s.current:
		if !s.doubt.active() {
			s.suspect(now, Missed)
		}
	case p.misses >= missCount:
		s.bury(now, p, Missed)
		s.pickStandby(now)
	default:
		if p.state == Valid {
			s.setState(now, p, Suspect, Missed)
		}
		s.probe(now, p)
	}
}

// retry probes a dead path, each second as long as there is no other, else with back-off.
func (s *Set) retry(now time.Time, p *path) {
	if s.down.lostAt.IsZero() {
		if p.retries++; p.retries > retries {
			s.setState(now, p, Failed, GivenUp)
			return
		}
	}
	s.probe(now, p)
	p.checkAt = now.Add(min(retryMin<<p.retries, retryMax))
}

// bury declares p dead.
func (s *Set) bury(now time.Time, p *path, why Reason) {
	if now.Sub(p.validSince) >= forgiveAfter {
		p.deaths = 0
	}
	// 1 s doubled 6 times is holdMax; counting on would overflow the shift.
	p.deaths = min(p.deaths+1, 7)
	s.setState(now, p, Dead, why)
}

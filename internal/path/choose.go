package path

import "time"

// best returns the best valid path that ok accepts, or nil.
func (s *Set) best(ok func(*path) bool) *path {
	var best *path
	for _, p := range s.paths {
		if p.alive() && ok(p) && (best == nil || p.better(best)) {
			best = p
		}
	}
	return best
}

// choose applies spec §5 to what is known now. It does not judge a path in doubt: that
// is failover's.
func (s *Set) choose(now time.Time) {
	cur := s.current
	switch {
	case cur == nil:
		if p := s.choice(); p != nil {
			s.use(now, p, First)
		}
	case !cur.alive():
		p := s.choice()
		if p == nil {
			break
		}
		if cur.state != Knocking && cur.state != Validating {
			s.use(now, p, Failover)
		} else if p.kind <= cur.kind || !now.Before(s.graceAt) {
			s.use(now, p, Answered)
		}
	case cur.room == narrow && s.wider() != nil:
		s.use(now, s.wider(), TooLong)
	case s.nominator:
		p := s.best(func(p *path) bool {
			return p.state == Valid && p.heldUntil.IsZero() && p.room != narrow && p.kind < cur.kind
		})
		if p != nil {
			s.use(now, p, BetterKind)
		}
	default:
		// The peer has held it back itself, if it had to.
		if p := s.nominated; p != nil && p != cur && p.state == Valid && p.room != narrow {
			s.use(now, p, Nominated)
		}
	}
	s.pickStandby(now)
}

// choice returns what to use when there is nothing, or nil.
func (s *Set) choice() *path {
	if p := s.nominated; !s.nominator && p != nil && p.state == Valid && p.room != narrow {
		return p
	}
	if p := s.best(func(p *path) bool { return p.state == Valid }); p != nil {
		return p
	}
	return s.best(func(*path) bool { return true })
}

// use makes p carry the data. A probe goes first, which shows the peer where the data
// will come from.
func (s *Set) use(now time.Time, p *path, why Reason) {
	s.current = p
	s.usedAt, s.graceAt = now, now.Add(provisionalGrace)
	s.activity = later(s.activity, now)
	s.doubt = doubt{}
	s.unanswered, s.narrowAt = time.Time{}, time.Time{}
	p.heldUntil = time.Time{}
	for _, q := range s.paths {
		q.wins = 0
	}
	if p.alive() {
		s.down = down{}
		s.probe(now, p)
		s.announce(now, why)
		s.sound(now, p, soundTries)
	}
	s.do(Action{Kind: Use, Link: p.link.Link, Addr: p.addr, PathKind: p.kind, Reason: why})
	s.note(now, p, EventUse, why)
	s.pickStandby(now)
}

// announce begins to repeat to the peer which path we use; the first to tell was the probe
// that went with the choice. Whoever merely followed has nothing to tell.
func (s *Set) announce(now time.Time, why Reason) {
	s.announced, s.announceAt = 0, time.Time{}
	if s.nominator || why != Nominated {
		s.announceAt = now.Add(announceGaps[0])
	}
}

// announceAgain repeats it.
func (s *Set) announceAgain(now time.Time) {
	s.announceAt = time.Time{}
	if s.current == nil || !s.current.alive() {
		return
	}
	s.probe(now, s.current)
	if s.announced++; s.announced < len(announceGaps) {
		s.announceAt = now.Add(announceGaps[s.announced])
	}
}

// pickStandby keeps the next best path warm. The standby stays unless the other is of a
// better kind or clearly faster.
func (s *Set) pickStandby(now time.Time) {
	old := s.standby
	p := s.best(func(p *path) bool { return p != s.current && p.state == Valid })
	if p == nil {
		p = s.best(func(p *path) bool { return p != s.current })
	}
	if old != nil && old != s.current && old.state == Valid && p.kind == old.kind && !faster(p.rtt.smoothed, old) {
		return
	}
	if p == old {
		return
	}
	s.standby = p
	if p == nil {
		return
	}
	s.note(now, p, EventStandby, none)
	if at := later(now, p.probedAt.Add(s.keepAlive)); !s.dormant && (p.checkAt.IsZero() || at.Before(p.checkAt)) {
		p.checkAt = at
	}
}

// faster reports whether a sample is enough below the RTT of p to leave p for it.
func faster(sample time.Duration, p *path) bool {
	return sample <= p.rtt.smoothed*4/5 && sample+winMargin <= p.rtt.smoothed
}

// compare counts the samples by which p is faster than the current path, and takes the
// next ones soon.
func (s *Set) compare(now time.Time, p *path) {
	cur := s.current
	if !s.nominator || cur == nil || p == cur || p.room == narrow || cur.state != Valid || p.kind != cur.kind ||
		!p.heldUntil.IsZero() || !faster(p.rtt.latest, cur) || !faster(p.rtt.smoothed, cur) {
		p.wins = 0
		return
	}
	if p.wins++; p.wins >= wins {
		s.use(now, p, LowerRTT)
		return
	}
	p.checkAt = now.Add(winGap)
	if cur.checkAt.After(p.checkAt) && !cur.awaiting {
		cur.checkAt = p.checkAt
	}
}

// peerElsewhere handles a probe of the peer that names p as the path it uses, when the
// choice is ours: if that is not our choice, perhaps our packets do not arrive there.
func (s *Set) peerElsewhere(now time.Time, p *path) {
	cur := s.current
	if cur == nil || p == cur || cur.state != Valid || now.Sub(s.usedAt) < hintInterval || now.Sub(s.hintedAt) < hintInterval {
		return
	}
	s.hintedAt = now
	s.suspect(now, Elsewhere)
}

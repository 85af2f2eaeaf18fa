package pn

import (
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

const (
	// sweepInterval is how often the keeper looks for what has expired, each time in one
	// of sweepParts parts of every table. So everything lasts up to 8 s longer than it has to.
	sweepInterval = time.Second
	sweepParts    = 8
	// halfLife is how long an end waits for the other (spec §2).
	halfLife = 30 * time.Second
	// reviewInterval is how often it is looked at again who is admitted (spec §3).
	reviewInterval = time.Minute
)

// keep is the keeper: the one goroutine that does what is due at a time.
func (s *Server) keep() {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	var reviewed [sweepParts]time.Duration
	admits := s.settings.Load().admits
	for part := 0; ; part = (part + 1) % sweepParts {
		select {
		case <-s.closing:
			return
		case <-tick.C:
		}
		now := time.Since(s.start)
		if next := s.settings.Load().admits; next != admits {
			admits, reviewed = next, [sweepParts]time.Duration{}
		}
		review := now-reviewed[part] >= reviewInterval
		if review {
			reviewed[part] = now
		}
		s.sweepPairs(part, now, review)
		s.sweepSessions(part, now)
		if part == 0 {
			s.accounts.sweep(s.settings.Load(), now)
		}
	}
}

// sweepSessions forgets the sessions that were not heard of.
func (s *Server) sweepSessions(part int, now time.Duration) {
	for _, x := range s.sessions.Part(part, sweepParts) {
		x.mu.Lock()
		life := freshLife
		if x.used {
			life = silence
		}
		x.mu.Unlock()
		if now-time.Duration(x.heard.Load()) > life && x.assoc() != nil {
			s.count.expired.Add(1)
			s.release(x)
		}
	}
}

// sweepPairs ends the pairs that have expired, or whose payer may not go on.
func (s *Server) sweepPairs(part int, now time.Duration, review bool) {
	set, clock := s.settings.Load(), time.Now()
	for _, p := range s.pairs.part(part, sweepParts) {
		if why, ok := s.expired(p, set, now); ok {
			s.end(p, why)
		} else if review && !s.mayGoOn(p, set, clock) {
			s.end(p, wire.UnboundUnlisted)
		}
	}
}

// expired reports whether a pair has ended by itself, and why.
func (s *Server) expired(p *pair, set *settings, now time.Duration) (why wire.UnboundReason, ok bool) {
	sh := s.pairs.shard(p.tag)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	switch {
	case p.at() == half && now-p.since > halfLife:
		return wire.UnboundUnmet, true
	case p.at() == ready && now-time.Duration(p.last.Load()) > set.idle:
		return wire.UnboundIdle, true
	case p.payer.exhausted(set.payer, now), p.zone.exhausted(set.zone, now):
		return wire.UnboundQuota, true
	}
	return 0, false
}

// mayGoOn reports whether the payer of a pair is still admitted.
func (s *Server) mayGoOn(p *pair, set *settings, clock time.Time) bool {
	sh := s.pairs.shard(p.tag)
	sh.mu.RLock()
	payer, token := p.payer, p.token
	x := p.ends[p.paying].session.Load()
	sh.mu.RUnlock()
	if payer == nil || x == nil {
		return true
	}
	_, ok := set.admits.admit(x.visitor(), token, clock)
	return ok
}

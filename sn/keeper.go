package sn

import "time"

const (
	// sweepInterval is how often the keeper looks for what has expired, each
	// time in one of sweepParts parts of every table. So a device is forgotten
	// after 300 to 308 s of silence.
	sweepInterval = time.Second
	sweepParts    = 8
)

// keep is the keeper: the one goroutine that does what is due at a time.
func (s *Server) keep() {
	defer s.running.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	sweep, part := sweepInterval, 0
	for {
		now := time.Since(s.start)
		s.repeatCalls(now)
		if now >= sweep {
			s.sweep(part%sweepParts, now)
			sweep, part = now+sweepInterval, part+1
		}
		timer.Reset(s.nextDue(sweep) - now)
		select {
		case <-s.closing:
			return
		case <-s.wake:
		case <-timer.C:
		}
	}
}

// wakeKeeper has the keeper look again when it has to act next.
func (s *Server) wakeKeeper() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// nextDue returns when the keeper has to act next, at the latest at a given time.
func (s *Server) nextDue(latest time.Duration) time.Duration {
	for i := range s.unacked {
		if due, ok := s.unacked[i].next(); ok {
			latest = min(latest, due)
		}
	}
	return latest
}

// repeatCalls announces those calls again whose Called was not acknowledged.
func (s *Server) repeatCalls(now time.Duration) {
	for i := range s.unacked {
		for {
			c, ok := s.unacked[i].take(now)
			if !ok {
				break
			}
			s.repeatCall(c, i, now)
		}
	}
}

// repeatCall sends the (i+1)th repeat of a Called.
func (s *Server) repeatCall(c *call, i int, now time.Duration) {
	if c.acked.Load() {
		return
	}
	if p, ok := s.devices.peer(c.callee); ok {
		s.announce(c, p.session, p.at, s.start.Add(now), now)
	}
	if i+1 < len(s.unacked) {
		s.unacked[i+1].put(now, c)
	}
}

// sweep forgets what has expired in one part of all tables.
func (s *Server) sweep(part int, now time.Duration) {
	for {
		x, ok := s.fresh.take(now)
		if !ok {
			break
		}
		s.dropFresh(x)
	}
	for {
		c, ok := s.remembered.take(now)
		if !ok {
			break
		}
		s.calls.end(c)
	}
	for i := part; i < registryShards; i += sweepParts {
		s.expire(s.devices.sweep(i, now), now)
	}
	for i := part; i < tableShards; i += sweepParts {
		for _, id := range s.objects.sweep(i, now) {
			s.journal.touchObject(id)
		}
		s.pairs.expire(i, now)
		s.stun.hosts.sweep(i, func(b bucket) bool { return b.full(now) })
	}
}

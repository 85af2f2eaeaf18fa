package path

import (
	"net/netip"
	"time"
)

// A doubt is the suspicion that the current path is dead (spec §6).
type doubt struct {
	why     Reason
	since   time.Time // zero: there is none
	round   time.Time // the next probes
	rounds  int
	repeat  time.Duration // from the first round to the second
	step    time.Duration // between the others
	verdict time.Time     // from then on a path that has answered takes over; zero: it has come
	lost    time.Time     // from then on the first probe is known to be lost
	repair  bool          // the data plane was told to send again
	moved   bool          // we may be elsewhere, and no path may be left
	death   time.Time     // the path is dead, whether or not there is another
	proof   bool          // only an answer ends it, not the mere arrival of data
}

func (d *doubt) active() bool { return !d.since.IsZero() }

// down is the time without any path.
type down struct {
	since    time.Time // of the last doubt; zero: there is a path
	recallAt time.Time // the next Recall; zero: none
	gap      time.Duration
	lostAt   time.Time // zero: told
}

// Traffic is what the data plane knows of its packets, over any path.
type Traffic struct {
	LastSent     time.Time
	LastReceived time.Time
}

// Traffic tells what the data plane has seen. The owner calls it before Poll, at
// least every 50 ms while data flows. It does not allocate.
func (s *Set) Traffic(now time.Time, t Traffic) {
	s.now = now
	if active := later(t.LastSent, t.LastReceived); active.After(s.activity) {
		s.activity = active
		if s.dormant {
			s.wake(now)
		}
	}
	if cur := s.current; cur != nil && cur.room == narrow && t.LastSent.After(s.sentAt) && s.narrowAt.IsZero() {
		s.narrowAt = now // there was nothing to be lost before
	}
	s.receivedAt = later(s.receivedAt, t.LastReceived)
	if s.sentAt = later(s.sentAt, t.LastSent); s.current != nil && s.current.sounding.at.IsZero() && s.sentAt.Sub(s.current.sounding.ended) >= soundEvery {
		s.sound(now, s.current, soundTries)
	}
	cur := s.current
	if cur == nil || !cur.alive() {
		return
	}
	if s.doubt.active() && !s.doubt.proof && t.LastReceived.After(s.doubt.since) && !s.usedElsewhere(s.doubt.since) {
		s.endDoubt(now, Heard)
	}
	// What was sent before the path was taken into use, or before the last sign of
	// life, does not count as unanswered.
	sign := later(t.LastReceived, later(cur.replied, s.usedAt))
	switch {
	case !t.LastSent.After(sign):
		s.unanswered = time.Time{}
	case !s.unanswered.After(sign):
		s.unanswered = t.LastSent
	}
}

// usedElsewhere reports whether the peer has said since a time that its data comes by a path
// that is not our current one: its arrival then says nothing of that.
func (s *Set) usedElsewhere(since time.Time) bool {
	for _, p := range s.paths {
		if p != s.current && !p.carries.Before(since) {
			return true
		}
	}
	return false
}

// silentAt returns when the data that has gone unanswered raises suspicion; zero: never.
func (s *Set) silentAt() time.Time {
	if s.unanswered.IsZero() || s.current == nil || !s.current.alive() || s.doubt.active() && s.doubt.why != Missed {
		return time.Time{}
	}
	return s.unanswered.Add(s.current.rtt.silence())
}

// SendFailed says that the local network refused to send to addr, as when there is
// no route: a strong hint that the path is gone. Whoever hears of the refusal of one
// datagram for its size does not call it.
func (s *Set) SendFailed(now time.Time, l Link, addr netip.AddrPort, err error) {
	s.now = now
	lk := s.link(l)
	if lk == nil {
		return
	}
	p := s.find(lk, addr)
	if p == nil || p.state == Dead || p.state == Failed || s.doubt.why == SendRefused && p == s.current {
		return // it is known
	}
	s.log.add(Entry{Time: now, Event: EventSendError, Local: lk.Local, Remote: addr, Err: err})
	switch {
	case !p.alive():
		if c := p.cand; c != nil && !p.known() && c.sent > 0 {
			c.sent-- // a stranger has not been troubled
		}
		s.setState(now, p, Failed, SendRefused)
		if p == s.current {
			s.choose(now)
			s.checkDown(now, now)
		}
	case p == s.current:
		s.suspect(now, SendRefused)
	default:
		s.bury(now, p, SendRefused)
		s.pickStandby(now)
	}
}

// Kick has all paths tried at once: a session is called for, or the peer is there
// again.
func (s *Set) Kick(now time.Time) {
	s.now = now
	if !s.dormant && now.Sub(s.kickedAt) < kickInterval {
		return
	}
	s.kickedAt = now
	s.dormant = false
	s.activity = later(s.activity, now)
	s.note(now, nil, EventWake, none)
	for _, p := range s.paths {
		switch p.state {
		case Dead:
			p.retries = 0
			p.checkAt = now
		case Failed:
			s.renew(now, p, Kicked)
		case Valid, Suspect:
			if p != s.current {
				p.awaiting = false
				p.checkAt = now
			}
		}
	}
	s.suspect(now, Kicked)
}

// NetworkChanged has all paths tried at once, and if none answers soon the peer called
// again: interfaces or addresses changed, our NAT moved us, or the machine was suspended.
// A dormant session does so when it wakes.
func (s *Set) NetworkChanged(now time.Time) {
	s.now = now
	if s.dormant {
		return
	}
	s.Kick(now)
	if !s.down.since.IsZero() {
		s.down.recallAt, s.down.gap = now, recallAfter
	}
	if d := &s.doubt; d.active() && !d.moved {
		if d.moved = true; d.verdict.IsZero() {
			s.recall(now)
		}
	}
}

// wake ends dormancy: the paths and the SN are tried at once, since the NATs may have
// forgotten us meanwhile. If the peer has not answered by LostAfter it is lost.
func (s *Set) wake(now time.Time) {
	s.Kick(now)
	s.recall(now)
	if s.current != nil {
		s.sound(now, s.current, soundTries)
	}
	if !s.down.since.IsZero() {
		s.down = down{since: now, recallAt: now.Add(recallAfter), gap: recallAfter, lostAt: now.Add(LostAfter)}
	}
}

// recall asks for the peer to be called.
func (s *Set) recall(now time.Time) {
	s.recalledAt = now
	s.do(Action{Kind: Recall})
	s.note(now, nil, EventRecall, none)
}

// suspect doubts the current path. A second reason makes the verdict earlier, never later.
func (s *Set) suspect(now time.Time, why Reason) {
	cur, old := s.current, s.doubt
	if cur == nil || !cur.alive() || old.active() && why != SendRefused && old.why != Missed || old.why == why {
		return
	}
	r := &cur.rtt
	d := doubt{why: why, since: now, round: now, repeat: r.repeat(), step: r.step(),
		verdict: now.Add(r.verdict()), lost: now.Add(r.late()), death: now.Add(r.death())}
	switch why {
	case Missed: // and with it the second probe is sent, a miss later the third
		d.repeat, d.step = r.miss(), r.miss()
		d.verdict = now.Add((missCount - 1) * d.step)
		d.death = d.verdict
	case SendRefused:
		d.verdict, d.proof = now, true
	case Kicked, Elsewhere:
		d.proof = true
	}
	if old.active() {
		d.since, d.rounds, d.lost, d.repair, d.moved = old.since, old.rounds, old.lost, old.repair, old.moved
		d.proof = d.proof || old.proof
		d.death = earlier(d.death, old.death)
		if d.verdict = earlier(d.verdict, old.verdict); old.verdict.IsZero() {
			d.verdict = time.Time{}
		}
	} else {
		s.setState(now, cur, Suspect, why)
		s.do(Action{Kind: Check})
	}
	if why == NoReply {
		s.sound(now, cur, soundHurry) // it may be the length of the data
	}
	s.doubt = d
}

// pursue does what is due on a doubt.
func (s *Set) pursue(now time.Time) {
	d := &s.doubt
	if !d.active() {
		return
	}
	if due(d.round, now) {
		s.probeAll(now)
	}
	if due(d.verdict, now) {
		d.verdict = time.Time{}
		s.failover(now)
		if d.active() && (d.moved || s.rival() == nil) && now.Sub(s.recalledAt) >= recallAfter {
			s.recall(now) // perhaps one of us is elsewhere
		}
	}
	if d.active() && due(d.death, now) {
		s.die(now)
	}
}

// probeAll probes the current path and the best others that have not answered yet.
func (s *Set) probeAll(now time.Time) {
	d := &s.doubt
	if s.current.probedAt.Before(now) {
		s.probe(now, s.current)
	}
	for range suspectRivals {
		p := s.best(func(p *path) bool {
			return p != s.current && p.probedAt.Before(now) && p.replied.Before(d.since)
		})
		if p == nil {
			break
		}
		s.probe(now, p)
	}
	switch d.rounds++; {
	case d.rounds == 1:
		d.round = now.Add(d.repeat)
		return
	case d.rounds > steadyRounds:
		d.step *= 2
	}
	d.round = now.Add(d.step)
}

// rival returns the best path that could take over, or nil.
func (s *Set) rival() *path { return s.best(func(p *path) bool { return p != s.current }) }

// failover leaves the current path for the best that has answered since the doubt, if
// the verdict has come.
func (s *Set) failover(now time.Time) {
	d := &s.doubt
	if !d.verdict.IsZero() {
		return
	}
	p := s.best(func(p *path) bool { return p != s.current && !p.replied.Before(d.since) })
	if p == nil {
		return
	}
	s.bury(now, s.current, d.why)
	s.use(now, p, Failover)
}

// die buries the current path and all others that were probed in vain.
func (s *Set) die(now time.Time) {
	d := s.doubt
	for _, p := range s.paths {
		if p == s.current || p.alive() && p.awaiting && !p.probedAt.Before(d.since) && p.replied.Before(d.since) {
			s.bury(now, p, d.why)
		}
	}
	s.doubt = doubt{}
	s.choose(now)
	s.checkDown(now, d.since)
}

// repair has the data plane send again, once a doubt, if the peer shows itself on the
// current path after probes were lost there: so was the data.
func (s *Set) repair(now time.Time) {
	if d := &s.doubt; d.active() && !d.repair && !now.Before(d.lost) {
		d.repair = true
		s.do(Action{Kind: Resend})
	}
}

// endDoubt: the current path works.
func (s *Set) endDoubt(now time.Time, why Reason) {
	s.repair(now)
	s.doubt = doubt{}
	s.unanswered = time.Time{}
	cur := s.current
	cur.awaiting, cur.misses = false, 0
	if why == Heard && cur.room != narrow {
		cur.sounding.since, cur.sounding.at = time.Time{}, now.Add(soundEvery) // the data was answered
	}
	cur.checkAt = now.Add(s.jitter(s.keepAlive))
	s.setState(now, cur, Valid, why)
}

// checkDown begins the time without a path if there is none. All that the peer was ever
// heard from is tried once more.
func (s *Set) checkDown(now, since time.Time) {
	if s.current != nil && (s.current.alive() || s.current.state == Validating) || !s.down.since.IsZero() {
		return
	}
	s.down = down{
		since:    since,
		recallAt: later(now, since.Add(recallAfter)),
		gap:      recallAfter,
		lostAt:   since.Add(LostAfter),
	}
	for _, p := range s.paths {
		if p.state == Failed && p != s.current && p.known() {
			s.renew(now, p, Failover)
		}
	}
}

// despair does what is due while there is no path.
func (s *Set) despair(now time.Time) {
	d := &s.down
	if due(d.recallAt, now) {
		s.recall(now)
		d.recallAt = now.Add(d.gap)
		d.gap *= 2
	}
	if !due(d.lostAt, now) {
		return
	}
	d.recallAt, d.lostAt = time.Time{}, time.Time{}
	if !s.sentAt.After(d.since) && s.current != nil && s.current.proven() {
		// Nobody waits for the peer, which may be a machine that sleeps.
		s.rest(now)
		return
	}
	s.do(Action{Kind: Lost})
	s.note(now, nil, EventLost, none)
}

// rest makes the session dormant.
func (s *Set) rest(now time.Time) {
	s.dormant = true
	s.note(now, nil, EventDormant, none)
}

// dormantAt returns when probing ends for want of data; zero: not as things are.
func (s *Set) dormantAt() time.Time {
	if s.dormant || s.current == nil || s.doubt.active() || !s.down.since.IsZero() {
		return time.Time{}
	}
	return s.activity.Add(DormantAfter)
}

package path

import (
	"net/netip"
	"slices"
	"time"
)

// State is the state of a path (spec §1).
type State uint8

// The states. In Knocking, Dead and Failed an authenticated packet from the path's
// address leads to Validating; in each, the answer to our probe leads to Valid.
const (
	// Knocking: packets are sent to a candidate. Exits: Validating, Valid,
	// Failed when the budget of knocks is used up.
	Knocking State = iota + 1
	// Validating: the peer was heard from there; our own probe is out. Exits:
	// Valid; when the budget of knocks is used up Failed, or Dead if it was valid before.
	Validating
	// Valid: our probe was answered. Exits: Suspect, Dead when sending fails,
	// Failed when it is not needed and silent.
	Valid
	// Suspect: replies are missing. Exits: Valid, Dead.
	Suspect
	// Dead: it was valid and no longer answers; probed with back-off. Exits:
	// Validating, Valid, Failed when the back-off ends.
	Dead
	// Failed: nothing is sent there. Exits: Knocking when it is told again,
	// Validating, Valid.
	Failed
)

var stateNames = [...]string{
	Knocking: "knocking", Validating: "validating", Valid: "valid",
	Suspect: "suspect", Dead: "dead", Failed: "failed",
}

// String returns the name of the state.
func (s State) String() string {
	if int(s) < len(stateNames) && s != 0 {
		return stateNames[s]
	}
	return "unknown"
}

// A path is a link and a remote address on it.
type path struct {
	link  *link
	addr  netip.AddrPort
	cand  *candidate // what was told of addr; nil: nothing
	state State
	since time.Time // of state
	kind  Kind

	// Knocking and Validating; in other states only through a rekey.
	knocks     int
	round      time.Time // when this round of knocks started, or starts
	knockAt    time.Time // the next knock, or the end of the round; zero: none
	knockStage Stage     // of the last knock

	// What the peer proved.
	heard    time.Time      // the last authenticated packet from there
	source   bool           // there was one
	sealed   bool           // there was one that was sealed
	carries  time.Time      // the last probe by which the peer said that its data comes by here
	replied  time.Time      // the last answer to a probe
	observed netip.AddrPort // our address in that answer

	// Probes: of all states but Knocking and Validating, checkAt says when one is due
	// or missing.
	checkAt  time.Time
	probes   [8]probe // the last sent; at 4 · 50 ms and doubling they reach back more than 1 s
	probeN   int      // sent, in all
	replyN   int      // answered, in all
	probedAt time.Time
	awaiting bool // a probe was sent since the last answer
	misses   int  // answers missing since the last
	rtt      rtt

	sounding // of its room

	// Choice and death.
	wins       int       // consecutive samples by which it is faster than the current
	validSince time.Time // suspicion in between does not count
	deaths     int       // not forgiven
	retries    int       // since it died
	heldUntil  time.Time // not chosen before, if the current path works; zero: not held
}

// known reports whether more than a third party's word says that the peer is there.
func (p *path) known() bool {
	return p.source || p.link.Transport != TransportUDP || p.cand != nil && p.cand.observed
}

// vouched reports whether p does not owe it to the source of an initiation alone,
// which may be forged, that the peer is believed to be there.
func (p *path) vouched() bool {
	return p.sealed || p.proven() || p.link.Transport != TransportUDP || !p.source || p.cand != nil && p.cand.observed
}

// proven reports whether a probe was ever answered from there.
func (p *path) proven() bool { return p.rtt.known }

// alive reports whether the path is believed to work.
func (p *path) alive() bool { return p.state == Valid || p.state == Suspect }

// better reports whether p is preferred to q (spec §5).
func (p *path) better(q *path) bool {
	if (p.room == narrow) != (q.room == narrow) {
		return q.room == narrow
	}
	if p.kind != q.kind {
		return p.kind < q.kind
	}
	return p.rtt.smoothed < q.rtt.smoothed
}

// setState is the only place where a state changes.
func (s *Set) setState(now time.Time, p *path, st State, why Reason) {
	if st == Valid && p.state != Suspect {
		p.validSince = now
	}
	p.state, p.since = st, now
	switch st {
	case Knocking, Validating:
		p.checkAt = time.Time{}
	case Dead:
		p.wins, p.retries = 0, 0
		p.checkAt = now.Add(retryMin)
	case Failed:
		p.knockAt, p.checkAt = time.Time{}, time.Time{}
		p.wins = 0
	}
	s.note(now, p, EventState, why)
}

// find returns the path, or nil.
func (s *Set) find(l *link, addr netip.AddrPort) *path {
	for _, p := range s.paths {
		if p.link == l && p.addr == addr {
			return p
		}
	}
	return nil
}

// addPath returns a new path in state Knocking, or nil if the table is full of better
// ones.
func (s *Set) addPath(now time.Time, l *link, addr netip.AddrPort, cand *candidate) *path {
	if !s.makeRoom(now, cand == nil && l.Transport == TransportUDP) {
		return nil
	}
	p := &path{link: l, addr: addr, cand: cand}
	p.kind = s.classify(p)
	s.paths = append(s.paths, p)
	return p
}

// makeRoom makes place for one path. A source takes only the place of a failed path or
// another mere source, so that a flood of them costs nobody else anything.
func (s *Set) makeRoom(now time.Time, source bool) bool {
	var victim *path
	cost := func(p *path) int {
		switch {
		case p == s.current || p.alive() || p.link.Transport != TransportUDP:
			return 4
		case p.state == Failed:
			return 0
		case p.cand == nil && !p.proven():
			return 1
		case p.state == Dead && !source:
			return 2
		}
		return 3
	}
	sources := 0
	for _, p := range s.paths {
		if p.cand == nil && !p.proven() && p.link.Transport == TransportUDP {
			sources++
		}
		if victim == nil || cost(p) < cost(victim) || cost(p) == cost(victim) && p.since.Before(victim.since) {
			victim = p
		}
	}
	if len(s.paths) < maxPaths && !(source && sources >= maxSources) {
		return true
	}
	if source && sources >= maxSources {
		victim = s.oldestSource()
	}
	if victim == nil || cost(victim) > 2 {
		return false
	}
	s.removePath(now, victim, Evicted)
	return true
}

// oldestSource returns the path that has been a mere source for longest, if it is not in use.
func (s *Set) oldestSource() *path {
	var oldest *path
	for _, p := range s.paths {
		if p.cand == nil && !p.proven() && p.link.Transport == TransportUDP && p != s.current &&
			(oldest == nil || p.since.Before(oldest.since)) {
			oldest = p
		}
	}
	return oldest
}

// removePath forgets p. If it was the current path there is none now.
func (s *Set) removePath(now time.Time, p *path, why Reason) {
	if p.state != Failed {
		s.setState(now, p, Failed, why)
	}
	s.paths = slices.DeleteFunc(s.paths, func(q *path) bool { return q == p })
	if s.current == p {
		s.current = nil
		s.doubt = doubt{}
	}
	if s.standby == p {
		s.standby = nil
	}
	if s.nominated == p {
		s.nominated = nil
	}
}

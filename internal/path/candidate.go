package path

import (
	"net/netip"
	"slices"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// Origin says who told of a candidate.
type Origin uint8

// The origins.
const (
	OriginDescriptor Origin = iota + 1 // the peer's signed device
	OriginTicket                       // a ticket
	OriginObserved                     // an SN, which saw the peer there itself
	OriginSN                           // an SN, which passes on what the peer told it
	OriginPeer                         // the peer, in a sealed message or its response
	OriginDiscovery                    // discovery on the local network
)

// A Candidate is a place where the peer may be reached.
type Candidate struct {
	Addr   netip.AddrPort
	Kind   wire.CandidateKind // as its teller named it
	Origin Origin

	// Start is when the SN asked for the first knock (now + wait); the Set adds
	// the guard of spec §3. Zero: at once.
	Start time.Time

	// Opener asks for an Opener at once. Only OriginObserved gets one.
	Opener bool
}

// A candidate is all that was told of one address.
type candidate struct {
	addr     netip.AddrPort
	kinds    kindSet
	observed bool      // by an SN
	found    bool      // by discovery, and told by nobody else
	opener   bool      //
	start    time.Time // when to knock; zero: at once

	// A stranger's knocks, over all links, are counted by address.
	sent   int
	window time.Time // when the first of them was sent
}

// AddCandidate adds a place to try. One that is known already gets another round of
// knocks if its budget allows. What is refused (spec §2) is in the record.
func (s *Set) AddCandidate(now time.Time, c Candidate) {
	s.now = now
	found := c.Origin == OriginDiscovery
	cand, isNew := s.candidate(now, c.Addr, found)
	if cand == nil {
		s.refused(now, nil, c.Addr, RefusedFull)
		return
	}
	cand.found = cand.found && found
	cand.kinds |= kindSetOf(c.Kind)
	if c.Origin == OriginObserved {
		cand.observed = true
		cand.opener = cand.opener || c.Opener
	}
	if c.Start.After(cand.start) {
		cand.start = c.Start.Add(guard)
	}
	kept := false
	for _, l := range s.links {
		why := s.tell(now, l, cand)
		kept = kept || why != RefusedFamily
		if isNew && why != none && why != RefusedFamily {
			s.refused(now, l, c.Addr, why)
		}
	}
	if isNew && !kept && len(s.links) > 0 {
		s.refused(now, nil, c.Addr, RefusedFamily)
	}
	s.choose(now) // a path may be of another kind now
}

// Candidates returns the places that are kept, oldest first: of each the address, a
// kind by which it was told, and whether an SN saw the peer there.
func (s *Set) Candidates() []Candidate {
	list := make([]Candidate, len(s.cands))
	for i, c := range s.cands {
		list[i] = Candidate{Addr: c.addr, Kind: c.kinds.one(), Origin: OriginPeer}
		if c.observed {
			list[i].Origin = OriginObserved
		}
	}
	return list
}

// candidate returns the record of addr and whether it is new; nil if there is no room.
// What discovery has found, anybody on the local network may have named: it gives way
// to what others tell.
func (s *Set) candidate(now time.Time, addr netip.AddrPort, found bool) (c *candidate, isNew bool) {
	for _, c := range s.cands {
		if c.addr == addr {
			return c, false
		}
	}
	if len(s.cands) == maxCandidates {
		i := slices.IndexFunc(s.cands, s.spent) // the oldest come first
		if i < 0 && !found {
			i = slices.IndexFunc(s.cands, func(c *candidate) bool { return c.found && !s.answers(c) })
		}
		if i < 0 {
			return nil, false
		}
		s.dropCandidate(now, i)
	}
	c = &candidate{addr: addr, found: found}
	s.cands = append(s.cands, c)
	return c, true
}

// dropCandidate forgets a candidate, and the paths of it that are not in use.
func (s *Set) dropCandidate(now time.Time, i int) {
	old := s.cands[i]
	s.cands = slices.Delete(s.cands, i, i+1)
	for _, p := range slices.Clone(s.paths) {
		if p.cand != old {
			continue
		}
		if p.cand = nil; p != s.current {
			s.removePath(now, p, Evicted)
		}
	}
}

// answers reports whether the peer was heard from at c.
func (s *Set) answers(c *candidate) bool {
	return slices.ContainsFunc(s.paths, func(p *path) bool { return p.cand == c && (p.proven() || p.source) })
}

// spent reports whether nothing is to be expected of c: its paths, if any, have failed.
func (s *Set) spent(c *candidate) bool {
	for _, p := range s.paths {
		if p.cand == c && p.state != Failed {
			return false
		}
	}
	return true
}

// tell makes or renews the path of c over l, or returns why there is none.
func (s *Set) tell(now time.Time, l *link, c *candidate) Reason {
	if l.Transport != TransportUDP {
		return RefusedFamily
	}
	onMachine := c.observed && c.addr.Addr().IsLoopback()
	if why := l.refuse(c.addr, s.shared, onMachine); why != none {
		return why
	}
	p := s.find(l, c.addr)
	if p == nil {
		if p = s.addPath(now, l, c.addr, c); p == nil {
			return RefusedFull
		}
		s.startKnocking(now, p, Told)
		return none
	}
	p.cand = c
	p.kind = s.classify(p)
	switch {
	case p.state == Failed:
		s.renew(now, p, Told)
	case p.state == Knocking && c.start.After(p.round) && p.known():
		s.startKnocking(now, p, Told) // punch again, when the SN said
	case p.state == Dead && now.Sub(p.probedAt) >= retryMin:
		p.retries = 0
		p.checkAt = now
	}
	return none
}

// tellAll goes through all candidates again: a link or a rule has changed.
func (s *Set) tellAll(now time.Time, l *link) {
	for _, c := range s.cands {
		if s.find(l, c.addr) == nil {
			s.tell(now, l, c)
		}
	}
}

func (s *Set) refused(now time.Time, l *link, addr netip.AddrPort, why Reason) {
	e := Entry{Time: now, Event: EventRefused, Remote: addr, Reason: why}
	if l != nil {
		e.Local = l.Local
	}
	s.log.add(e)
}

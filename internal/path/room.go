package path

import (
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// room is whether a path carries packets of the engine's size (spec §10).
type room uint8

const (
	unsounded room = iota
	wide           // a sounding was answered
	narrow         // soundings go unanswered while probes are answered, or the local network refuses them
)

// A sounding is how the room of one path is found out. It is only made on paths that a probe
// was answered on.
type sounding struct {
	room   room
	tries  uint8     // in this round
	most   uint8     // tries in it
	rounds uint8     // in vain, since it was wide; at most 7
	token  uint64    // of the first try; that of each further one is one more
	since  time.Time // when the round began; zero: none
	sent   time.Time // the last try
	at     time.Time // the next try, or the end of the round, or the next round; zero: none
	ended  time.Time // the last round
}

// sound begins a round of soundings, unless there is one.
func (s *Set) sound(now time.Time, p *path, tries uint8) {
	d := &p.sounding
	if !p.proven() || !p.alive() {
		return
	}
	if !d.since.IsZero() {
		d.most = min(d.most, max(tries, d.tries))
		return
	}
	d.since, d.tries, d.most, d.at = now, 0, tries, now
	d.token = s.random()
}

// soundNow does what is due on p: a try, the end of a round, a new round.
func (s *Set) soundNow(now time.Time, p *path) {
	d := &p.sounding
	d.at = time.Time{}
	switch {
	case !p.alive() || s.dormant:
		d.since = time.Time{}
		return
	case d.since.IsZero():
		if p.room == narrow || s.sentAt.After(d.ended) {
			s.sound(now, p, soundTries)
		}
		if d.since.IsZero() {
			return
		}
	case d.tries >= d.most:
		s.endSounding(now, p)
		return
	}
	if d.tries > 0 && p.probedAt.Before(now) {
		s.probe(now, p) // if this is answered and the soundings are not it is for their length
	}
	token := d.token + uint64(d.tries)
	d.sent = now
	d.tries++
	d.at = now.Add(p.rtt.verdict())
	s.stats.Soundings++
	s.do(Action{Kind: Sound, Link: p.link.Link, Addr: p.addr,
		Sounding: wire.Sounding{Token: token, Nominated: p == s.current}})
}

// endSounding judges a round in which no sounding was answered.
func (s *Set) endSounding(now time.Time, p *path) {
	d := &p.sounding
	since := d.since
	d.since, d.ended = time.Time{}, now
	if p.replied.Before(since) {
		d.at = now.Add(soundEvery) // nothing is answered: that is another matter
		return
	}
	d.rounds = min(d.rounds+1, 7)
	s.setRoom(now, p, narrow, TooLong)
	wait := min(retryMin<<(d.rounds-1), retryMax)
	if p == s.current && !s.narrowAt.IsZero() {
		wait = retryMin // data waits for it
	}
	if p.room == narrow {
		d.at = now.Add(wait)
	}
}

// sounded handles the answer to a sounding, whichever of the round it was.
func (s *Set) sounded(now time.Time, p *path) {
	d := &p.sounding
	d.since, d.ended, d.rounds = time.Time{}, now, 0
	d.at = now.Add(soundEvery)
	s.setRoom(now, p, wide, Answered)
}

// sounds reports whether a token is that of a sounding under way over p, and whether it
// is the last's, which was sent at p.sounding.sent.
func (p *path) sounds(token uint64) (last, ok bool) {
	d := &p.sounding
	try := token - d.token
	return try == uint64(d.tries)-1, !d.since.IsZero() && try < uint64(d.tries)
}

// setRoom changes what is known of p's room, and where data goes if that matters.
func (s *Set) setRoom(now time.Time, p *path, r room, why Reason) {
	was := p.room
	p.room = r
	if r == was || r == wide && was == unsounded {
		return
	}
	s.note(now, p, EventState, why)
	switch {
	case r == narrow:
		p.deaths = min(p.deaths+1, 7)
		if p == s.current {
			s.narrowAt = now
			if s.wider() == nil {
				s.recall(now) // perhaps there is another way
			}
		}
	case p == s.current:
		s.do(Action{Kind: Resend}) // what was lost for its length
	default:
		p.heldUntil = now.Add(min(holdMin<<(p.deaths-1), holdMax))
		p.checkAt = p.heldUntil
	}
	s.choose(now)
}

// wider returns the best path to leave a narrow current one for, or nil.
func (s *Set) wider() *path {
	return s.best(func(p *path) bool { return p != s.current && p.state == Valid && p.room != narrow })
}

// TooLong says that the local network refused to send a packet to addr for its length.
func (s *Set) TooLong(now time.Time, l Link, addr netip.AddrPort) {
	s.now = now
	lk := s.link(l)
	if lk == nil {
		return
	}
	if p := s.find(lk, addr); p != nil && p.alive() && p.room != narrow {
		d := &p.sounding
		d.since, d.ended = time.Time{}, now
		d.rounds = min(d.rounds+1, 7)
		d.at = now.Add(retryMin)
		s.setRoom(now, p, narrow, TooLong)
	}
}

// stuckAt returns when the peer is lost because no path is wide enough for what is to be
// sent; zero: not as things are.
func (s *Set) stuckAt() time.Time {
	p := s.current
	if p == nil || p.room != narrow || !p.alive() || s.narrowAt.IsZero() {
		return time.Time{}
	}
	return s.narrowAt.Add(LostAfter)
}

// giveUpNarrow does what is due then, if something is being sent and nothing comes back:
// packets that are short enough are good.
func (s *Set) giveUpNarrow(now time.Time) {
	s.narrowAt = time.Time{}
	if now.Sub(s.sentAt) < LostAfter*2/3 && now.Sub(s.receivedAt) >= LostAfter/2 {
		s.do(Action{Kind: Lost})
		s.note(now, s.current, EventLost, TooLong)
	}
}

package discovery

import (
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/jitter"
)

// When beacons are sent, and how many are looked at (spec §3, §4).
const (
	announceEvery = time.Minute // ± 10 %
	changeMin     = time.Second // between two bursts of announcements
	maxSeeks      = 256         // devices that are sought at a time
	queriesBurst  = 64          // queries at once, refilled by 16 a second
	queriesEach   = time.Second / 16
	answersBurst  = 16 // answers at once, refilled by 16 a second
	answersEach   = time.Second / 16
	heardTotal    = 256 // beacons a second
	heardSource   = 16  // beacons a second from one address
)

var (
	// burst is when an announcement is made again after a change.
	burst = [...]time.Duration{0, time.Second, 3 * time.Second}
	// repeats are the times of the queries for one device.
	repeats = [...]time.Duration{0, 250 * time.Millisecond, time.Second, 3 * time.Second}
)

// A schedule says when to send what, and what to listen to. It does no I/O.
type schedule struct {
	self     identity.ID
	began    time.Time // of the last burst of announcements
	sent     int       // of this burst
	announce time.Time // when the next is due
	seeks    map[identity.ID]*seek
	queries  bucket
	answers  bucket
	heard    heard
}

// A seek is the search for one device.
type seek struct {
	began time.Time
	sent  int // queries
}

func (k *seek) due() time.Time { return k.began.Add(repeats[k.sent]) }

func newSchedule(self identity.ID, now time.Time) *schedule {
	s := &schedule{self: self, seeks: make(map[identity.ID]*seek)}
	s.queries = bucket{burst: queriesBurst, each: queriesEach}
	s.answers = bucket{burst: answersBurst, each: answersEach}
	s.startBurst(now)
	return s
}

func (s *schedule) startBurst(now time.Time) {
	s.began, s.sent, s.announce = now, 0, now
}

// changed has the device announced anew: the network has changed.
func (s *schedule) changed(now time.Time) {
	if s.sent == 0 && s.announce.After(now) {
		return // it is about to be
	}
	if earliest := s.began.Add(changeMin); now.Before(earliest) {
		s.startBurst(earliest)
	} else {
		s.startBurst(now)
	}
}

// want begins to look for a device, unless that is under way.
func (s *schedule) want(now time.Time, id identity.ID) {
	if s.seeks[id] == nil && len(s.seeks) < maxSeeks {
		s.seeks[id] = &seek{began: now}
	}
}

// found ends the search for a device.
func (s *schedule) found(id identity.ID) { delete(s.seeks, id) }

// next returns when poll has something to do.
func (s *schedule) next() time.Time {
	t := s.announce
	for _, k := range s.seeks {
		if due := k.due(); due.Before(t) {
			t = due
		}
	}
	return t
}

// poll returns whether to announce the device, and for whom to ask.
func (s *schedule) poll(now time.Time) (announce bool, ids []identity.ID) {
	if !now.Before(s.announce) {
		announce = true
		if s.sent++; s.sent < len(burst) {
			s.announce = s.began.Add(burst[s.sent])
		} else {
			s.announce = now.Add(announceEvery - announceEvery/10 + jitter.Of(announceEvery/5, now, s.self[:]))
		}
	}
	for id, k := range s.seeks {
		if now.Before(k.due()) {
			continue
		}
		if s.queries.take(now) {
			ids = append(ids, id)
		}
		if k.sent++; k.sent == len(repeats) {
			delete(s.seeks, id)
		}
	}
	return announce, ids
}

// A bucket is a token bucket, kept as the time at which it is full again.
type bucket struct {
	burst int
	each  time.Duration
	full  time.Time
}

func (b *bucket) take(now time.Time) bool {
	if b.full.Before(now) {
		b.full = now
	}
	if b.full.Sub(now) > time.Duration(b.burst-1)*b.each {
		return false
	}
	b.full = b.full.Add(b.each)
	return true
}

// heard counts the beacons of the present second. Sources can be forged: they
// share the total, of which each has its part.
type heard struct {
	since  time.Time
	total  int
	source map[netip.Addr]int
}

func (h *heard) allow(now time.Time, from netip.Addr) bool {
	if now.Sub(h.since) >= time.Second || now.Before(h.since) {
		h.since, h.total = now, 0
		h.source = make(map[netip.Addr]int)
	}
	if h.total >= heardTotal || h.source[from] >= heardSource {
		return false
	}
	h.total++
	h.source[from]++
	return true
}

package noise

import (
	"math"
	"sync"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// DefaultMarks is how many devices a [Marks] remembers unless told otherwise.
const DefaultMarks = 16384

// stamperFloors is how many responders that were ahead of us a Stamper remembers.
const stamperFloors = 1024

// A Stamper makes the stamps of our initiations (spec §3). It is safe for
// concurrent use.
//
// What a responder claims as its mark raises the stamps for that responder only:
// else one hostile responder could use up the stamps for all.
type Stamper struct {
	persist func(last uint64)

	mu     sync.Mutex
	last   uint64
	floors recent[identity.ID, uint64]
}

// NewStamper returns a Stamper that stays above last, the highest that persist
// was called with, 0 if not known. persist, if not nil, is called with each stamp
// before Next returns it; it may be called concurrently, and keeps the highest.
func NewStamper(last uint64, persist func(last uint64)) *Stamper {
	return &Stamper{persist: persist, last: last, floors: newRecent[identity.ID, uint64](stamperFloors)}
}

// Next returns the stamp for an initiation to remote: max(clock, last used + 1),
// and above remote's mark if that is known. A mark of 2^64-1 cannot be exceeded.
func (s *Stamper) Next(now time.Time, remote identity.ID) uint64 {
	s.mu.Lock()
	s.last = max(uint64(max(now.UnixMicro(), 0)), above(s.last))
	last, stamp := s.last, s.last
	if floor, ok := s.floors.get(remote); ok && floor >= stamp {
		stamp = above(floor)
		s.floors.put(remote, stamp)
	}
	s.mu.Unlock()
	if s.persist != nil {
		s.persist(last)
	}
	return stamp
}

// Above makes all further stamps for remote exceed its mark.
func (s *Stamper) Above(remote identity.ID, mark uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if floor, ok := s.floors.get(remote); !ok || floor < mark {
		s.floors.put(remote, mark)
	}
}

func above(stamp uint64) uint64 {
	if stamp == math.MaxUint64 {
		return stamp
	}
	return stamp + 1
}

// stampsAhead and stampsBehind are by how much a stamp may be off our clock for early
// data to be run (spec §3).
const (
	stampsAhead  = time.Minute
	stampsBehind = time.Minute
)

// Marks holds the highest stamp accepted from each device (spec §3), of a bounded
// number of devices. A forgotten mark lets an old initiation be replayed, which
// comes to a tentative association that nobody can confirm; but not its early data:
// no stamp is taken for fresh that is not above those that were forgotten, too. It
// is safe for concurrent use.
type Marks struct {
	mu    sync.Mutex
	marks recent[identity.ID, uint64]
	// floor is the highest of the stamps that may have been taken for fresh and are
	// forgotten; horizon is the highest that may have been taken for fresh at all.
	floor, horizon uint64
}

// NewMarks returns Marks for at most limit devices, DefaultMarks if 0.
func NewMarks(limit int) *Marks {
	if limit == 0 {
		limit = DefaultMarks
	}
	m := &Marks{marks: newRecent[identity.ID, uint64](limit)}
	m.marks.forget = func(_ identity.ID, stamp uint64) { m.floor = max(m.floor, min(stamp, m.horizon)) }
	return m
}

// Mark returns the highest stamp accepted from id; ok is false if none is known.
func (m *Marks) Mark(id identity.ID) (stamp uint64, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.marks.get(id)
}

// Raise accepts a stamp of id if it is above its mark, which it becomes. It
// returns the mark from before and whether it did.
func (m *Marks) Raise(id identity.ID, stamp uint64) (before uint64, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.raiseLocked(id, stamp)
}

func (m *Marks) raiseLocked(id identity.ID, stamp uint64) (before uint64, ok bool) {
	before, known := m.marks.get(id)
	if known && stamp <= before {
		return before, false
	}
	m.marks.put(id, stamp)
	return before, true
}

// Claim is Raise for an initiation whose early data may be run. It reports whether
// it may: never twice for one stamp of one device, whatever was forgotten in between.
// A stamp too far ahead of now is not fresh, lest one device raise the floor for all
// others by years; nor one too far behind, lest an initiation that was held back, or
// overheard in the time of an earlier process, be run when nobody expects it any more.
func (m *Marks) Claim(now time.Time, id identity.ID, stamp uint64) (fresh bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ahead := uint64(max(now.Add(stampsAhead).UnixMicro(), 0))
	m.horizon = max(m.horizon, ahead)
	_, raised := m.raiseLocked(id, stamp)
	behind := uint64(max(now.Add(-stampsBehind).UnixMicro(), 0))
	return raised && stamp > m.floor && behind <= stamp && stamp <= ahead
}

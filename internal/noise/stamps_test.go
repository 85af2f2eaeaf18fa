package noise

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
)

func TestStamper(t *testing.T) {
	peer, other := identity.ID{1}, identity.ID{2}
	clock := uint64(start.UnixMicro())
	var persisted []uint64
	s := NewStamper(0, func(last uint64) { persisted = append(persisted, last) })
	next := func(now time.Time, id identity.ID, want uint64) {
		t.Helper()
		if got := s.Next(now, id); got != want {
			t.Errorf("stamp %d, want %d", got, want)
		}
	}
	next(start, peer, clock)
	next(start, other, clock+1)                   // the clock stands still
	next(start.Add(-time.Hour), peer, clock+2)    // and goes back
	next(start.Add(time.Second), peer, clock+1e6) // and is right again
	if want := []uint64{clock, clock + 1, clock + 2, clock + 1e6}; !slices.Equal(persisted, want) {
		t.Errorf("persisted %d, want %d", persisted, want)
	}
	s.Above(peer, clock+5e6)
	next(start.Add(time.Second), peer, clock+5e6+1)
	next(start.Add(time.Second), peer, clock+5e6+2)
	s.Above(peer, 7) // an old answer
	next(start.Add(time.Second), peer, clock+5e6+3)
	next(start.Add(time.Second), other, clock+1e6+4) // is not affected
	next(start.Add(time.Minute), peer, clock+6e7)    // the clock has overtaken the mark
}

// TestStamperWrongClock: a device without a clock starts in 1970, or before.
func TestStamperWrongClock(t *testing.T) {
	peer := identity.ID{1}
	s := NewStamper(0, nil)
	if got := s.Next(time.Unix(0, 0), peer); got != 1 {
		t.Errorf("first stamp of 1970 is %d", got)
	}
	if got := s.Next(time.Unix(-1000, 0), peer); got != 2 {
		t.Errorf("before 1970: %d", got)
	}
	s = NewStamper(1e15, nil)
	if got := s.Next(time.Unix(0, 0), peer); got != 1e15+1 {
		t.Errorf("first after the persisted one: %d", got)
	}
}

// TestStamperHostileMark: no responder can use up the stamps for others.
func TestStamperHostileMark(t *testing.T) {
	hostile, other := identity.ID{1}, identity.ID{2}
	s := NewStamper(0, nil)
	s.Above(hostile, math.MaxUint64)
	if got := s.Next(start, hostile); got != math.MaxUint64 {
		t.Errorf("stamp for the hostile one: %d", got)
	}
	if got, want := s.Next(start, other), uint64(start.UnixMicro())+1; got != want {
		t.Errorf("stamp for another: %d, want %d", got, want)
	}
	s = NewStamper(math.MaxUint64, nil)
	if got := s.Next(start, other); got != math.MaxUint64 {
		t.Errorf("past the last stamp: %d", got)
	}
}

func TestMarks(t *testing.T) {
	a, b := identity.ID{1}, identity.ID{2}
	m := NewMarks(0)
	if _, ok := m.Mark(a); ok {
		t.Error("mark of a stranger")
	}
	for _, c := range []struct {
		id     identity.ID
		stamp  uint64
		before uint64
		ok     bool
	}{{a, 0, 0, true}, {a, 0, 0, false}, {a, 5, 0, true}, {a, 5, 5, false}, {a, 4, 5, false}, {b, 1, 0, true}, {a, 6, 5, true}} {
		if before, ok := m.Raise(c.id, c.stamp); before != c.before || ok != c.ok {
			t.Errorf("raise %v to %d: %d, %v, want %d, %v", c.id[0], c.stamp, before, ok, c.before, c.ok)
		}
	}
	if mark, ok := m.Mark(a); mark != 6 || !ok {
		t.Errorf("mark %d, %v", mark, ok)
	}
}

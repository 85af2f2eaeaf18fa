package discovery

import (
	"net/netip"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// run advances a schedule to an end, and returns when it announced and how often it
// asked.
func run(s *schedule, from, to time.Duration) (announced []time.Duration, asked int) {
	for now := start.Add(from); ; {
		announce, ids := s.poll(now)
		if announce {
			announced = append(announced, now.Sub(start))
		}
		asked += len(ids)
		next := s.next()
		if !next.After(now) {
			panic("the schedule stands still")
		}
		if now = next; now.Sub(start) > to {
			return announced, asked
		}
	}
}

func TestAnnouncements(t *testing.T) {
	s := newSchedule(identity.ID{}, start)
	got, _ := run(s, 0, 10*time.Minute)
	if len(got) < 3+8 || len(got) > 3+12 {
		t.Errorf("%d announcements in 10 minutes", len(got))
	}
	for i, want := range burst {
		if got[i] != want {
			t.Errorf("announcement %d after %v, want %v", i, got[i], want)
		}
	}
	for i := len(burst); i < len(got); i++ {
		if gap := got[i] - got[i-1]; gap < 54*time.Second || gap > 66*time.Second {
			t.Errorf("%v between announcements", gap)
		}
	}
}

// TestChanges: a change begins a burst, but a thousand in a second begin two.
func TestChanges(t *testing.T) {
	s := newSchedule(identity.ID{}, start)
	run(s, 0, 10*time.Second)
	total := 0
	for i := range 1000 {
		at := 20*time.Second + time.Duration(i)*time.Millisecond
		s.changed(start.Add(at))
		for !s.next().After(start.Add(at)) {
			if announce, _ := s.poll(start.Add(at)); announce {
				total++
			}
		}
	}
	rest, _ := run(s, 21*time.Second, 30*time.Second)
	if total += len(rest); total != 1+len(burst) {
		t.Errorf("%d announcements, want %d", total, 1+len(burst))
	}
}

func TestSeeks(t *testing.T) {
	s := newSchedule(identity.ID{}, start)
	for range 3 {
		s.want(start, testID(1)) // once is enough
	}
	s.want(start, testID(2))
	if _, ids := s.poll(start); len(ids) != 2 {
		t.Errorf("%d questions at once", len(ids))
	}
	s.found(testID(2))
	if _, asked := run(s, time.Millisecond, time.Minute); asked != len(repeats)-1 {
		t.Errorf("%d further questions, want %d", asked, len(repeats)-1)
	}
	if len(s.seeks) != 0 {
		t.Errorf("%d seeks are left", len(s.seeks))
	}
}

// TestSeeksBounded: whatever is wanted, the table and the rate hold.
func TestSeeksBounded(t *testing.T) {
	s := newSchedule(identity.ID{}, start)
	asked := 0
	for i := range 10_000 {
		now := start.Add(time.Duration(i) * time.Millisecond)
		id := testID(1)
		id[0], id[1] = byte(i), byte(i>>8)
		s.want(now, id)
		if len(s.seeks) > maxSeeks {
			t.Fatalf("%d seeks", len(s.seeks))
		}
		_, ids := s.poll(now)
		asked += len(ids)
	}
	if limit := queriesBurst + 10*16; asked > limit || asked < limit-16 {
		t.Errorf("%d questions in 10 s, want %d", asked, limit)
	}
}

// TestHeard: one source has its part of what is looked at, all have the whole.
func TestHeard(t *testing.T) {
	var h heard
	count := func(now time.Time, sources int) (n int) {
		for i := range 10_000 {
			a := netip.AddrFrom4([4]byte{10, 0, byte(i % sources >> 8), byte(i % sources)})
			if h.allow(now, a) {
				n++
			}
		}
		return n
	}
	if n := count(start, 1); n != heardSource {
		t.Errorf("one source: %d", n)
	}
	if n := count(start.Add(time.Second), 1000); n != heardTotal {
		t.Errorf("a thousand sources: %d", n)
	}
	if len(h.source) > heardTotal {
		t.Errorf("%d sources are remembered", len(h.source))
	}
	if n := count(start, 1); n != heardSource { // the clock was set back
		t.Errorf("earlier: %d", n)
	}
}

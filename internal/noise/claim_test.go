package noise

import (
	"math"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// claimID makes an id of a number.
func claimID(n int) (id identity.ID) {
	id[0], id[1], id[2], id[3] = 0x44, byte(n>>16), byte(n>>8), byte(n)
	return id
}

// No stamp of a device is fresh twice, however many marks were forgotten between:
// 10,000 initiations of 2,500 devices, of which 64 are remembered, all replayed
// three times over, in order, backwards, and later.
func TestClaimOnce(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	marks := NewMarks(64)
	type replay struct {
		id    identity.ID
		stamp uint64
	}
	var all []replay
	runs := map[replay]int{}
	claim := func(r replay) {
		if marks.Claim(now, r.id, r.stamp) {
			runs[r]++
		}
	}
	for round := range 4 {
		for n := range 2500 {
			r := replay{claimID(n), uint64(now.UnixMicro()) + uint64(round*2500+n)}
			all = append(all, r)
			claim(r)
		}
	}
	if len(runs) != len(all) {
		t.Errorf("%d of %d honest initiations were fresh", len(runs), len(all))
	}
	for range 2 {
		for i := range all {
			claim(all[i])
		}
		for i := range all {
			claim(all[len(all)-1-i])
		}
		now = now.Add(time.Hour)
	}
	for r, n := range runs {
		if n > 1 {
			t.Fatalf("stamp %d of %s was fresh %d times", r.stamp, r.id.Short(), n)
		}
	}
}

// A stamp that has been fresh stays below the floor when the clock is set back, and
// one that is far ahead is not fresh when the clock has caught up with it, if it was
// claimed before.
func TestClaimAcrossClocks(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	at := func(d time.Duration) uint64 { return uint64(now.Add(d).UnixMicro()) }
	marks := NewMarks(2)
	forget := func(t0 time.Time) {
		for n := range 4 {
			marks.Claim(t0, claimID(100+n), uint64(t0.UnixMicro()))
		}
	}
	if !marks.Claim(now, claimID(1), at(59*time.Second)) {
		t.Error("59 s ahead is not fresh")
	}
	if marks.Claim(now, claimID(2), at(61*time.Second)) {
		t.Error("61 s ahead is fresh")
	}
	forget(now.Add(-24 * time.Hour)) // the clock is set back a day
	if marks.Claim(now, claimID(1), at(59*time.Second)) {
		t.Error("fresh again, after a clock that was set back")
	}
	// One hostile stamp does not close the door to all: only for a minute.
	marks.Claim(now, claimID(3), math.MaxUint64)
	forget(now)
	if later := now.Add(2 * time.Minute); !marks.Claim(later, claimID(4), uint64(later.UnixMicro())) {
		t.Error("not fresh two minutes after a stamp of 2^64-1")
	}
}

// A mark that is in use is not taken for forgotten.
func TestClaimKeepsFloorLow(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	marks := NewMarks(8)
	late := uint64(now.Add(30 * time.Second).UnixMicro())
	marks.Claim(now, claimID(0), late)
	for n := range 100 {
		marks.Mark(claimID(0)) // used
		if !marks.Claim(now, claimID(1+n), uint64(now.UnixMicro())+uint64(n)) {
			t.Fatalf("device %d is not fresh: floor %d", n, marks.floor)
		}
	}
	if marks.floor >= late {
		t.Error("the floor is the mark of a device that is remembered")
	}
}

// What is old is not fresh, though it was never seen: it was held back on its way, or
// overheard before a restart.
func TestClaimNothingOld(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	marks := NewMarks(0)
	for i, age := range []time.Duration{365 * 24 * time.Hour, time.Hour, 61 * time.Second} {
		if marks.Claim(now, claimID(i), uint64(now.Add(-age).UnixMicro())) {
			t.Errorf("%v old is fresh", age)
		}
	}
	if !marks.Claim(now, claimID(9), uint64(now.Add(-59*time.Second).UnixMicro())) {
		t.Error("59 s old is not fresh")
	}
}

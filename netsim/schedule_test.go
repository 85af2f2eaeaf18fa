package netsim

import (
	"slices"
	"testing"
	"time"
)

// TestSchedule compares the heap with sorting, with many ties at every level.
func TestSchedule(t *testing.T) {
	pipes := [2]pipe{{id: 1}, {id: 2}}
	var all []due
	for i := range uint64(3000) {
		all = append(all, due{time.Duration(mix(i, 1) % 50), &packet{
			pipe: &pipes[mix(i, 2)%2], flow: mix(i, 3) % 3, seq: i,
		}})
	}
	var s schedule
	var got, want []due
	for round := range 3 { // fill and empty by turns
		part := all[round*1000 : (round+1)*1000]
		for _, d := range part {
			s.push(d)
		}
		sorted := slices.SortedFunc(slices.Values(part), func(a, b due) int {
			if a.before(b) {
				return -1
			}
			return 1
		})
		want = append(want, sorted...)
		for len(s) > 0 {
			at := s[0].at
			got = append(got, due{at, s.pop()})
		}
	}
	if !slices.Equal(got, want) {
		t.Fatal("packets do not leave in order")
	}
	for i, d := range want[1:1000] {
		if e := want[i]; e.at > d.at || e.at == d.at && e.p.pipe.id > d.p.pipe.id {
			t.Fatalf("%v %d is before %v %d", e.at, e.p.pipe.id, d.at, d.p.pipe.id)
		}
	}
}

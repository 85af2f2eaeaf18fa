package netsim

import (
	"slices"
	"testing"
	"time"
)

// TestTrain: packets leave a pipe that holds most of them outside the schedule in the
// same order as from a schedule of all, other stages of the same pipe and other pipes
// between them.
func TestTrain(t *testing.T) {
	n := New(Config{})
	defer n.Close()
	h := n.Host("h")
	n.mu.Lock()
	defer n.mu.Unlock()
	pipes := []*pipe{n.newPipe(h.lo, h, h, LinkConfig{}), n.newPipe(h.lo, h, h, LinkConfig{})}
	var all, got []due
	last := make([]time.Duration, 2)
	take := func() {
		at := n.queue[0].at
		p := n.queue.pop()
		p.pipe.train.uncouple(n, p)
		got = append(got, due{at, p})
	}
	for i := range uint64(3000) {
		which := mix(i, 1) % 2
		p := &packet{pipe: pipes[which], flow: mix(i, 2) % 4}
		at := last[which] + time.Duration(mix(i, 3)%2) // many at one instant
		if mix(i, 4)%5 == 0 {
			at += time.Duration(mix(i, 5) % 9)
			n.schedule(p, stageDeliver, at)
		} else {
			last[which] = at
			p.pipe.train.couple(n, p, at)
		}
		all = append(all, due{at, p})
	}
	if len(n.queue) > 1500 {
		t.Errorf("%d of 3,000 packets are in the schedule", len(n.queue))
	}
	for len(n.queue) > 0 {
		take()
	}
	slices.SortFunc(all, func(a, b due) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	if !slices.Equal(got, all) {
		t.Fatalf("%d of %d packets leave, or not in order", len(got), len(all))
	}
	for _, pi := range pipes {
		if pi.train.first != nil {
			t.Error("a train is not empty")
		}
	}
}

package netsim

import (
	"container/heap"
	"time"
)

// A timer calls a function of the network's own at an instant: on the network's
// goroutine, while it is locked, after the packets that are due at that instant.
// A timer is armed or not; the network's mutex guards it.
type timer struct {
	net *Network
	key uint64 // orders timers that are due together, by what they belong to
	f   func()

	at  time.Duration
	seq uint64 // order of arming, the last tie-breaker
	pos int    // in the heap, from 1; 0: not armed
}

// arm has t fire at an instant, whether it was armed or not. What has passed is now.
func (t *timer) arm(at time.Duration) {
	n := t.net
	n.seq++
	t.at, t.seq = at, n.seq
	if t.pos > 0 {
		heap.Fix(&n.timers, t.pos-1)
		return
	}
	heap.Push(&n.timers, t)
}

// disarm has t not fire.
func (t *timer) disarm() {
	if t.pos > 0 {
		heap.Remove(&t.net.timers, t.pos-1)
	}
}

// armed reports whether t is going to fire.
func (t *timer) armed() bool { return t.pos > 0 }

// fire calls the function of the earliest timer.
func (n *Network) fire() {
	t := n.timers[0]
	heap.Pop(&n.timers)
	t.f()
}

// next returns when the earliest packet or timer is due, or forever.
func (n *Network) next() time.Duration {
	at := forever
	if len(n.queue) > 0 {
		at = n.queue[0].at
	}
	if len(n.timers) > 0 {
		at = min(at, n.timers[0].at)
	}
	return at
}

// timers is a heap of armed timers, earliest first, for package heap.
type timers []*timer

func (ts timers) Len() int { return len(ts) }

func (ts timers) Less(i, j int) bool {
	a, b := ts[i], ts[j]
	switch {
	case a.at != b.at:
		return a.at < b.at
	case a.key != b.key:
		return a.key < b.key
	}
	return a.seq < b.seq
}

func (ts timers) Swap(i, j int) {
	ts[i], ts[j] = ts[j], ts[i]
	ts[i].pos, ts[j].pos = i+1, j+1
}

func (ts *timers) Push(x any) {
	t := x.(*timer)
	*ts = append(*ts, t)
	t.pos = len(*ts)
}

func (ts *timers) Pop() any {
	last := len(*ts) - 1
	t := (*ts)[last]
	(*ts)[last] = nil
	*ts = (*ts)[:last]
	t.pos = 0
	return t
}

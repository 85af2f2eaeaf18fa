package netsim

import "time"

// due is a packet in the schedule.
type due struct {
	at time.Duration
	p  *packet
}

// before orders packets that are due together by what does not depend on
// which goroutine ran first.
func (a due) before(b due) bool {
	switch {
	case a.at != b.at:
		return a.at < b.at
	case a.p.pipe.id != b.p.pipe.id:
		return a.p.pipe.id < b.p.pipe.id
	case a.p.flow != b.p.flow:
		return a.p.flow < b.p.flow
	}
	return a.p.seq < b.p.seq
}

// A schedule is a heap of packets, earliest first. It is 4-ary: half the
// levels, and the four children share a cache line.
type schedule []due

func (s *schedule) push(d due) {
	h := append(*s, d)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !d.before(h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = d
	*s = h
}

// pop removes the earliest packet of a schedule that is not empty.
func (s *schedule) pop() *packet {
	h := *s
	top, d := h[0].p, h[len(h)-1]
	h[len(h)-1] = due{}
	h = h[:len(h)-1]
	*s = h
	i := 0
	for {
		first := 4*i + 1
		if first >= len(h) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(h)); c++ {
			if h[c].before(h[least]) {
				least = c
			}
		}
		if !h[least].before(d) {
			break
		}
		h[i] = h[least]
		i = least
	}
	if len(h) > 0 {
		h[i] = d
	}
	return top
}

// schedule makes p due for its next stage at a time.
func (n *Network) schedule(p *packet, s stage, at time.Duration) {
	n.seq++
	p.stage, p.seq = s, n.seq
	n.queue.push(due{at, p})
}

// A train is packets that propagate on a pipe in the order in which they are due. Only
// the first is in the schedule, which so stays small, and the others follow it.
type train struct{ first, last *packet }

// couple makes p, which is sent, due for its arrival at a time that is not before that of
// any other on the train's pipe.
func (t *train) couple(n *Network, p *packet, at time.Duration) {
	switch {
	case t.first == nil:
		t.first = p
		n.schedule(p, stageArrive, at)
	case at == t.last.at && p.flow < t.last.flow: // it overtakes
		n.schedule(p, stageArrive, at)
		return
	default:
		n.seq++
		p.stage, p.seq = stageArrive, n.seq
		t.last.next = p
	}
	t.last, p.at = p, at
}

// uncouple takes p, which has left the schedule, from the train if it is the first.
func (t *train) uncouple(n *Network, p *packet) {
	if p != t.first {
		return
	}
	t.first, p.next = p.next, nil
	if t.first != nil {
		n.queue.push(due{t.first.at, t.first})
	}
}

// now returns the time since New.
func (n *Network) now() time.Duration { return time.Since(n.start) }

// kick wakes the goroutine if there is something to do before it would wake.
func (n *Network) kick() {
	if n.outbox.waiting() == 0 && n.next() >= n.wakeAt {
		return
	}
	select {
	case n.wake <- struct{}{}:
	default: // a wake-up is under way
	}
}

const (
	awake   = time.Duration(-1 << 63) // nothing is before it: no kick needed
	forever = time.Duration(1<<63 - 1)
	ended   = -forever
	quantum = 128 // packets moved before others get the lock
)

// run is the network's goroutine. It alone moves packets that are on a link,
// and calls the trace, capture and tamper functions. Close ends it.
func (n *Network) run() {
	defer close(n.done)
	var out outbox
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		sleep := n.move(&out)
		if sleep == ended {
			return // out holds what was told already
		}
		out.tell()
		switch {
		case sleep == forever:
			// An idle network holds no timer: in a bubble virtual time would run
			// to it, and a test that hangs would not be seen to.
			timer.Stop()
			<-n.wake
		case sleep > 0:
			timer.Reset(sleep)
			select {
			case <-timer.C:
			case <-n.wake:
			}
		}
	}
}

// move advances packets that are due. It returns how long to sleep after
// that, 0 for not at all, or ended once the network is closed. out is what to tell without the
// lock.
func (n *Network) move(out *outbox) (sleep time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wakeAt = awake
	if n.closed {
		return ended
	}
	now := n.now()
	var call func()
	for range quantum {
		at := n.next()
		if call != nil || at > now {
			break
		}
		n.at = at
		if len(n.queue) > 0 && n.queue[0].at == at {
			p := n.queue.pop()
			p.pipe.train.uncouple(n, p)
			call = p.pipe.advance(p)
		} else {
			n.fire()
			call, n.call = n.call, nil
		}
	}
	n.outbox.take(out)
	out.call = call
	n.room.Broadcast()
	n.wakeAt = n.next()
	if call != nil || out.waiting() > 0 || n.wakeAt <= now {
		n.wakeAt = awake // it comes back at once
		return 0
	}
	if n.wakeAt == forever {
		return forever
	}
	return n.wakeAt - now
}

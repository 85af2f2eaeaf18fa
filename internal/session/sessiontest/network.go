// Package sessiontest is the conformance suite of sessions: it says what
// every engine's sessions do, over simulated networks in virtual time.
package sessiontest

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/session"
)

// Conditions say what a Network does to packets. The zero value delivers all
// of them, in order and at once.
type Conditions struct {
	Delay     time.Duration // one way
	Rate      int           // bits/s each way; a backlog of over maxBacklog is lost. 0: no limit
	Loss      float64       // share of packets, 0 to 1
	Duplicate float64       // share that arrives twice
	Reorder   float64       // share that arrives up to 2 Delay later than it should
	Seed      uint64
}

// maxBacklog is the longest queue before a link with a rate.
const maxBacklog = 50 * time.Millisecond

// An End is one of the two ends of a Network.
type End int

// The ends, and the roles that sessions have there.
const (
	Client End = iota
	Server
)

func (e End) other() End { return 1 - e }

// A Network carries packets between two ports. It works in real time as well
// as in virtual time, and delivers from goroutines of its own.
type Network struct {
	links [2]*link // by sender

	mu    sync.Mutex
	ports [2]session.Port
}

// NewNetwork makes a network that is closed when t is done.
func NewNetwork(t testing.TB, c Conditions) *Network {
	n := &Network{}
	for e := range n.links {
		n.links[e] = newLink(func(b []byte, segment int, ecn uint8) {
			if p := n.port(End(e).other()); p != nil {
				p.Deliver(b, segment, ecn)
			}
		})
	}
	n.SetConditions(c)
	t.Cleanup(n.close)
	return n
}

// Carrier returns what the port at e writes to.
func (n *Network) Carrier(e End) session.Carrier { return n.links[e] }

// Connect sets the port to which packets for e are delivered.
func (n *Network) Connect(e End, p session.Port) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ports[e] = p
}

func (n *Network) port(e End) session.Port {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ports[e]
}

// SetConditions changes how later packets fare, in both directions.
func (n *Network) SetConditions(c Conditions) {
	for e, l := range n.links {
		l.set(c, uint64(e))
	}
}

// SwitchPath moves both ends to a path of other conditions. What is under way
// is lost with the old one.
func (n *Network) SwitchPath(c Conditions) {
	for _, l := range n.links {
		l.drop()
	}
	n.SetConditions(c)
	for e := range n.links {
		if p := n.port(End(e)); p != nil {
			p.PathChanged()
		}
	}
}

// Sent is how many packets were written at e.
func (n *Network) Sent(e End) int {
	l := n.links[e]
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent
}

func (n *Network) close() {
	for _, l := range n.links {
		close(l.stop)
		<-l.stopped
	}
}

// A parcel is a run under way.
type parcel struct {
	due     time.Time
	order   int // among those due at the same time
	b       []byte
	segment int
	ecn     uint8
}

// A link is one direction of a Network.
type link struct {
	deliver func(b []byte, segment int, ecn uint8)
	wake    chan struct{} // has room for one: the queue's head has changed
	stop    chan struct{}
	stopped chan struct{}

	mu         sync.Mutex
	conditions Conditions
	rng        *rand.Rand
	sent       int
	free       time.Time // when the last packet has left, at the link's rate
	queue      parcels
	pushed     int // parcels ever, which is the next one's order
}

func newLink(deliver func([]byte, int, uint8)) *link {
	l := &link{
		deliver: deliver,
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	go l.run()
	return l
}

func (l *link) set(c Conditions, stream uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conditions = c
	l.rng = rand.New(rand.NewPCG(c.Seed, stream))
}

func (l *link) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = nil
	l.free = time.Time{}
}

// WritePackets implements session.Carrier. A run travels in one piece unless
// the conditions treat packets one by one.
func (l *link) WritePackets(b []byte, segment int, ecn uint8) {
	if segment == 0 {
		segment = max(len(b), 1)
	}
	l.mu.Lock()
	l.sent += (len(b) + segment - 1) / segment
	c := l.conditions
	if c.Rate == 0 && c.Loss == 0 && c.Duplicate == 0 && c.Reorder == 0 {
		l.pushLocked(time.Now().Add(c.Delay), b, segment, ecn)
	} else {
		for ; len(b) > 0; b = b[min(segment, len(b)):] {
			l.sendLocked(b[:min(segment, len(b))], ecn)
		}
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// sendLocked decides about one packet.
func (l *link) sendLocked(b []byte, ecn uint8) {
	c, now := l.conditions, time.Now()
	due := now.Add(c.Delay)
	if c.Rate > 0 {
		if l.free.Sub(now) > maxBacklog {
			return
		}
		if l.free.Before(now) {
			l.free = now
		}
		l.free = l.free.Add(time.Duration(len(b)) * 8 * time.Second / time.Duration(c.Rate))
		due = l.free.Add(c.Delay)
	}
	if l.rng.Float64() < c.Loss {
		return
	}
	if l.rng.Float64() < c.Reorder {
		due = due.Add(time.Duration(l.rng.Int64N(int64(2*c.Delay) + 1)))
	}
	l.pushLocked(due, b, len(b), ecn)
	if l.rng.Float64() < c.Duplicate {
		l.pushLocked(due, b, len(b), ecn)
	}
}

func (l *link) pushLocked(due time.Time, b []byte, segment int, ecn uint8) {
	heap.Push(&l.queue, parcel{due, l.pushed, append([]byte(nil), b...), segment, ecn})
	l.pushed++
}

// run delivers parcels when they are due.
func (l *link) run() {
	defer close(l.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		p, wait := l.pop()
		if p != nil {
			l.deliver(p.b, p.segment, p.ecn)
			continue
		}
		timer.Reset(wait)
		select {
		case <-l.stop:
			return
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// pop returns the next parcel if it is due, or how long to wait.
func (l *link) pop() (*parcel, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return nil, time.Hour
	}
	if wait := time.Until(l.queue[0].due); wait > 0 {
		return nil, wait
	}
	p := heap.Pop(&l.queue).(parcel)
	return &p, 0
}

// parcels is a heap by due and order.
type parcels []parcel

func (q parcels) Len() int      { return len(q) }
func (q parcels) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q parcels) Less(i, j int) bool {
	if q[i].due.Equal(q[j].due) {
		return q[i].order < q[j].order
	}
	return q[i].due.Before(q[j].due)
}
func (q *parcels) Push(x any) { *q = append(*q, x.(parcel)) }
func (q *parcels) Pop() any {
	old := *q
	last := len(old) - 1
	p := old[last]
	old[last] = parcel{}
	*q = old[:last]
	return p
}

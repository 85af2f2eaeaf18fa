package session

import (
	"net"
	"os"
	"sync"
	"time"
)

const (
	// maxPacket is the longest packet that the engine takes: no QUIC packet
	// of ours is longer, and quic-go's buffers end here.
	maxPacket = 1452
	// maxRun is the longest run: what one receive call with UDP_GRO returns.
	maxRun = 65535
	// smallRun is the class of buffers for runs that are one packet.
	smallRun = 2048
)

// A run is a copy of one delivered run, waiting for or being read by quic-go.
type run struct {
	next    *run // in its port's queue
	port    *quicPort
	buf     []byte // of one of the two size classes
	rest    []byte // what has not been read, within buf
	segment int    // bytes a packet
	ecn     uint8
}

var (
	smallRuns = sync.Pool{New: func() any { return &run{buf: make([]byte, smallRun)} }}
	largeRuns = sync.Pool{New: func() any { return &run{buf: make([]byte, maxRun+1)} }}
)

// newRun copies b, which is at most maxRun bytes.
func newRun(p *quicPort, b []byte, segment int, ecn uint8) *run {
	pool := &largeRuns
	if len(b) <= smallRun {
		pool = &smallRuns
	}
	r := pool.Get().(*run)
	r.port, r.segment, r.ecn = p, segment, ecn
	r.rest = r.buf[:copy(r.buf, b)]
	return r
}

// cut removes and returns the next packet; it is valid until release.
func (r *run) cut() []byte {
	n := min(r.segment, len(r.rest))
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *run) release() {
	r.next, r.port, r.rest = nil, nil, nil
	if len(r.buf) == smallRun {
		smallRuns.Put(r)
	} else {
		largeRuns.Put(r)
	}
}

// A portQueue holds one port's runs. It is guarded by its inbox's mu.
type portQueue struct {
	head, tail *run
	bytes      int // of buffers
	closed     bool
	nextReady  *quicPort // in the inbox's list of ports with runs
}

// An inbox holds what was delivered until quic-go reads it: a queue for each
// port, served in turn, in one bounded memory.
//
// A port may hold at most as much as stays free (the dynamic threshold of
// Choudhury and Hahne, 1998): N ports that flood take 1/(N+1) each, and a
// newcomer always finds that much room.
type inbox struct {
	mu         sync.Mutex
	filled     sync.Cond
	free       int       // bytes
	head, tail *quicPort // ports with runs
	closed     bool
	expired    bool // the read deadline has passed
}

func newInbox(bytes int) *inbox {
	q := &inbox{free: bytes}
	q.filled.L = &q.mu
	return q
}

// put copies b to p's queue, or reports false when there is no room.
func (q *inbox) put(p *quicPort, b []byte, segment int, ecn uint8) bool {
	r := newRun(p, b, segment, ecn)
	q.mu.Lock()
	pq, size := &p.queue, len(r.buf)
	if q.closed || pq.closed || pq.bytes+size > q.free-size {
		q.mu.Unlock()
		r.release()
		return false
	}
	q.free -= size
	pq.bytes += size
	if pq.head == nil {
		pq.head = r
		q.pushPortLocked(p)
	} else {
		pq.tail.next = r
	}
	pq.tail = r
	q.mu.Unlock()
	q.filled.Signal()
	return true
}

// take returns the next run, in turn of ports. It waits for one if wait is
// set, and otherwise returns nil if there is none.
func (q *inbox) take(wait bool) (*run, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case q.closed:
			return nil, net.ErrClosed
		case q.expired:
			return nil, os.ErrDeadlineExceeded
		case q.head != nil:
			return q.takeLocked(), nil
		case !wait:
			return nil, nil
		}
		q.filled.Wait()
	}
}

// takeLocked removes the first port's first run; there is one.
func (q *inbox) takeLocked() *run {
	p := q.head
	q.head, p.queue.nextReady = p.queue.nextReady, nil
	r := p.queue.head
	p.queue.head, r.next = r.next, nil
	p.queue.bytes -= len(r.buf)
	q.free += len(r.buf)
	if p.queue.head != nil {
		q.pushPortLocked(p)
	}
	return r
}

// pushPortLocked puts p, which has runs and is not in the list, at its end.
func (q *inbox) pushPortLocked(p *quicPort) {
	if q.head == nil {
		q.head = p
	} else {
		q.tail.queue.nextReady = p
	}
	q.tail = p
}

// closePort refuses further runs of p. Those queued are still served: they
// cost little, and finding p in the list would cost more.
func (q *inbox) closePort(p *quicPort) {
	q.mu.Lock()
	p.queue.closed = true
	q.mu.Unlock()
}

// setDeadline makes take fail once t has passed. Only the past and never are
// told apart: quic-go uses no other.
func (q *inbox) setDeadline(t time.Time) {
	q.mu.Lock()
	q.expired = !t.IsZero() && !t.After(time.Now())
	q.mu.Unlock()
	q.filled.Broadcast()
}

// close makes put and take fail and lets go of what is queued.
func (q *inbox) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.head, q.tail = nil, nil // put adds no more, so the ports' queues are garbage
	q.filled.Broadcast()
}

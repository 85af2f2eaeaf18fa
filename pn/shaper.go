package pn

import (
	"math/bits"
	"sync"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

const (
	// quantum is what a queue may send in its turn, in bytes: two packets and more.
	quantum = 3000
	// chunkSize is the most bytes of a run that wait, and leave, together. A longer one
	// would keep the others waiting.
	chunkSize = 16 << 10
	// maxWait is how long packets wait before they are of no use any more.
	maxWait = 250 * time.Millisecond
	// The bytes that may wait: 100 ms of the bandwidth, within these limits.
	minWaiting = 256 << 10
	maxWaiting = 64 << 20
	// What waits may take so many times its bytes of memory: packets of 100 bytes do not
	// notice, and smaller ones cannot make more of it. chunkOverhead is what is counted for
	// a chunk beside its buffer: its place in a queue's slice, which grows in doubles.
	memoryFactor  = 4
	chunkOverhead = 192
	// paceBurst is how far the shaper may be behind its clock and make up for it.
	paceBurst = 2 * time.Millisecond
)

// A chunk is packets that wait: one, or a run. It owns its bytes.
type chunk struct {
	b     *[]byte
	size  int // of a segment; 0: one packet
	ecn   uint8
	to    place
	since time.Duration
}

// chunkBuffers are pools of buffers of 64 bytes, and so on in doubles to 64 KiB: a packet must not
// hold a buffer that is many times its size.
var chunkBuffers [11]sync.Pool

// bufferClass returns the pool of the buffers that hold n bytes.
func bufferClass(n int) int { return max(0, bits.Len(uint(n-1))-6) }

// bufferSize returns how long those are.
func bufferSize(class int) int { return 64 << class }

// getBuffer returns a buffer with a copy of b, at most 64 KiB.
func getBuffer(b []byte) *[]byte {
	class := bufferClass(len(b))
	buf, ok := chunkBuffers[class].Get().(*[]byte)
	if !ok {
		buf = new(make([]byte, 0, bufferSize(class)))
	}
	*buf = append((*buf)[:0], b...)
	return buf
}

// putBuffer gives a buffer back.
func putBuffer(buf *[]byte) { chunkBuffers[bufferClass(cap(*buf))].Put(buf) }

// memoryOf returns what memory a chunk of n bytes is taken to need.
func memoryOf(n int) int { return bufferSize(bufferClass(n)) + chunkOverhead }

// A queue is what waits of one pair.
type queue struct {
	pair    *pair
	chunks  []chunk // from head on
	head    int
	bytes   int
	memory  int // that they take, of memoryOf
	deficit int
	fresh   bool   // in the list of those that have just begun
	next    *queue // in its list
}

// A round is a list of queues, the one whose turn it is first.
type round struct{ first, last *queue }

func (r *round) push(q *queue) {
	q.next = nil
	if r.last == nil {
		r.first = q
	} else {
		r.last.next = q
	}
	r.last = q
}

func (r *round) pop() {
	if r.first = r.first.next; r.first == nil {
		r.last = nil
	}
}

// A shaper holds back what exceeds Limits.Bandwidth, and lets all pairs have their fair
// share of that: deficit round robin, in which those that have just begun to send come
// first (the scheduler of RFC 8290 §4, with a queue for each pair in place of a hash, and limits in
// place of CoDel). A pair may have as many bytes waiting as are still free.
//
// Its goroutine belongs to the server.
type shaper struct {
	s     *Server
	rate  rate
	limit int // bytes that may wait
	wake  chan struct{}

	mu      sync.Mutex
	tokens  bucket
	waiting int
	memory  int // that it takes, of memoryOf
	fresh   round
	old     round
	spare   *queue // a list
	spares  int
	fates   fates
}

// newShaper returns a shaper for so many bytes a second.
func newShaper(s *Server, bandwidth int64) *shaper {
	r := rate{perSecond: bandwidth, burst: paceBurst}
	r.burst = max(r.burst, r.cost(longestRun))
	return &shaper{
		s:     s,
		rate:  r,
		limit: int(min(max(bandwidth/10, minWaiting), maxWaiting)),
		wake:  make(chan struct{}, 1),
	}
}

// pass reports whether a run may leave at once: nothing waits, and there is room.
func (h *shaper) pass(run int, now time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.waiting == 0 && h.tokens.take(h.rate, run, now)
}

// wait has a run wait its turn, in chunks. What finds no room is dropped, and counted here: a pair
// may have as many bytes waiting as are still free.
func (h *shaper) wait(p *pair, run []byte, size int, ecn uint8, to *place, now time.Duration) {
	if size <= 0 {
		size = len(run)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(run) > 0 {
		room, memory := h.limit-h.waiting, memoryFactor*h.limit-h.memory
		if q := p.queue; q != nil {
			room -= q.bytes
			memory -= q.memory
		}
		n := len(run)
		if most := min(max(chunkSize, size), room) / size * size; n > most {
			n = most
		}
		if n <= 0 || memoryOf(n) > memory {
			h.fates.packets[fateQueue].Add(packetsIn(len(run), size))
			break
		}
		h.enqueueLocked(p, run[:n], size, ecn, to, now)
		run = run[n:]
	}
	select {
	case h.wake <- struct{}{}:
	default: // it will look anyway
	}
}

func (h *shaper) enqueueLocked(p *pair, b []byte, size int, ecn uint8, to *place, now time.Duration) {
	q := p.queue
	if q == nil {
		q = h.newQueueLocked(p)
		p.queue = q
		h.fresh.push(q)
	}
	if size >= len(b) {
		size = 0
	}
	q.chunks = append(q.chunks, chunk{getBuffer(b), size, ecn, *to, now})
	q.bytes += len(b)
	q.memory += memoryOf(len(b))
	h.waiting += len(b)
	h.memory += memoryOf(len(b))
}

const (
	// spareQueues is how many queues are kept for those that will begin to wait.
	spareQueues = 256
	// spareChunks is the most chunks that a queue which is kept has room for.
	spareChunks = 256
)

func (h *shaper) newQueueLocked(p *pair) *queue {
	q := h.spare
	if q == nil {
		q = new(queue)
	} else {
		h.spare = q.next
		h.spares--
	}
	*q = queue{pair: p, deficit: quantum, fresh: true, chunks: q.chunks[:0]}
	return q
}

// dropQueueLocked lets a queue go in which nothing waits.
func (h *shaper) dropQueueLocked(q *queue) {
	q.pair.queue = nil
	q.pair = nil
	if cap(q.chunks) > spareChunks {
		q.chunks = nil
	}
	if h.spares < spareQueues {
		q.next, h.spare = h.spare, q
		h.spares++
	}
}

// nextLocked takes the chunk out whose turn it is; ok is false if nothing waits. What has
// waited for too long is dropped, at no cost to its queue.
func (h *shaper) nextLocked(now time.Duration) (c chunk, ok bool) {
	for {
		list := &h.fresh
		if list.first == nil {
			list = &h.old
		}
		q := list.first
		if q == nil {
			return chunk{}, false
		}
		for q.head < len(q.chunks) && now-q.chunks[q.head].since > maxWait {
			c := h.takeLocked(q)
			h.fates.packets[fateLate].Add(packetsIn(len(*c.b), c.size))
			putBuffer(c.b)
		}
		switch {
		case q.head == len(q.chunks):
			// A fresh one goes round with the others once before it is forgotten: else it could
			// be fresh again at once, and others would starve.
			list.pop()
			if q.fresh && h.old.first != nil {
				h.toOldLocked(q)
				continue
			}
			h.dropQueueLocked(q)
		case q.deficit <= 0:
			q.deficit += quantum
			list.pop()
			h.toOldLocked(q)
		default:
			c = h.takeLocked(q)
			q.deficit -= len(*c.b)
			return c, true
		}
	}
}

// takeLocked takes the first chunk out of a queue.
func (h *shaper) takeLocked(q *queue) chunk {
	c := q.chunks[q.head]
	q.chunks[q.head] = chunk{}
	if q.head++; q.head == len(q.chunks) {
		q.chunks, q.head = q.chunks[:0], 0
	} else if q.head > len(q.chunks)/2 && q.head > 16 {
		n := copy(q.chunks, q.chunks[q.head:])
		clear(q.chunks[n:])
		q.chunks, q.head = q.chunks[:n], 0
	}
	q.bytes -= len(*c.b)
	q.memory -= memoryOf(len(*c.b))
	h.waiting -= len(*c.b)
	h.memory -= memoryOf(len(*c.b))
	return c
}

func (h *shaper) toOldLocked(q *queue) {
	q.fresh = false
	h.old.push(q)
}

// run is the goroutine: it sends what waits as soon as it may.
func (h *shaper) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	out := make([]outbox, len(h.s.listeners))
	for i, l := range h.s.listeners {
		out[i].conn = l.conns[0]
	}
	for {
		wait := h.send(out)
		if wait > 0 {
			timer.Reset(wait)
		}
		select {
		case <-h.s.closing:
			return
		case <-timer.C:
		case <-h.wake:
			if wait > 0 { // more waits behind what has to wait already
				select {
				case <-h.s.closing:
					return
				case <-timer.C:
				}
			}
		}
	}
}

// send sends what may leave now, and returns when the next may; 0: nothing waits.
func (h *shaper) send(out []outbox) (wait time.Duration) {
	var done [outboxSize]*[]byte
	var waited [outboxSize]time.Duration
	var t tally
	for {
		now := time.Since(h.s.start)
		n := 0
		h.mu.Lock()
		for n < len(done) {
			if wait = h.tokens.wait(h.rate, min(h.waiting, chunkSize), now); h.waiting == 0 || wait > 0 {
				break
			}
			c, ok := h.nextLocked(now)
			if !ok {
				break // all of it was too old
			}
			done[n], waited[n] = c.b, now-c.since
			n++
			h.tokens.take(h.rate, len(*c.b), now)
			o := &out[c.to.via.index]
			o.runs[o.n] = underlay.Datagram{Data: *c.b, Addr: c.to.addr, SegmentSize: c.size, ECN: c.ecn}
			o.n++
		}
		if h.waiting == 0 {
			wait = 0
			h.forgetLocked()
		}
		h.mu.Unlock()
		for i := range out {
			if out[i].n > 0 {
				out[i].flush(&t)
			}
		}
		t.tell(&h.fates)
		for i := range done[:n] {
			h.s.cfg.Metrics.QueueDelay(waited[i])
			putBuffer(done[i])
			done[i] = nil
		}
		if n < len(done) {
			return wait
		}
	}
}

// forgetLocked lets go of the queues when nothing waits in any.
func (h *shaper) forgetLocked() {
	for _, list := range []*round{&h.fresh, &h.old} {
		for q := list.first; q != nil; {
			next := q.next
			h.dropQueueLocked(q)
			q = next
		}
		*list = round{}
	}
}

// held returns how many bytes wait.
func (h *shaper) held() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.waiting
}

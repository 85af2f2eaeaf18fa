package peer

import (
	"slices"
	"sync"

	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/socket"
)

// Engine packets may arrive right behind the Response that makes the keys to
// read them, while the owner still computes those keys. This much is held: a
// QUIC client's first flight is one or two packets.
const (
	maxEarlyPackets = 8
	maxEarlyBytes   = 8 * 1452
)

// An earlySink holds the engine packets that follow a plausible Response until
// the keys exist, and passes everything on from then. Nothing proves a Response
// before: the session that there is already, if any, gets all packets, too, but
// those that begin a session. It has begun, and would refuse them aloud.
type earlySink struct {
	mu   sync.Mutex
	held []earlyRun  // until next is set
	size int         // bytes in held
	next socket.Sink // where packets go once the keys exist
	live socket.Sink // where they go until then as well; nil: nowhere
}

type earlyRun struct {
	b           []byte
	segmentSize int
	ecn         uint8
	given       bool // to live
}

// Deliver implements socket.Sink.
func (e *earlySink) Deliver(b []byte, segmentSize int, ecn uint8) {
	e.mu.Lock()
	to := e.heirLocked()
	if e.next == nil {
		if session.Begins(b, segmentSize) {
			to = nil
		}
		if len(e.held) < maxEarlyPackets && e.size+len(b) <= maxEarlyBytes {
			e.held = append(e.held, earlyRun{slices.Clone(b), segmentSize, ecn, to != nil})
			e.size += len(b)
		}
	}
	e.mu.Unlock()
	if to != nil {
		to.Deliver(b, segmentSize, ecn)
	}
}

// heir is where packets go now, nil if they are only held.
func (e *earlySink) heir() socket.Sink {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heirLocked()
}

func (e *earlySink) heirLocked() socket.Sink {
	if e.next != nil {
		return e.next
	}
	return e.live
}

// forget says that a session is over.
func (e *earlySink) forget(sink socket.Sink) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.live == sink {
		e.live = nil
	}
}

// release hands what was held to next, and everything after it.
func (e *earlySink) release(next socket.Sink) {
	e.mu.Lock()
	held, live := e.held, e.live
	e.held, e.size, e.next = nil, 0, next
	e.mu.Unlock()
	for _, r := range held {
		if r.given && live == next {
			continue // it has them
		}
		next.Deliver(r.b, r.segmentSize, r.ecn)
	}
}

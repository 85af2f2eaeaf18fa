package netcheck

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/stun"
)

// A desk matches what arrives with who waits for it. It is the Handler of all
// sockets of an examination, since an answer may come to another than asked.
type desk struct {
	mu      sync.Mutex
	waiting map[stun.TransactionID]chan<- arrival // bounded by the questions under way
}

// An arrival is a STUN packet with the number of a question.
type arrival struct {
	stun.Answer                // zero but for the ID if the question itself came (a hairpin)
	at          *socket.Socket // that it came to
	from        netip.AddrPort
	when        time.Time
}

// HandleControl implements [socket.Handler].
func (d *desk) HandleControl(*socket.Socket, []byte, netip.AddrPort) {}

// HandleSTUN implements [socket.Handler].
func (d *desk) HandleSTUN(s *socket.Socket, b []byte, from netip.AddrPort) {
	a := arrival{at: s, from: from, when: time.Now()}
	if r, ok := stun.ParseRequest(b); ok {
		a.ID = r.ID
	} else if ans, err := stun.ParseAnswer(b); err == nil {
		a.Answer = ans
	} else {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.waiting[a.ID]; c != nil {
		select {
		case c <- a:
		default: // copies, of which the first few were enough
		}
	}
}

// A question is a Binding request, and where it is answered.
type question struct {
	sock   *socket.Socket
	to     netip.AddrPort
	query  stun.Query
	at     *socket.Socket     // where the answer is to arrive; nil: at sock
	good   func(arrival) bool // which arrival counts; nil: all
	tries  int
	gap    time.Duration // between two tries
	settle time.Duration // after the last
}

// ask asks, again and again, and returns the first arrival that counts and how
// long it took since the try that it belongs to.
func (d *desk) ask(ctx context.Context, q question) (arrival, time.Duration, bool) {
	if q.at == nil {
		q.at = q.sock
	}
	arrivals := make(chan arrival, 16)
	sent := make(map[stun.TransactionID]time.Time)
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		for id := range sent {
			delete(d.waiting, id)
		}
	}()
	send := func() {
		id := stun.NewTransactionID()
		d.mu.Lock()
		d.waiting[id] = arrivals
		d.mu.Unlock()
		sent[id] = time.Now()
		// What cannot be sent is as good as lost.
		_ = q.sock.Send(q.to, stun.AppendQuery(nil, id, q.query))
	}
	for try := range q.tries {
		send()
		wait := q.gap
		if try == q.tries-1 {
			wait = q.settle
		}
		over := time.NewTimer(wait)
		for waiting := true; waiting; {
			select {
			case a := <-arrivals:
				if a.at == q.at && (q.good == nil || q.good(a)) {
					over.Stop()
					return a, max(a.when.Sub(sent[a.ID]), 1), true
				}
			case <-over.C:
				waiting = false
			case <-ctx.Done():
				over.Stop()
				return arrival{}, 0, false
			}
		}
	}
	return arrival{}, 0, false
}

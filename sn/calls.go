package sn

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/quota"
	"github.com/bdtnet/bdt/internal/wire"
)

const (
	// callLife is how long a call is remembered: twice what a caller repeats it
	// for (spec §3).
	callLife = 10 * time.Second
	// maxAnswers bounds how often one call is answered.
	maxAnswers = 8
	// firstRepeat is when a Called is repeated first; the delay then doubles,
	// so the five copies leave at 0, 200, 600, 1,400 and 3,000 ms (spec §3).
	firstRepeat = 200 * time.Millisecond
	repeats     = 4
	// maxWait bounds the wait of either end, whatever round trip the other
	// claims (spec §3).
	maxWait = time.Second
)

// A callKey tells a call from others: requests are unique within an instance.
type callKey struct {
	caller   identity.ID
	instance uint64
	request  uint32
}

// A call is what was done for a Call: the answer, for copies of the Call, and
// the announcement, until it is acknowledged. Once ready, only the atomic
// fields change.
type call struct {
	key     callKey
	from    network
	ready   atomic.Bool // the fields below are set
	at      time.Duration
	callee  identity.ID
	reply   wire.CallReply
	called  wire.Called
	answers atomic.Int32 // replies sent
	acked   atomic.Bool
}

// A callTable remembers calls for callLife, a bounded number of them. It may be
// used concurrently.
type callTable struct {
	quota *quota.Share
	mu    sync.Mutex
	byKey map[callKey]*call
	byID  map[uint64]*call
	next  uint64 // the last call id; starts at random, so that a restart repeats none
}

func newCallTable(limit int, first uint64) *callTable {
	return &callTable{
		quota: quota.NewShare(limit),
		byKey: make(map[callKey]*call),
		byID:  make(map[uint64]*call),
		next:  first,
	}
}

// begin returns the call with a key. It is a new one with an id of its own if
// fresh is set, and nil if the caller's network has no room for that.
func (t *callTable) begin(k callKey, from network) (c *call, fresh bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.byKey[k]; c != nil {
		return c, false
	}
	if !t.quota.Take(from, t.quota.Limit()) {
		return nil, false
	}
	t.next++
	c = &call{key: k, from: from}
	c.called.Call = t.next
	t.byKey[k] = c
	t.byID[t.next] = c
	return c, true
}

// end forgets a call.
func (t *callTable) end(c *call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.quota.Give(c.from)
	delete(t.byKey, c.key)
	delete(t.byID, c.called.Call)
}

// ack stops the repetition of a call at the word of its callee, and reports
// whether there was such a call.
func (t *callTable) ack(id uint64, callee identity.ID) bool {
	t.mu.Lock()
	c := t.byID[id]
	t.mu.Unlock()
	if c == nil || !c.ready.Load() || c.callee != callee {
		return false
	}
	c.acked.Store(true)
	return true
}

func (t *callTable) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byKey)
}

// replyAt returns the reply as it is to be sent at time now: what has passed of
// the wait is over.
func (c *call) replyAt(now time.Duration) wire.CallReply {
	m := c.reply
	m.Wait = max(0, m.Wait-(now-c.at))
	return m
}

// calledAt is replyAt for the announcement.
func (c *call) calledAt(now time.Duration) wire.Called {
	m := c.called
	m.Wait = max(0, m.Wait-(now-c.at))
	return m
}

// waits returns how long caller and callee are to wait before they punch, so
// that both packets leave at once: the reply reaches a device half a round trip
// after it was sent, so the nearer one waits for half the difference (spec §3).
// With a round trip unknown nobody waits.
func waits(caller, callee time.Duration) (reply, called time.Duration) {
	if caller <= 0 || callee <= 0 {
		return 0, 0
	}
	d := min(max((callee-caller)/2, -maxWait), maxWait)
	return max(d, 0), max(-d, 0)
}

// sameSite reports whether two devices are seen at the same public address:
// behind the same NAT, or in the same /64 (spec §3).
func sameSite(a, b netip.Addr) bool {
	if a.Is6() && b.Is6() {
		p, _ := a.Prefix(64) // fails only for a longer prefix than the address
		return p.Contains(b)
	}
	return a == b
}

// withObserved returns a list of candidates that begins with where the SN sees
// the device and goes on with what the device says, cut to what a message holds.
// An address may be in it twice: that it is also one of the device's interfaces
// tells that no NAT is there.
func withObserved(observed netip.AddrPort, rest []wire.Candidate) []wire.Candidate {
	list := make([]wire.Candidate, 0, wire.MaxCandidates)
	list = append(list, wire.Candidate{Kind: wire.CandidateServerReflexive, Addr: observed})
	for _, c := range rest {
		if len(list) < wire.MaxCandidates {
			list = append(list, c)
		}
	}
	return list
}

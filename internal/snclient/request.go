package snclient

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/retry"
	"github.com/bdtnet/bdt/internal/wire"
)

// Requests are repeated after 0.5 s, doubling, and given up after 5 s (spec §3).
const (
	requestFirst = 500 * time.Millisecond
	requestTotal = 5 * time.Second
)

// requests are those that wait for an answer, by their number.
type requests struct {
	mu      sync.Mutex
	last    uint32 // starts at random: the SN remembers those of before
	waiting map[uint32]*waiter
}

// A waiter waits for an answer.
type waiter struct {
	answer chan []byte   // a copy of the message; holds one
	again  chan struct{} // repeat at once; holds one
	lost   chan struct{} // closed when the SN is given up
}

func newRequests() requests {
	var b [4]byte
	rand.Read(b[:]) // never fails: it ends the program instead
	return requests{last: binary.BigEndian.Uint32(b[:]), waiting: make(map[uint32]*waiter)}
}

// number returns a request number that is not in use.
func (r *requests) number() uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	return r.last
}

func (r *requests) add() (uint32, *waiter) {
	w := &waiter{answer: make(chan []byte, 1), again: make(chan struct{}, 1), lost: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	r.waiting[r.last] = w
	return r.last, w
}

func (r *requests) remove(n uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, n)
}

// deliver hands a message to who waits for it. The first answer counts.
func (r *requests) deliver(msg []byte) {
	if len(msg) < 5 {
		return
	}
	n := binary.BigEndian.Uint32(msg[1:]) // after the type, in all answers (docs/spec/wire.md §6)
	r.mu.Lock()
	w := r.waiting[n]
	r.mu.Unlock()
	if w == nil {
		return
	}
	select {
	case w.answer <- bytes.Clone(msg):
	default:
	}
}

// repeat has all requests sent again at once: the SN has become able to answer.
func (r *requests) repeat() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.waiting {
		select {
		case w.again <- struct{}{}:
		default:
		}
	}
}

// abandon has all requests fail: the SN does not answer at all.
func (r *requests) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n, w := range r.waiting {
		close(w.lost)
		delete(r.waiting, n)
	}
}

// do sends a request, in this goroutine and at once, repeats it, and returns the
// answer.
func (c *Client) do(ctx context.Context, build func(request uint32) message) ([]byte, error) {
	if l := c.link.Load(); l == nil {
		return nil, c.whyOffline()
	}
	n, w := c.requests.add()
	defer c.requests.remove(n)
	m := build(n)
	r := retry.Schedule{First: requestFirst, Limit: requestTotal, Total: requestTotal}
	r.Start(time.Now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for sent := 0; ; {
		now := time.Now()
		if r.Expired(now) {
			return nil, ErrTimeout
		}
		if r.Send(now) {
			if sent++; sent == 2 {
				c.Check()
			}
			if r.Sent > 1 {
				c.repeats.Add(1)
			}
			if l := c.link.Load(); l != nil {
				// A packet that cannot be sent is as good as lost.
				_ = c.sendMessage(*l, m)
			}
		}
		timer.Reset(r.Due().Sub(now))
		select {
		case b := <-w.answer:
			return b, nil
		case <-w.again:
			r.Hurry(time.Now())
			sent = 0
		case <-w.lost:
			return nil, c.whyOffline()
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.done:
			return nil, ErrClosed
		}
	}
}

// whyOffline returns the error of a request that cannot be made now.
func (c *Client) whyOffline() error {
	switch c.State() {
	case Closed:
		return ErrClosed
	case Superseded:
		return ErrSuperseded
	}
	return ErrOffline
}

// Ping asks the SN for an answer, beside the pings that keep the registration,
// and returns how long it took. Repeats, after a loss, are part of that.
func (c *Client) Ping(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	_, err := c.do(ctx, func(n uint32) message {
		return &wire.Ping{Request: n, Instance: c.cfg.Instance, RTT: c.RTT()}
	})
	if err != nil {
		return 0, fmt.Errorf("snclient: ping %s: %w", c.cfg.Ref.ID.Short(), err)
	}
	return time.Since(start), nil
}

// CallOptions is what a caller tells the callee.
type CallOptions struct {
	Candidates []wire.Candidate // at most wire.MaxCandidates; the SN puts where it sees us in front
	Relay      *wire.Relay      // where we are binding; nil: nowhere
	Initiation []byte           // a whole packet; empty: the SN sends our device, and the callee initiates
}

// A CallReply is what an SN tells of a callee. It is the caller's to keep.
type CallReply struct {
	Device     *identity.Device // verified to be the callee's
	Candidates []wire.Candidate // as far as the callee shows them; where the SN sees it first
	Wait       time.Duration    // before our first punch, from when the reply came
	Shared     bool             // both are seen at the same public address
}

// Call has the SN announce us to another device, and returns what may be known of
// that. The first packet leaves before Call blocks. If the callee is not online
// the error is a [StatusError] that unwraps to ErrNotFound.
func (c *Client) Call(ctx context.Context, callee identity.ID, o CallOptions) (*CallReply, error) {
	fail := func(err error) (*CallReply, error) {
		return nil, fmt.Errorf("snclient: call %s at %s: %w", callee.Short(), c.cfg.Ref.ID.Short(), err)
	}
	b, err := c.do(ctx, func(n uint32) message {
		return &wire.Call{Request: n, Callee: callee, Candidates: o.Candidates, Relay: o.Relay, Initiation: o.Initiation}
	})
	if err != nil {
		return fail(err)
	}
	m, err := wire.ParseCallReply(b)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrAnswer, err))
	}
	if m.Status != wire.StatusOK {
		return nil, &StatusError{"call", callee, c.cfg.Ref.ID, m.Status}
	}
	d, err := identity.ParseDevice(m.Device)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrAnswer, err))
	}
	if d.ID() != callee {
		return fail(fmt.Errorf("%w: device %s: %w", ErrAnswer, d.ID().Short(), identity.ErrWrongID))
	}
	return &CallReply{Device: d, Candidates: m.Candidates, Wait: m.Wait, Shared: m.Shared}, nil
}

// Signal forwards a control packet to a device that we have called, or that has
// called us, in the last minute. It may be lost.
func (c *Client) Signal(to identity.ID, packet []byte) error {
	l := c.link.Load()
	if l == nil {
		return c.whyOffline()
	}
	if len(packet) > wire.MaxSignal {
		return fmt.Errorf("snclient: signal of %d bytes to %s: %w", len(packet), to.Short(), wire.ErrCount)
	}
	return c.sendMessage(*l, &wire.Signal{To: to, Packet: packet})
}

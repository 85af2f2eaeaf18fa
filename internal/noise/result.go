package noise

import (
	"fmt"
	"math"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// ResultKind says what came of our initiation.
type ResultKind uint8

// The kinds of result.
const (
	// ResultEstablished: Association is current. Send a Sealed packet at once.
	ResultEstablished ResultKind = iota
	// ResultAgain: our stamp was stale; send Packet, a fresh initiation, if not nil.
	ResultAgain
	// ResultFailed: Err says why; there is no initiation under way any more.
	ResultFailed
)

// A Result is what came of our initiation.
type Result struct {
	Kind   ResultKind
	Answer *Answer // what the response said
	Change Change  // ResultEstablished
	Packet []byte  // ResultAgain
	Err    error   // ResultFailed
}

// A Change is the replacement of the current association.
type Change struct {
	Association *Association // the current one now
	// Replaced is the one before, nil if there was none. It still opens packets
	// for 10 s.
	Replaced *Association
	// GoesOn: the session of Replaced goes on. If there was one and it does not, it
	// has lost its peer.
	GoesOn bool
}

// HandleResponse reads a response to our initiation. With an error nothing has
// changed and the packet is to be dropped.
func (x *Exchange) HandleResponse(now time.Time, pkt []byte) (Result, error) {
	p := x.slots.pending
	if p == nil {
		return Result{}, fmt.Errorf("noise: response: %w", ErrIndex)
	}
	answer, err := p.ReadResponse(pkt)
	if err != nil {
		if p.spent {
			return x.fail(&Answer{}, err), nil
		}
		return Result{}, err
	}
	switch answer.Payload.Kind {
	case wire.ResponseStale:
		return x.handleStale(now, p, answer), nil
	case wire.ResponseRefused:
		return x.fail(answer, fmt.Errorf("noise: %s: %q: %w", x.config.Remote.Short(), answer.Payload.Early, ErrRefused)), nil
	}
	next := x.slots
	next.pending = nil
	if next.tentative != nil {
		next.tentative = &tentative{next.tentative.Association, next.tentative.since, true}
	}
	return Result{Answer: answer, Change: x.install(now, next, answer.Association)}, nil
}

// fail gives our initiation up.
func (x *Exchange) fail(a *Answer, err error) Result {
	next := x.slots
	next.pending = nil
	x.setState(next)
	return Result{Kind: ResultFailed, Answer: a, Err: err}
}

// handleStale begins again, once, above the responder's mark.
func (x *Exchange) handleStale(now time.Time, p *pending, a *Answer) Result {
	mark := a.Payload.Stamp
	if p.retry || mark < p.Stamp() || mark == math.MaxUint64 {
		return x.fail(a, fmt.Errorf("noise: %s: stamp %d, mark %d: %w", x.config.Remote.Short(), p.Stamp(), mark, ErrStale))
	}
	x.config.Stamper.Above(x.config.Remote, mark)
	again, err := x.initiate(now, p.remote, p.offer)
	if err != nil {
		return x.fail(a, err)
	}
	again.retry = true
	next := x.slots
	next.pending = again
	x.setState(next)
	return Result{Kind: ResultAgain, Answer: a, Packet: x.Packet(now)}
}

// install makes an association the current one.
func (x *Exchange) install(now time.Time, next slots, a *Association) Change {
	c := Change{Association: a, Replaced: next.current}
	c.GoesOn = c.Replaced != nil && a.session == c.Replaced.session
	if c.Replaced != nil {
		next.previous, next.previousUntil = c.Replaced, now.Add(previousLife)
	}
	next.current, next.currentSince = a, now
	x.setState(next)
	return c
}

// Confirm is called when a packet has been opened under a. If that makes a
// tentative association the current one, ok is true; it ends an initiation of our
// own.
func (x *Exchange) Confirm(now time.Time, a *Association) (c Change, ok bool) {
	t := x.slots.tentative
	if t == nil || t.Association != a {
		return Change{}, false
	}
	if t.rival && x.slots.current != nil && x.config.Local.id.Compare(x.config.Remote) < 0 {
		return Change{}, false // the peer will move to ours, of the lower id
	}
	next := x.slots
	next.pending, next.tentative = nil, nil
	return x.install(now, next, a), true
}

// Withdraw lets our initiation go: nobody waits for its answer any more. The next
// Begin makes another.
func (x *Exchange) Withdraw() {
	next := x.slots
	next.pending = nil
	x.setState(next)
}

// Drop lets the current association go, and the one before it: their session
// has ended. What is under way goes on.
func (x *Exchange) Drop() {
	next := x.slots
	next.current, next.previous = nil, nil
	x.setState(next)
}

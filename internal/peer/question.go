package peer

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
)

const (
	// answerWait is for how long a response waits for the answer to the question in
	// its initiation (call.md §4).
	answerWait = 20 * time.Millisecond
	// questionHold is how long new keys have to bring about a session before the
	// next question goes with another initiation.
	questionHold = 250 * time.Millisecond
)

// A question is early data that waits to go with an initiation of ours.
type question struct {
	early  []byte
	answer chan<- []byte // the early data of the response; takes one
}

// Ask asks a question with the handshake that opens a session, and returns the early
// data of the response. It is nil if there is a session on which to ask instead. An
// error is one of Session. The question may be heard without being answered, and by a peer
// that has not seen an earlier copy of it, again.
func (p *Peer) Ask(ctx context.Context, hints Hints, early []byte) ([]byte, error) {
	if p.Connected() {
		return nil, nil
	}
	done, answer := make(chan error, 1), make(chan []byte, 1)
	w := waiter{ctx: ctx, done: done, question: &question{early, answer}}
	if !p.ask(ctx, func(now time.Time) { p.wantAnswer(now, w, hints) }) {
		return nil, errors.Join(ctx.Err(), p.closedErr())
	}
	select {
	case b := <-answer:
		return b, nil
	case err := <-done:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.stopped:
		return nil, ErrClosed
	}
}

// wantAnswer adds one who waits for an answer, or for a session.
func (p *Peer) wantAnswer(now time.Time, w waiter, hints Hints) {
	p.want(now, w, hints)
	p.hurry(now)
}

// hurry has the next round begin before long if a question waits for an initiation
// to go with, and the keys that there are have not brought about a session: no path
// to the peer may ever come up, but word of it passes by way of an SN.
func (p *Peer) hurry(now time.Time) {
	if p.attempt == nil || p.current == nil || p.exchange.Pending() || p.nextQuestion() == nil || p.reached() {
		return
	}
	due := p.keyed.Add(questionHold)
	if due.Before(now) {
		due = now
	}
	p.attempt.round = earliest(p.attempt.round, due)
}

// nextQuestion returns the question that has waited longest, nil if there is none.
func (p *Peer) nextQuestion() *question {
	if p.attempt == nil {
		return nil
	}
	for _, w := range p.attempt.waiters {
		if w.question != nil && w.ctx.Err() == nil {
			return w.question
		}
	}
	return nil
}

// onAnswer takes the early data of the response to the initiation that carried a
// question. Without an answer, who asked goes on waiting for the session.
func (p *Peer) onAnswer(now time.Time, early []byte) {
	q := p.carried
	p.carried = nil
	a := p.attempt
	if q == nil || a == nil {
		return
	}
	i := slices.IndexFunc(a.waiters, func(w waiter) bool { return w.question == q })
	if i < 0 {
		return // gave up
	}
	if m, err := wire.ParseEarlyAnswer(early); err != nil || m.Status == wire.AnswerLater {
		p.note(now, "the question is to be asked on a stream")
		a.waiters[i].question = nil
		return
	}
	p.note(now, "the question was answered with the handshake")
	q.answer <- slices.Clone(early)
	a.waiters = slices.Delete(a.waiters, i, i+1)
	if len(a.waiters) == 0 {
		// A session may come of it, but nobody waits for that.
		a.until = earliest(a.until, now.Add(firstRound))
		a.round = a.until
	}
}

// A heldAnswer is an initiation of the peer whose question is being answered, before
// it is itself.
type heldAnswer struct {
	in     *noise.Incoming
	origin Origin
	until  time.Time
}

// hold has the question in an initiation answered, if there is one that may be. It
// reports whether the response is to wait for that.
func (p *Peer) hold(now time.Time, in *noise.Incoming, o Origin) bool {
	if len(in.Payload.Early) == 0 || !p.exchange.Claim(now, in) {
		return false
	}
	h := &heldAnswer{in, o, now.Add(answerWait)}
	done := func(early []byte) { p.post(func(now time.Time) { p.release(now, h, early) }) }
	if !p.cfg.Host.AnswerEarly(in.Device, in.Payload.Early, done) {
		return false
	}
	p.held = h
	return true
}

// release answers a held initiation, unless that has been done. Nil says that there
// is no answer, or not in time.
func (p *Peer) release(now time.Time, h *heldAnswer, early []byte) {
	if p.held != h {
		return
	}
	p.held = nil
	d, err := p.exchange.HandleIncoming(now, h.in)
	if err != nil {
		p.log.Debug("initiation dropped", "err", err)
		return
	}
	p.decide(now, h.in, h.origin, d, early)
}

// earlyThatFits returns the early data of a response, or in its place word that it
// does not fit.
func earlyThatFits(in *noise.Incoming, candidates []wire.Candidate, early []byte) []byte {
	room := in.RoomForEarly(candidates)
	if len(early) > room {
		later := wire.EarlyAnswer{Status: wire.AnswerLater}
		early = later.Append(nil)
	}
	if len(early) > room {
		return nil
	}
	return early
}

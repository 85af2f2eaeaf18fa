package peer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/internal/wire"
)

const (
	// calleeInitiates is how long we wait for the initiation of a peer that was
	// called without one before we make our own.
	calleeInitiates = time.Second
	// callerHold is for how long the caller leaves the first punch at a NAT to the
	// callee: whatever comes from the callee proves that its own NAT is open, and
	// until then a packet of ours could take the port that it needs there.
	callerHold = 100 * time.Millisecond
	// firstRound is the time between the first two rounds of calls; it doubles.
	firstRound = time.Second
	// roundsUnknown is after how many rounds of "not found" from everybody, with no
	// address to try, an attempt gives up: the peer may just be restarting.
	roundsUnknown = 2
	// attemptLife is how long an attempt goes on after the last who wanted it, when
	// no timeout says so. The next one joins it.
	attemptLife = 15 * time.Second
	// betterRounds is how many rounds of calls a session over a relay is worth, at each end,
	// to find a better way, and betterLife the time for them.
	betterRounds = 2
	betterLife   = attemptLife
	// fanOut is the head start of each SN over the one after it.
	fanOut = 250 * time.Millisecond
	// offlineAfter is how long an attempt goes on when no SN can be asked and there is
	// no address to try.
	offlineAfter = 5 * time.Second
)

// An attempt is the work of getting a session, from the first who wants it to
// success or the deadline. It asks the SNs in rounds; in between, the paths
// knock.
type attempt struct {
	until      time.Time // it goes on until then if nobody waits any more
	offline    time.Time // when to give up if no SN can be asked
	way        bool      // to find a way for the session that there is; ends when there is one
	better     bool      // to find a better way than the relay that there is: see betterRounds
	rounds     int
	round      time.Time // when the next begins
	initiate   time.Time // when to stop waiting for the peer's initiation; zero: not waiting
	search     time.Time // when discovery on the local network has had its time
	calling    map[Signaller]bool
	candidates []wire.Candidate // that the calls of this round name; nil: the host's
	answered   bool             // an SN knows the peer, or somebody called us
	failures   []error          // of the calls of this round
	// discovered are the addresses on the local network that are asked for the
	// peer's descriptor.
	discovered []netip.AddrPort
	waiters    []waiter // those who came first, and so give up first, in front
}

// A waiter is a call of Session that waits.
type waiter struct {
	ctx      context.Context
	deadline time.Time // zero: none but ctx's
	done     chan<- error
	question *question // that it would have answered without a session; nil: none
}

func (w *waiter) due(now time.Time) bool { return !w.deadline.IsZero() && !now.Before(w.deadline) }

func (a *attempt) next() time.Time {
	end := a.until
	if len(a.waiters) > 0 {
		end = a.waiters[0].deadline
	}
	return earliest(earliest(end, a.round), earliest(a.initiate, a.offline))
}

// Session returns the session with the peer, which it opens if there is none.
// It waits for it until ctx ends, the timeout of the Config is over, or there is
// nothing left to try. hints may help.
func (p *Peer) Session(ctx context.Context, hints Hints) (session.Session, error) {
	for {
		if c := p.live.Load(); c != nil && c.session.Err() == nil {
			return c.session, nil
		}
		done := make(chan error, 1)
		if !p.ask(ctx, func(now time.Time) { p.want(now, waiter{ctx: ctx, done: done}, hints) }) {
			return nil, errors.Join(ctx.Err(), p.closedErr())
		}
		select {
		case err := <-done:
			if err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-p.stopped:
			return nil, ErrClosed
		}
	}
}

func (p *Peer) closedErr() error {
	select {
	case <-p.stopped:
		return ErrClosed
	default:
		return nil
	}
}

// want adds one who waits for a session.
func (p *Peer) want(now time.Time, w waiter, hints Hints) {
	if c := p.live.Load(); c != nil && c.session.Err() == nil {
		w.done <- nil
		return
	}
	p.learn(now, hints.Device)
	p.wanted = true
	p.refs, p.endpoints = hints.SNs, hints.Endpoints
	if p.attempt == nil {
		p.beginAttempt(now)
	}
	p.attempt.better = false
	p.addEndpoints(now, hints.Endpoints, path.OriginTicket)
	p.attempt.search = now.Add(hints.Search)
	p.attempt.until = now.Add(p.life())
	if p.cfg.Timeout > 0 {
		w.deadline = now.Add(p.cfg.Timeout)
	}
	p.attempt.waiters = append(p.attempt.waiters, w)
}

// life is how long an attempt goes on for its own sake.
func (p *Peer) life() time.Duration {
	if p.cfg.Timeout > 0 {
		return p.cfg.Timeout
	}
	return attemptLife
}

// beginAttempt starts to connect. If keys exist and their session is on its
// way, there is nothing to do but wait for it.
func (p *Peer) beginAttempt(now time.Time) {
	p.attempt = &attempt{calling: map[Signaller]bool{}, until: now.Add(p.life()), round: now, offline: now.Add(offlineAfter)}
	if p.current != nil && !p.current.conn.ended {
		p.attempt.round = now.Add(firstRound)
	}
	if p.device != nil {
		p.addEndpoints(now, p.device.Endpoints(), path.OriginDescriptor)
	}
	p.note(now, "connecting")
}

// recover shakes hands again with a peer that may have lost our keys or, if way is
// set, to which we have lost the way.
func (p *Peer) recover(now time.Time, way bool) {
	if p.attempt == nil {
		p.beginAttempt(now)
		p.attempt.way = way
	}
	p.attempt.way = p.attempt.way && way
	p.attempt.better = false
	p.attempt.until = later(p.attempt.until, now.Add(p.life()))
	p.attempt.round = now
}

// callAgain begins the attempt's next round now: what is to be sent has changed.
func (p *Peer) callAgain(now time.Time) {
	if p.attempt != nil {
		p.attempt.round = now
	}
}

// stepAttempt does what the attempt has due.
func (p *Peer) stepAttempt(now time.Time) {
	a := p.attempt
	if a == nil {
		return
	}
	if a.way && len(a.waiters) == 0 && p.live.Load() != nil && p.reached() && !(a.better && p.relayed()) {
		if p.finishAttempt(now); p.attempt == nil {
			return
		}
	}
	for len(a.waiters) > 0 && a.waiters[0].due(now) {
		a.waiters[0].done <- p.unreachable()
		a.waiters = a.waiters[1:]
	}
	if len(a.waiters) == 0 && !now.Before(a.until) {
		p.failAttempt(nil)
		return
	}
	if !now.Before(a.offline) {
		if a.offline = now.Add(time.Second); p.hopeless() {
			p.failAttempt(ErrOffline)
			return
		}
	}
	if !a.initiate.IsZero() && !now.Before(a.initiate) {
		a.initiate = time.Time{}
		a.round = now
	}
	if !now.Before(a.round) {
		p.beginRound(now)
	}
}

// hopeless reports whether no SN can be asked, and there is no address to try.
func (p *Peer) hopeless() bool {
	if p.attempt.answered || p.current != nil || p.tentative != nil || p.prospects() {
		return false
	}
	via := p.cfg.Host.Signallers(p.serverRefs())
	return len(via) > 0 && !slices.ContainsFunc(via, Signaller.Online)
}

// prospects reports whether there is a path that has not failed. While the peer's
// descriptor is not known nothing can be tried on one.
func (p *Peer) prospects() bool {
	return p.device != nil && slices.ContainsFunc(p.paths.Paths(), func(i path.Info) bool { return i.State != path.Failed })
}

// beginRound initiates, if the peer's key is known, and asks all SNs, one a
// little after the other.
func (p *Peer) beginRound(now time.Time) {
	a := p.attempt
	if a.better {
		if p.betterTries == betterRounds {
			p.failAttempt(nil) // the relay it is
			return
		}
		p.betterTries++
	}
	via := p.cfg.Host.Signallers(p.serverRefs())
	if len(via) == 0 && len(p.paths.Paths()) == 0 && now.Before(a.search) {
		a.round = a.search
		return
	}
	a.round = now.Add(firstRound << min(a.rounds, 3))
	a.rounds++
	a.failures = nil
	if a.rounds > 1 {
		a.initiate = time.Time{} // waited long enough
	}
	a.waiters = slices.DeleteFunc(a.waiters, func(w waiter) bool { return w.ctx.Err() != nil })
	if p.device != nil && a.initiate.IsZero() && p.tentative == nil && p.held == nil && !a.better {
		if err := p.initiate(now, p.live.Load() == nil); err != nil {
			p.failAttempt(fmt.Errorf("initiating: %w", err))
			return
		}
	}
	if a.rounds > 1 {
		p.paths.Kick(now)
		if p.device == nil {
			p.describeAll()
		}
	}
	if len(via) == 0 && len(p.paths.Paths()) == 0 {
		p.failAttempt(ErrNoRoute)
		return
	}
	if len(via) > 0 { // there is somebody to tell the peer
		p.openRelay(now)
	}
	if observed := p.observed; p.wantsFresh() {
		p.workers.Go(func() { p.freshen(a, observed) })
		return
	}
	p.callAll(nil)
}

// callAll asks all SNs that are not being asked, telling them of the candidates; nil:
// the host's, as they are when an SN is asked. Each that is online has a head start over
// the next one; the others are asked as soon as they can be.
func (p *Peer) callAll(candidates []wire.Candidate) {
	a := p.attempt
	a.candidates = candidates
	delay := time.Duration(0)
	for _, s := range p.cfg.Host.Signallers(p.serverRefs()) {
		wait := time.Duration(0)
		if s.Online() {
			wait = delay
			delay += fanOut
		}
		if a.calling[s] {
			continue // still waiting for it
		}
		a.calling[s] = true
		p.workers.Go(func() { p.call(s, a, candidates, wait) })
	}
}

// serverRefs returns the SNs that the peer is known to use. Those that it names
// itself would learn of us, and crowd out others: they count only once it is we who
// want to reach it.
func (p *Peer) serverRefs() []identity.Ref {
	refs := p.refs
	if p.device != nil && p.wanted {
		refs = append(p.device.SNs(), refs...)
	}
	return refs
}

// call asks one SN, on a worker.
func (p *Peer) call(s Signaller, a *attempt, candidates []wire.Candidate, wait time.Duration) {
	ctx, cancel := context.WithTimeout(p.ctx, p.life())
	defer cancel()
	if wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	var reply *snclient.CallReply
	o := snclient.CallOptions{Candidates: candidates}
	err := s.WaitOnline(ctx)
	if err == nil {
		if o.Initiation, o.Relay, err = p.pendingCall(ctx); err == nil {
			if candidates == nil {
				o.Candidates = p.cfg.Host.Candidates()
			}
			reply, err = s.Call(ctx, p.cfg.ID, o)
		}
	}
	p.ask(p.ctx, func(now time.Time) { p.onCallReply(now, a, s, reply, err, &o) })
}

// pendingCall returns what there is to call with now, on a worker.
func (p *Peer) pendingCall(ctx context.Context) (initiation []byte, relay *wire.Relay, err error) {
	done := make(chan struct{})
	if !p.ask(ctx, func(now time.Time) {
		initiation, relay = p.exchange.Packet(now), p.relayName()
		close(done)
	}) {
		return nil, nil, ErrClosed
	}
	select {
	case <-done:
		return initiation, relay, nil
	case <-p.ctx.Done():
		return nil, nil, ErrClosed
	}
}

// onCallReply takes an SN's answer.
func (p *Peer) onCallReply(now time.Time, a *attempt, s Signaller, r *snclient.CallReply, err error, o *snclient.CallOptions) {
	if p.attempt != a {
		return
	}
	delete(a.calling, s)
	if err != nil {
		a.failures = append(a.failures, err)
		p.note(now, "call failed: "+err.Error())
		p.afterFailures(now)
		return
	}
	a.answered = true
	p.note(now, "a super node has called the peer")
	p.paths.SetShared(now, r.Shared)
	p.learn(now, r.Device)
	if name := p.relayName(); name != nil && o.Relay != nil && *name != *o.Relay {
		a.calling[s] = true // what the call has named is over
		p.workers.Go(func() { p.call(s, a, a.candidates, 0) })
	}
	if o.Initiation == nil && !p.exchange.Pending() && p.tentative == nil && p.current == nil {
		a.initiate = now.Add(calleeInitiates)
	}
	p.addCandidates(now, r.Candidates, path.OriginSN, now.Add(r.Wait+callerHold))
}

// afterFailures ends an attempt that has nothing left to hope for. SNs that do not
// answer may come back.
func (p *Peer) afterFailures(now time.Time) {
	a := p.attempt
	if len(a.calling) > 0 || a.answered || p.current != nil || len(p.paths.Paths()) > 0 {
		return
	}
	silent := func(err error) bool {
		return errors.Is(err, snclient.ErrOffline) || errors.Is(err, snclient.ErrTimeout)
	}
	if a.rounds >= roundsUnknown && !all(a.failures, silent) {
		p.failAttempt(p.unreachable())
	}
}

// all reports whether ok holds for all errors.
func all(list []error, ok func(error) bool) bool {
	return !slices.ContainsFunc(list, func(err error) bool { return !ok(err) })
}

// unreachable says why nothing came of the attempt.
func (p *Peer) unreachable() error {
	a := p.attempt
	cause := ErrUnreachable
	notFound := func(err error) bool { return errors.Is(err, snclient.ErrNotFound) }
	switch {
	case a.answered:
	case slices.ContainsFunc(a.failures, notFound):
		cause = ErrNotFound
	case len(a.failures) > 0 || len(a.calling) > 0:
		cause = ErrOffline
	}
	return fmt.Errorf("%w after %d rounds of calls", cause, a.rounds)
}

// failAttempt tells those who wait.
func (p *Peer) failAttempt(err error) {
	a := p.attempt
	if a == nil {
		return
	}
	p.attempt = nil
	if p.live.Load() == nil {
		p.failedAt = time.Now()
	}
	if p.fresh != nil && !p.fresh.adopted {
		p.dropFresh()
	}
	for _, w := range a.waiters {
		w.done <- err
	}
}

// finishAttempt tells those who wait that there is a session. If a relay carries it the
// attempt goes on for a few rounds: it is often there before the first punch has met,
// and some punches take a second (see Fresh).
func (p *Peer) finishAttempt(now time.Time) {
	a := p.attempt
	if a == nil || !p.relayed() || p.betterTries == betterRounds {
		p.failAttempt(nil)
		return
	}
	for _, w := range a.waiters {
		w.done <- nil
	}
	if a.waiters = nil; !a.better {
		a.way, a.better, a.until = true, true, now.Add(betterLife)
	}
}

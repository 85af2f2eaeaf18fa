package pnclient

import (
	"context"
	"crypto/rand"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/bdtnet/bdt/internal/jitter"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/retry"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/underlay"
)

// When packets are repeated and given up (spec §1, §2).
const (
	describeFirst = 500 * time.Millisecond // and the handshake's, a Ping's and a Bind's
	describeTotal = 5 * time.Second
	// A ping because something that was relayed has not come back, or from a new network:
	// somebody waits.
	checkFirst = 100 * time.Millisecond
	checkLimit = 400 * time.Millisecond
	checkTotal = 1 * time.Second

	// pollInterval is how often a half is bound again.
	pollInterval = 2 * time.Second

	// A back-off is its base and up to half as much again, so that clients which
	// lost one PN together do not come back together.
	backoffMin  = time.Second
	backoffBase = 40 * time.Second // at most: with the half, a minute
	// maxServers is how many of the addresses of a name are tried.
	maxServers = 8
	// keepAlive is between pings unless told otherwise.
	keepAlive = 25 * time.Second
)

// An owner is what belongs to the owner goroutine of a Client: the way to being
// online, the timers that keep it there, and those of the bindings.
//
// Coming online goes through the tasks resolving, describe, handshake and ping, one at a
// time, each starting the next; when one fails, all stop and backoff is set. While online, ping runs
// when it is due, and handshake when the PN seems to have lost us; the old keys serve meanwhile.
type owner struct {
	*Client
	exchange *noise.Exchange

	resolvers sync.WaitGroup
	resolved  chan []netip.AddrPort // the answer of the resolver; nil while not resolving
	unresolve context.CancelFunc    // ends the resolver
	nonce     [8]byte               // of the Describe under way
	describe  retry.Schedule
	handshake retry.Schedule
	ping      retry.Schedule
	nextPing  time.Time // zero unless online
	backoff   time.Time // when to start over; zero unless waiting for that
	failures  int       // since last online

	to      netip.AddrPort // the PN's address that answered; zero: not known yet
	tries   int            // initiations sent, to go through the addresses
	flights []flight       // Pings under way
	relay   netip.AddrPort // that SetRelay was told; zero: none
}

// A flight is a Ping that waits for its answer, by which the round trip is measured.
type flight struct {
	request uint32
	sent    time.Time
}

// maxFlights bounds the packets that an answer may still come to.
const maxFlights = 16

func newOwner(c *Client) *owner {
	return &owner{
		Client: c,
		exchange: noise.NewExchange(noise.ExchangeConfig{
			Local:   c.cfg.Local,
			Remote:  c.cfg.Ref.ID,
			Indices: c.cfg.Indices,
			Stamper: c.cfg.Stamper,
			Marks:   noise.NewMarks(1), // a PN never initiates
		}),
		describe:  retry.Schedule{First: describeFirst, Limit: describeTotal, Total: describeTotal},
		handshake: retry.Schedule{First: describeFirst, Limit: describeTotal, Total: describeTotal},
	}
}

// run is the owner goroutine.
func (o *owner) run(ctx context.Context) {
	defer func() {
		o.stopResolver()
		o.resolvers.Wait()
		o.setRelay(netip.AddrPort{})
		if l := o.link.Swap(nil); l != nil {
			_ = o.sendMessage(*l, &wire.Goodbye{}) // lost, the PN finds out in time
		}
		o.exchange.Close()
		o.setState(Closed)
		o.endAll(ErrClosed)
		close(o.done)
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	o.connect(ctx)
	for {
		now := time.Now()
		o.step(ctx, now)
		if due := o.due(now); due.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(due.Sub(now))
		}
		select {
		case <-ctx.Done():
			return
		case p := <-o.inbox:
			o.receive(time.Now(), *p.b, p.from)
			packets.Put(p.b)
		case addrs := <-o.resolved:
			o.stopResolver()
			o.setServers(time.Now(), addrs)
		case <-o.rehome:
			o.moveHome(ctx, time.Now())
		case <-o.suspicion:
			o.check(time.Now())
		case <-o.changed:
			o.startBindings(time.Now(), false)
		case <-timer.C:
		}
	}
}

// due returns when step has something to do.
func (o *owner) due(now time.Time) time.Time {
	first := retry.Earliest(o.describe.Due(), o.handshake.Due(), o.ping.Due(), o.nextPing, o.backoff, o.exchange.Next(now))
	if o.link.Load() != nil {
		var bind time.Time
		for _, b := range *o.bindings.Load() {
			bind = retry.Earliest(bind, b.task.Due())
		}
		if next := o.pace.next(); !bind.IsZero() && bind.Before(next) {
			bind = next
		}
		first = retry.Earliest(first, bind)
	}
	return first
}

// step does what is due.
func (o *owner) step(ctx context.Context, now time.Time) {
	o.exchange.Expire(now)
	if !o.backoff.IsZero() && !now.Before(o.backoff) {
		o.backoff = time.Time{}
		o.connect(ctx)
	}
	if !o.nextPing.IsZero() && !now.Before(o.nextPing) {
		o.nextPing = time.Time{}
		o.startPing(now, describeFirst, describeTotal, describeTotal)
	}
	if o.describe.Send(now) {
		o.sendDescribe()
	}
	if o.handshake.Send(now) {
		o.sendInitiation(now)
	}
	if o.ping.Send(now) {
		o.sendPing(now)
	}
	o.stepBindings(now)
	switch {
	case o.describe.Expired(now):
		o.fail(now, "describe")
	case o.handshake.Expired(now):
		// A hint may be forged: what works goes on working.
		if o.link.Load() == nil {
			o.fail(now, "handshake")
		}
	case o.ping.Expired(now):
		o.fail(now, "ping")
	}
}

// fail gives up for now, and starts over after a while that grows.
func (o *owner) fail(now time.Time, what string) {
	o.stop()
	wait := min(backoffMin<<min(o.failures, 6), backoffBase)
	wait += o.jitter(wait/2, now)
	o.failures++
	o.failed.Store(true)
	o.backoff = now.Add(wait)
	o.log.Debug("proxy node does not answer", "at", what, "retry", wait)
	o.enter(Offline)
}

// stop ends all tasks, and the initiation under way.
func (o *owner) stop() {
	for _, r := range []*retry.Schedule{&o.describe, &o.handshake, &o.ping} {
		r.Stop()
	}
	o.exchange.Withdraw()
	o.nextPing, o.backoff = time.Time{}, time.Time{}
	o.flights = o.flights[:0]
	o.link.Store(nil)
}

// enter changes the state and tells.
func (o *owner) enter(s State) {
	if o.setState(s) {
		o.cfg.HandleState(o.Client, s)
	}
}

// connect begins to come online by resolving the PN's address. An earlier
// resolution that is still under way goes on.
func (o *owner) connect(ctx context.Context) {
	if o.resolved != nil {
		return
	}
	ctx, o.unresolve = context.WithCancel(ctx)
	resolved := make(chan []netip.AddrPort, 1)
	o.resolved = resolved
	o.resolvers.Go(func() {
		addrs, err := underlay.Resolve(ctx, o.cfg.Network, o.cfg.Ref.Addr, maxServers)
		if err != nil {
			o.log.Debug("proxy node does not resolve", "err", err)
		}
		resolved <- addrs
	})
}

// stopResolver ends the resolution under way, if any: what comes of it is not wanted.
func (o *owner) stopResolver() {
	if o.resolved != nil {
		o.unresolve()
		o.resolved = nil
	}
}

// setServers goes on with the PN's addresses.
func (o *owner) setServers(now time.Time, addrs []netip.AddrPort) {
	if o.link.Load() != nil {
		return
	}
	if len(addrs) == 0 {
		o.fail(now, "resolve")
		return
	}
	o.servers.Store(&addrs)
	if !slices.Contains(addrs, o.to) {
		o.to = netip.AddrPort{}
	}
	if o.server.Load() != nil && (o.to.IsValid() || len(addrs) == 1) {
		o.shake(now)
		return
	}
	rand.Read(o.nonce[:]) // never fails: it ends the program instead
	asked := o.nonce
	o.asked.Store(&asked)
	o.describe.Start(now)
}

// sendDescribe asks all addresses who is there; the first good answer is where
// the PN is reached.
func (o *owner) sendDescribe() {
	m := wire.Describe{Nonce: o.nonce, ID: o.cfg.Ref.ID}
	b := m.Append(nil)
	for _, a := range *o.servers.Load() {
		o.send(a, b)
	}
}

// send sends a packet. One that cannot be sent is as good as lost: it is repeated.
func (o *owner) send(to netip.AddrPort, b []byte) {
	if err := o.cfg.Send(to, b); err != nil {
		o.log.Debug("cannot send to proxy node", "to", to, "err", err)
	}
}

// sendSealed sends a message under the current keys.
func (o *owner) sendSealed(m message) {
	a := o.exchange.Current()
	if a == nil {
		return
	}
	if err := o.sendMessage(link{a, o.to}, m); err != nil {
		o.log.Debug("cannot send to proxy node", "to", o.to, "err", err)
	}
}

// shake begins a handshake, naming the association that is held.
func (o *owner) shake(now time.Time) {
	var rekeys uint64
	if a := o.exchange.Current(); a != nil {
		rekeys = a.SessionID()
	}
	if _, err := o.exchange.Begin(now, o.server.Load(), noise.Offer{Rekeys: rekeys}); err != nil {
		o.log.Warn("cannot begin a handshake", "err", err)
		o.fail(now, "handshake")
		return
	}
	o.handshake.Start(now)
}

// sendInitiation sends the initiation to where the PN answered before, and at
// each repeat to the next of its addresses.
func (o *owner) sendInitiation(now time.Time) {
	servers := *o.servers.Load()
	to := o.to
	if first := slices.Index(servers, to); first < 0 || o.tries > 0 {
		to = servers[(max(first, 0)+o.tries)%len(servers)]
	}
	o.tries++
	if b := o.exchange.Packet(now); b != nil {
		o.send(to, b)
	}
}

// startPing begins to ping, with delays from first up to limit, for total in all.
func (o *owner) startPing(now time.Time, first, limit, total time.Duration) {
	o.ping.First, o.ping.Limit, o.ping.Total = first, limit, total
	o.ping.Start(now)
}

// check pings, in a hurry, a PN that has left something unanswered. A ping that is
// under way says as much.
func (o *owner) check(now time.Time) {
	if o.link.Load() == nil || o.ping.Active() {
		return
	}
	rtt := o.RTT()
	o.nextPing = time.Time{}
	o.startPing(now, max(checkFirst, 2*rtt), max(checkLimit, 2*rtt), max(checkTotal, 6*rtt))
}

func (o *owner) sendPing(now time.Time) {
	f := flight{o.number(), now}
	if len(o.flights) == maxFlights {
		o.flights = slices.Delete(o.flights, 0, 1)
	}
	o.flights = append(o.flights, f)
	o.sendSealed(&wire.Ping{Request: f.request, RTT: o.RTT()})
}

// moveHome does what a change of network asks for: the PN is to see the device where it is
// now, or the device to find the PN from there.
func (o *owner) moveHome(ctx context.Context, now time.Time) {
	if o.link.Load() != nil {
		o.ping.Stop()
		o.check(now)
		return
	}
	o.stop()
	o.to, o.failures = netip.AddrPort{}, 0
	o.stopResolver()
	o.connect(ctx)
}

// setRelay has relayed packets from an address come to the client, and no longer those from
// the one before.
func (o *owner) setRelay(to netip.AddrPort) {
	if o.relay == to {
		return
	}
	if o.relay.IsValid() {
		o.cfg.DeleteRelay(o.relay, o.Client)
	}
	if o.relay = to; to.IsValid() {
		o.cfg.SetRelay(to, o.Client)
	}
}

// startBindings begins to bind: what is not bound yet, or all.
func (o *owner) startBindings(now time.Time, all bool) {
	for _, b := range *o.bindings.Load() {
		if !all && b.known {
			continue
		}
		b.bind(now)
		if !b.known && b.begun {
			b.task.Send(now) // it has left
		}
		b.known = true
	}
}

// bind has a binding's Bind sent until it is answered.
func (b *Binding) bind(now time.Time) {
	b.task = retry.Schedule{First: describeFirst, Limit: describeTotal, Total: describeTotal}
	b.poll = false
	b.task.Start(now)
}

// stepBindings sends the Binds that are due, as many as the PN takes: first those that are not
// answered, and of each kind those first that have been due for longest. One that the PN does not answer says that it may be gone.
func (o *owner) stepBindings(now time.Time) {
	if o.link.Load() == nil {
		return
	}
	var due []*Binding
	for _, b := range *o.bindings.Load() {
		if at := b.task.Due(); !at.IsZero() && !at.After(now) {
			due = append(due, b)
		}
	}
	slices.SortFunc(due, func(a, b *Binding) int {
		switch {
		case a.poll == b.poll:
			return a.task.Due().Compare(b.task.Due())
		case a.poll:
			return 1
		}
		return -1
	})
	for _, b := range due {
		if !o.pace.take(now) {
			return
		}
		if b.task.Expired(now) {
			b.bind(now)
		}
		if b.task.Send(now) {
			o.sendSealed(b.message())
			if b.task.Sent == 2 && !b.poll {
				o.check(now)
			}
		}
	}
}

// jittered returns an interval from now on, more or less 10 % (spec §1).
func (o *owner) jittered(d time.Duration, now time.Time) time.Duration {
	return d - d/10 + o.jitter(d/5, now)
}

// jitter returns a part of d that differs from device to device and from server to
// server.
func (o *owner) jitter(d time.Duration, now time.Time) time.Duration {
	local := o.cfg.Local.ID()
	return jitter.Of(d, now, local[:], o.cfg.Ref.ID[:])
}

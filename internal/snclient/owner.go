package snclient

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

// When packets are repeated and given up (spec §1).
const (
	describeFirst = 500 * time.Millisecond // and the handshake's
	describeTotal = 5 * time.Second
	registerFirst = 250 * time.Millisecond
	registerLimit = 4 * time.Second
	registerTotal = 10 * time.Second // as long as the SN keeps a session that has not registered
	pingFirst     = 500 * time.Millisecond
	pingTotal     = 5 * time.Second
	// A ping because a request went unanswered: somebody waits.
	checkFirst = 200 * time.Millisecond
	checkLimit = 400 * time.Millisecond
	checkTotal = 2 * time.Second
	// A Register from a new network, where the SN asks for a proof of the address first.
	moveFirst = 100 * time.Millisecond
	moveLimit = 400 * time.Millisecond
	moveTotal = time.Second

	// When to look for an SN that has said that it stops.
	drainMin    = 500 * time.Millisecond
	drainSpread = 2 * time.Second

	// A back-off is its base and up to half as much again, so that clients which
	// lost one SN together do not come back together.
	backoffMin  = time.Second
	backoffBase = 40 * time.Second // at most: with the half, a minute
	// maxServers is how many of the addresses of a name are tried.
	maxServers = 8
	// defaultInterval is between pings if the SN names none, which is a fault.
	defaultInterval = 25 * time.Second
)

// An owner is what belongs to the owner goroutine of a Client: the way to being
// online, and the timers that keep it there.
//
// Coming online goes through the tasks resolving, describe, handshake and
// register, one at a time, each starting the next; when one fails, all stop and
// backoff is set. While online, ping and register run when they are due, move when
// the network has changed, and handshake when the SN seems to have lost us; the old keys
// serve meanwhile.
type owner struct {
	*Client
	exchange *noise.Exchange
	calls    callLog

	resolvers sync.WaitGroup
	resolved  chan []netip.AddrPort // the answer of the resolver; nil while not resolving
	unresolve context.CancelFunc    // ends the resolver
	nonce     [8]byte               // of the Describe under way
	describe  retry.Schedule
	handshake retry.Schedule
	register  retry.Schedule
	move      retry.Schedule // Register from a new network
	ping      retry.Schedule
	nextPing  time.Time // zero unless online
	backoff   time.Time // when to start over; zero unless waiting for that
	failures  int       // since last online

	to        netip.AddrPort // the SN's address that answered; zero: not known yet
	tries     int            // initiations sent, to go through the addresses
	interval  time.Duration  // between pings
	placed    bool           // since the move began the SN has been heard, at to
	flights   []flight       // Pings and Registers under way
	offered   uint64         // version of our descriptor in the last initiation
	announced uint64         // the one that the SN is known to have
	draining  bool           // the SN has said that it stops
}

// A flight is a packet that waits for its answer, by which the round trip is
// measured. Each repeat has a number of its own, so that it is known which one
// was answered.
type flight struct {
	request uint32
	sent    time.Time
	device  uint64 // version of our descriptor that it holds; 0: none
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
			Marks:   noise.NewMarks(1), // an SN never initiates
		}),
		describe:  retry.Schedule{First: describeFirst, Limit: describeTotal, Total: describeTotal},
		handshake: retry.Schedule{First: describeFirst, Limit: describeTotal, Total: describeTotal},
		register:  retry.Schedule{First: registerFirst, Limit: registerLimit, Total: registerTotal},
		move:      retry.Schedule{First: moveFirst, Limit: moveLimit, Total: moveTotal},
	}
}

// run is the owner goroutine.
func (o *owner) run(ctx context.Context) {
	defer func() {
		o.stopResolver()
		o.resolvers.Wait()
		if l := o.link.Swap(nil); l != nil {
			_ = o.sendMessage(*l, &wire.Goodbye{}) // lost, the SN finds out in time
		}
		o.exchange.Close()
		o.setState(Closed)
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
		case <-o.reregister:
			o.refresh(ctx, time.Now())
		case <-o.Client.rehome:
			o.rehome(ctx, time.Now())
		case <-o.suspicion:
			o.check(time.Now())
		case <-timer.C:
		}
	}
}

// due returns when step has something to do.
func (o *owner) due(now time.Time) time.Time {
	return retry.Earliest(o.describe.Due(), o.handshake.Due(), o.register.Due(), o.move.Due(), o.ping.Due(),
		o.nextPing, o.backoff, o.exchange.Next(now))
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
		o.startPing(now)
	}
	if o.dueNow(&o.describe, now) {
		o.sendDescribe()
	}
	if o.dueNow(&o.handshake, now) {
		o.sendInitiation(now)
	}
	if o.dueNow(&o.register, now) || o.dueNow(&o.move, now) {
		o.sendRegister(now)
	}
	if o.dueNow(&o.ping, now) {
		o.sendPing(now)
	}
	switch {
	case o.describe.Expired(now):
		o.fail(now, "describe")
	case o.handshake.Expired(now):
		// A hint may be forged: what works goes on working.
		if o.State() != Online {
			o.fail(now, "handshake")
		}
	case o.move.Expired(now):
		// Either the SN has lost us, or another of its addresses is the one to use now.
		o.stop()
		o.to = netip.AddrPort{}
		o.enter(Offline)
		o.connect(ctx)
	case o.register.Expired(now):
		o.fail(now, "register")
	case o.ping.Expired(now):
		o.fail(now, "ping")
	}
}

// dueNow reports whether a task's packet is to be sent, and counts those that
// were sent before.
func (o *owner) dueNow(r *retry.Schedule, now time.Time) bool {
	due := r.Send(now)
	if due && r.Sent > 1 {
		o.repeats.Add(1)
	}
	return due
}

// fail gives up for now, and starts over after a while that grows.
func (o *owner) fail(now time.Time, what string) {
	o.stop()
	wait := min(backoffMin<<min(o.failures, 6), backoffBase)
	wait += o.jitter(wait/2, now)
	o.failures++
	o.backoff = now.Add(wait)
	o.log.Debug("super node does not answer", "at", what, "retry", wait)
	o.enter(Offline)
}

// stop ends all tasks. An initiation ends with them: held on to, it would be sent
// again by the next handshake, and let go in the middle of that.
func (o *owner) stop() {
	for _, r := range []*retry.Schedule{&o.describe, &o.handshake, &o.register, &o.move, &o.ping} {
		r.Stop()
	}
	o.exchange.Withdraw()
	o.nextPing, o.backoff = time.Time{}, time.Time{}
	o.flights = o.flights[:0]
	o.draining = false
	o.link.Store(nil)
	o.requests.abandon()
}

// enter changes the state and tells.
func (o *owner) enter(s State) {
	if o.setState(s) {
		o.cfg.Handler.HandleState(o.Client, s)
	}
}

// connect begins to come online by resolving the SN's address. An earlier
// resolution that is still under way goes on.
func (o *owner) connect(ctx context.Context) {
	if o.resolved != nil {
		return
	}
	ctx, o.unresolve = context.WithCancel(ctx)
	resolved := make(chan []netip.AddrPort, 1)
	o.resolved = resolved
	o.resolvers.Go(func() { resolved <- o.resolve(ctx) })
}

// stopResolver ends the resolution under way, if any: what comes of it is not wanted.
func (o *owner) stopResolver() {
	if o.resolved != nil {
		o.unresolve()
		o.resolved = nil
	}
}

// resolve returns the SN's addresses, none if they cannot be found out now.
func (c *Client) resolve(ctx context.Context) []netip.AddrPort {
	addrs, err := underlay.Resolve(ctx, c.cfg.Network, c.cfg.Ref.Addr, maxServers)
	if err != nil {
		c.log.Debug("super node does not resolve", "err", err)
	}
	return addrs
}

// setServers goes on with the SN's addresses.
func (o *owner) setServers(now time.Time, addrs []netip.AddrPort) {
	if o.State() == Online {
		if len(addrs) > 0 && o.move.Active() {
			o.servers.Store(&addrs) // resolved in the new network
			o.move.Hurry(now)
		}
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
// the SN is reached.
func (o *owner) sendDescribe() {
	m := wire.Describe{Nonce: o.nonce, ID: o.cfg.Ref.ID}
	b := m.Append(nil)
	for _, a := range *o.servers.Load() {
		o.send(a, b)
	}
}

// send sends a packet. One that cannot be sent is as good as lost: it is repeated.
func (c *Client) send(to netip.AddrPort, b []byte) {
	if err := c.cfg.Send(to, b); err != nil {
		c.log.Debug("cannot send to super node", "to", to, "err", err)
	}
}

// shake begins a handshake, naming the association that is held.
func (o *owner) shake(now time.Time) {
	var rekeys uint64
	if a := o.exchange.Current(); a != nil {
		rekeys = a.SessionID()
	}
	if !o.exchange.Pending() {
		o.offered = o.cfg.Local.Device().Updated()
	}
	if _, err := o.exchange.Begin(now, o.server.Load(), noise.Offer{Rekeys: rekeys}); err != nil {
		o.log.Warn("cannot begin a handshake", "err", err)
		o.fail(now, "handshake")
		return
	}
	o.handshake.Start(now)
}

// sendInitiation sends the initiation to where the SN answered before, and at
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

// sendRegister sends the registration as it is to be now. From a new network it goes to
// all addresses of the SN until that is heard at one of them.
func (o *owner) sendRegister(now time.Time) {
	m := wire.Register{
		Instance:   o.cfg.Instance,
		Visibility: o.cfg.Visibility,
		Candidates: o.cfg.Candidates(),
	}
	m.Candidates = m.Candidates[:min(len(m.Candidates), wire.MaxCandidates)]
	f := flight{sent: now}
	if d := o.cfg.Local.Device(); d.Updated() != o.announced {
		m.Device, f.device = d.Bytes(), d.Updated()
	}
	m.Request = o.takeOff(f)
	o.sendSealed(&m, o.to)
	if !o.move.Active() || o.placed {
		return
	}
	for _, a := range *o.servers.Load() {
		if a != o.to {
			o.sendSealed(&m, a)
		}
	}
}

// startPing begins to ping.
func (o *owner) startPing(now time.Time) {
	o.ping.First, o.ping.Limit, o.ping.Total = pingFirst, pingTotal, pingTotal
	o.ping.Start(now)
}

// check pings, in a hurry, an SN that has left something unanswered. A ping that is
// under way says as much.
func (o *owner) check(now time.Time) {
	if o.State() != Online || o.ping.Active() || o.move.Active() {
		return
	}
	rtt := o.RTT()
	o.nextPing = time.Time{}
	o.ping.First, o.ping.Limit, o.ping.Total = max(checkFirst, 2*rtt), max(checkLimit, 2*rtt), max(checkTotal, 5*rtt)
	o.ping.Start(now)
}

func (o *owner) sendPing(now time.Time) {
	o.sendSealed(&wire.Ping{
		Request:  o.takeOff(flight{sent: now}),
		Instance: o.cfg.Instance,
		RTT:      o.RTT(),
	}, o.to)
}

// sendSealed sends a message under the current keys.
func (o *owner) sendSealed(m message, to netip.AddrPort) {
	a := o.exchange.Current()
	if a == nil {
		return
	}
	if err := o.sendMessage(link{a, to}, m); err != nil {
		o.log.Debug("cannot send to super node", "to", to, "err", err)
	}
}

// takeOff remembers a packet under way, and returns its request number.
func (o *owner) takeOff(f flight) uint32 {
	f.request = o.requests.number()
	if len(o.flights) == maxFlights {
		o.flights = slices.Delete(o.flights, 0, 1)
	}
	o.flights = append(o.flights, f)
	return f.request
}

// land returns the packet that an answer belongs to, and measures the round trip.
func (o *owner) land(now time.Time, request uint32) (f flight, ok bool) {
	i := slices.IndexFunc(o.flights, func(f flight) bool { return f.request == request })
	if i < 0 {
		return flight{}, false
	}
	f = o.flights[i]
	o.flights = slices.Delete(o.flights, i, i+1)
	sample := max(now.Sub(f.sent), 1)
	if srtt := o.RTT(); srtt > 0 {
		sample = srtt + (sample-srtt)/8 // RFC 6298 §2.3
	}
	o.rtt.Store(int64(sample))
	return f, true
}

// refresh registers what has changed; a superseded client comes back, and one that
// waits to start over waits no longer.
func (o *owner) refresh(ctx context.Context, now time.Time) {
	switch o.State() {
	case Online:
		if !o.move.Active() {
			o.register.Start(now)
			return
		}
		o.move.Hurry(now)
	case Offline:
		if !o.backoff.IsZero() {
			o.backoff = now
		}
	case Superseded:
		o.enter(Offline)
		o.connect(ctx)
	}
}

// rehome does what a change of network asks for. What was resolved, or was being, may
// not hold where the device is now.
func (o *owner) rehome(ctx context.Context, now time.Time) {
	switch o.State() {
	case Online:
		o.register.Stop()
		o.ping.Stop()
		o.nextPing = time.Time{}
		o.placed = false
		o.move.Total = max(moveTotal, 6*o.RTT())
		o.move.Start(now)
		o.setMoving(true)
	case Offline:
		o.stop()
		o.to, o.failures = netip.AddrPort{}, 0
	default:
		return
	}
	o.stopResolver()
	o.connect(ctx)
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

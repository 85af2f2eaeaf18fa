package snclient

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
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

	backoffMin = time.Second
	backoffMax = 60 * time.Second
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
// backoff is set. While online, ping and register run when they are due, and
// handshake when the SN seems to have lost us; the old keys serve meanwhile.
type owner struct {
	*Client
	exchange *noise.Exchange
	calls    callLog

	resolved  chan []netip.AddrPort // the answer of the resolver; nil while not resolving
	nonce     [8]byte               // of the Describe under way
	describe  retry
	handshake retry
	register  retry
	ping      retry
	nextPing  time.Time // zero unless online
	backoff   time.Time // when to start over; zero unless waiting for that
	failures  int       // since last online

	to        netip.AddrPort // the SN's address that answered; zero: not known yet
	tries     int            // initiations sent, to go through the addresses
	interval  time.Duration  // between pings
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
		describe:  retry{first: describeFirst, limit: describeTotal, total: describeTotal},
		handshake: retry{first: describeFirst, limit: describeTotal, total: describeTotal},
		register:  retry{first: registerFirst, limit: registerLimit, total: registerTotal},
		ping:      retry{first: pingFirst, limit: pingTotal, total: pingTotal},
	}
}

// run is the owner goroutine.
func (o *owner) run(ctx context.Context) {
	resolver, stopResolver := context.WithCancel(ctx)
	defer func() {
		stopResolver()
		if o.resolved != nil {
			<-o.resolved // its goroutine has ended
		}
		if l := o.link.Swap(nil); l != nil {
			_ = o.sendMessage(*l, &wire.Goodbye{}) // lost, the SN finds out in time
		}
		o.exchange.Close()
		o.setState(Closed)
		close(o.done)
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	o.connect(resolver)
	for {
		now := time.Now()
		o.step(resolver, now)
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
			o.resolved = nil
			o.setServers(time.Now(), addrs)
		case <-o.reregister:
			o.refresh(resolver, time.Now())
		case <-timer.C:
		}
	}
}

// due returns when step has something to do.
func (o *owner) due(now time.Time) time.Time {
	return earliest(o.describe.due(), o.handshake.due(), o.register.due(), o.ping.due(),
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
		o.ping.start(now)
	}
	if o.describe.send(now) {
		o.sendDescribe()
	}
	if o.handshake.send(now) {
		o.sendInitiation(now)
	}
	if o.register.send(now) {
		o.sendRegister(now)
	}
	if o.ping.send(now) {
		o.sendPing(now)
	}
	switch {
	case o.describe.expired(now):
		o.fail(now, "describe")
	case o.handshake.expired(now):
		// A hint may be forged: what works goes on working.
		if o.State() != Online {
			o.fail(now, "handshake")
		}
	case o.register.expired(now):
		o.fail(now, "register")
	case o.ping.expired(now):
		o.fail(now, "ping")
	}
}

// fail gives up for now, and starts over after a while that grows.
func (o *owner) fail(now time.Time, what string) {
	o.stop()
	wait := min(backoffMin<<min(o.failures, 6), backoffMax)
	wait = min(wait+mathrand.N(wait/2), backoffMax)
	o.failures++
	o.backoff = now.Add(wait)
	o.log.Debug("super node does not answer", "at", what, "retry", wait)
	o.enter(Offline)
}

// stop ends all tasks.
func (o *owner) stop() {
	for _, r := range []*retry{&o.describe, &o.handshake, &o.register, &o.ping} {
		r.stop()
	}
	o.nextPing, o.backoff = time.Time{}, time.Time{}
	o.flights = o.flights[:0]
	o.draining = false
	o.link.Store(nil)
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
	resolved := make(chan []netip.AddrPort, 1)
	o.resolved = resolved
	go func() { resolved <- o.resolve(ctx) }()
}

// resolve returns the SN's addresses, none if they cannot be found out now.
func (c *Client) resolve(ctx context.Context) []netip.AddrPort {
	if a, ok := c.cfg.Ref.AddrPort(); ok {
		return []netip.AddrPort{a}
	}
	host, service, err := net.SplitHostPort(c.cfg.Ref.Addr)
	if err != nil {
		c.log.Error("super node has a bad address", "err", err)
		return nil
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		c.log.Error("super node has a bad port", "err", err)
		return nil
	}
	ips, err := c.cfg.Network.LookupNetIP(ctx, host)
	if err != nil {
		c.log.Debug("super node does not resolve", "err", err)
		return nil
	}
	var addrs []netip.AddrPort
	for _, ip := range ips {
		a := netip.AddrPortFrom(ip.Unmap(), uint16(port))
		if len(addrs) < maxServers && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// setServers goes on with the SN's addresses.
func (o *owner) setServers(now time.Time, addrs []netip.AddrPort) {
	if len(addrs) == 0 {
		o.fail(now, "resolve")
		return
	}
	o.servers.Store(&addrs)
	if !slices.Contains(addrs, o.to) {
		o.to = netip.AddrPort{}
	}
	if o.server.Load() != nil {
		o.shake(now)
		return
	}
	rand.Read(o.nonce[:]) // never fails: it ends the program instead
	o.describe.start(now)
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
	o.handshake.start(now)
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

// sendRegister sends the registration as it is to be now.
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
	o.sendSealed(&m)
}

func (o *owner) sendPing(now time.Time) {
	o.sendSealed(&wire.Ping{
		Request:  o.takeOff(flight{sent: now}),
		Instance: o.cfg.Instance,
		RTT:      o.RTT(),
	})
}

// sendSealed sends a message under the current keys.
func (o *owner) sendSealed(m message) {
	a := o.exchange.Current()
	if a == nil {
		return
	}
	if err := o.sendMessage(link{a, o.to}, m); err != nil {
		o.log.Debug("cannot send to super node", "to", o.to, "err", err)
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

// refresh registers what has changed; a superseded client comes back. Changes
// often come with a new network, so one that waits to start over waits no longer.
func (o *owner) refresh(ctx context.Context, now time.Time) {
	switch o.State() {
	case Online:
		o.register.start(now)
	case Offline:
		if !o.backoff.IsZero() {
			o.backoff = now
		}
		for _, r := range []*retry{&o.describe, &o.handshake} {
			if r.active() {
				r.start(now)
			}
		}
	case Superseded:
		o.enter(Offline)
		o.connect(ctx)
	}
}

// jittered returns an interval, more or less 10 % (spec §1).
func jittered(d time.Duration) time.Duration {
	return d - d/10 + mathrand.N(d/5)
}

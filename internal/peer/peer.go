package peer

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/wire"
)

const (
	// inboxSize bounds the events that wait for the owner. What the network
	// sends beyond it is dropped and counted, as by a full socket buffer.
	inboxSize = 256
	// trafficTick is how often the lane's times are read while data flows:
	// the finest grain that suspicion needs (path.md §6).
	trafficTick = 50 * time.Millisecond
	// trafficTail is how long after the last packet that goes on.
	trafficTail = 2 * time.Second
)

// A Peer is one remote device. Its exported methods may be called
// concurrently; the fields below "owner" belong to the owner goroutine.
type Peer struct {
	cfg Config
	log *slog.Logger

	inbox    chan func(now time.Time)
	closing  chan struct{}   // closed by Close and Leave
	leaving  bool            // by Leave; set before closing is closed
	stopped  chan struct{}   // closed when the owner has returned
	ctx      context.Context // of the workers
	cancel   context.CancelFunc
	workers  sync.WaitGroup // calls and session starts; the owner waits for them
	close    sync.Once
	overflow atomic.Uint64 // network events dropped because the inbox was full

	// What HandleControl reads, on reader goroutines.
	channels channelTable
	routes   routeTable
	expected atomic.Pointer[expected] // nil: no initiation is pending

	live   atomic.Pointer[connection] // the connection that Session returns at once
	status atomic.Pointer[Status]     // what Status returns

	// owner
	exchange  *noise.Exchange
	paths     *path.Set
	device    *identity.Device // nil until known
	wanted    bool             // somebody here has wanted a session
	refs      []identity.Ref   // SNs that tickets name for the peer
	endpoints []netip.AddrPort // where tickets say that it is
	observed  netip.AddrPort   // where an SN saw the peer last
	accepted  [32]byte         // SHA-256 of the last response that was accepted
	current   *channel         // confirmed; nil before
	tentative *channel         // we answered, the peer has not confirmed
	response  []byte           // what knocks carry while tentative
	attempt   *attempt         // to connect; nil if none runs
	fresh     *Fresh           // of the attempt, or of the path that came of it; nil: none
	relays    []*Relay         // begun by us or by the peer, oldest first; at most maxRelays
	refusing  []identity.ID    // PNs at which ours came to nothing
	polled    bool             // the lane's times are being polled
	idleSince time.Time        // zero while there is a session, an attempt or a handshake
	unmet     int              // calls of the peer since there was a session by a better way than a relay

	betterTries int              // rounds of calls for a better way than a relay, since the session or the last change of network; at most betterRounds
	calledAt    time.Time        // when the peer last called
	failedAt    time.Time        // when our last attempt came to nothing
	local       []wire.Candidate // ours, as they were last; not changed
	untold      bool             // the peer has not been told of them
	carried     *question        // goes with our last initiation; nil: none does
	held        *heldAnswer      // an initiation whose question is being answered; nil: none
	keyed       time.Time        // when current was set
	record      record
	logged      int // lines of the paths' record that were logged
}

// New makes a peer and starts its owner, which alone calls the Host. Close it.
func New(cfg Config) *Peer {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Peer{
		cfg:     cfg,
		log:     cfg.Logger.With("peer", cfg.ID.Short()),
		inbox:   make(chan func(time.Time), inboxSize),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
		ctx:     ctx,
		cancel:  cancel,
		paths:   path.New(path.Config{}),
	}
	p.exchange = cfg.Exchange(p)
	p.idleSince = time.Now()
	p.status.Store(&Status{IdleSince: p.idleSince, Unproven: true})
	go p.run()
	return p
}

// ID returns the remote device's id.
func (p *Peer) ID() identity.ID { return p.cfg.ID }

// Close says goodbye, ends the session, and waits for the peer's goroutines.
func (p *Peer) Close() error { return p.closeAs(false) }

// Leave is Close for who has sent all that there was to send: the peer may still
// read it.
func (p *Peer) Leave() error { return p.closeAs(true) }

func (p *Peer) closeAs(leaving bool) error {
	p.close.Do(func() {
		p.leaving = leaving
		close(p.closing)
	})
	<-p.stopped
	return nil
}

// run is the owner.
func (p *Peer) run() {
	defer close(p.stopped)
	p.setLocal()
	p.untold = false // handshakes tell
	p.paths.SetKeepAlive(p.cfg.Host.KeepAlive())
	p.setLinks(time.Now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case event := <-p.inbox:
			event(time.Now())
		case <-timer.C:
		case <-p.closing:
			p.shutDown(time.Now())
			return
		}
		now := time.Now()
		p.advance(now)
		p.publish()
		if next := p.next(now); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(next.Sub(now))
		}
	}
}

// post gives the owner an event that came from the network. It does not
// block: a flood is dropped.
func (p *Peer) post(event func(now time.Time)) {
	select {
	case p.inbox <- event:
	default:
		p.overflow.Add(1)
	}
}

// ask gives the owner an event that must not be lost. It reports false if the
// peer was closed or ctx has ended.
func (p *Peer) ask(ctx context.Context, event func(now time.Time)) bool {
	select {
	case p.inbox <- event:
		return true
	case <-p.stopped:
		return false
	case <-ctx.Done():
		return false
	}
}

// advance does what is due, after each event.
func (p *Peer) advance(now time.Time) {
	p.pollTraffic(now)
	p.perform(now)
	p.stepAttempt(now)
	if h := p.held; h != nil && !now.Before(h.until) {
		p.release(now, h, nil)
	}
	p.expire(now)
	p.expireLeft(now)
	p.expireRelays(now)
	p.perform(now)
	p.tellCandidates(now)
	p.noteIdle(now)
	p.logPaths()
}

// next is when advance is due; zero if nothing is planned.
func (p *Peer) next(now time.Time) time.Time {
	next := earliest(p.paths.Next(), p.exchange.Next(now))
	if p.attempt != nil {
		next = earliest(next, p.attempt.next())
	}
	if p.polled {
		next = earliest(next, now.Add(trafficTick))
	}
	if p.held != nil {
		next = earliest(next, p.held.until)
	}
	next = earliest(next, p.relaysDue())
	return earliest(next, p.leaves())
}

// later returns the later of two times; the zero time is before all others.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// earliest returns the earlier of two times; zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// pollTraffic tells the paths what the data plane has seen, and stops when
// there is nothing to see any more: the next packet sent wakes the owner.
func (p *Peer) pollTraffic(now time.Time) {
	if p.current == nil {
		p.polled = false
		return
	}
	lane := p.current.conn.lane
	if lane.idle.Load() {
		p.polled = false
		return
	}
	sent, received := lane.at(lane.sent.Load()), lane.at(lane.received.Load())
	p.paths.Traffic(now, path.Traffic{LastSent: sent, LastReceived: received})
	if r := lane.tooLong.Swap(nil); r != nil {
		p.paths.TooLong(now, r.link, r.addr)
	}
	p.polled = true
	if now.Sub(sent) > trafficTail && now.Sub(received) > trafficTail {
		lane.idle.Store(true)
		p.polled = false
	}
}

// noteIdle keeps idleSince.
func (p *Peer) noteIdle(now time.Time) {
	if p.current != nil || p.tentative != nil || p.attempt != nil || p.held != nil || p.exchange.Pending() {
		p.idleSince = time.Time{}
	} else if p.idleSince.IsZero() {
		p.idleSince = now
		p.dropRelays(now)
	}
}

// learn takes a descriptor of the peer, if it is newer than what is held. It
// has been checked to be the peer's.
func (p *Peer) learn(now time.Time, d *identity.Device) {
	if d == nil || d.ID() != p.cfg.ID {
		return
	}
	if p.device != nil && d.Updated() <= p.device.Updated() {
		return
	}
	p.device = d
	if p.attempt != nil {
		p.addEndpoints(now, d.Endpoints(), path.OriginDescriptor)
	}
}

// shutDown ends everything, on the owner goroutine.
func (p *Peer) shutDown(now time.Time) {
	p.failAttempt(ErrClosed)
	p.sendGoodbye(now)
	p.cancel()
	for _, ch := range p.channels.all() {
		ch.conn.silent = p.leaving
		p.endConnection(ch.conn, ErrClosed)
	}
	p.exchange.Close()
	p.dropEarly()
	p.dropFresh()
	p.dropRelays(now)
	p.routes.clear()
	p.publish()
	p.workers.Wait()
}

package snclient

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/underlay"
)

// Config says which SN to be a client of, as whom, and through what. All fields
// without a stated default are required.
type Config struct {
	Local   *noise.Local
	Ref     identity.Ref     // who the SN is, and where
	Network underlay.Network // resolves the host of Ref
	// Send sends one control packet; an error concerns that packet only, for
	// instance because there is no socket of the address's family. It must not
	// block and not retain b. It is called from several goroutines.
	Send    func(to netip.AddrPort, b []byte) error
	Indices noise.Indices // receiver indices that lead to HandleControl
	Stamper *noise.Stamper
	// Instance names this process to the SN: random, the same at all SNs.
	Instance   uint64
	Visibility wire.Visibility // default: everyone
	// Candidates returns where the device may be reached beside where the SN
	// sees it, best first. It is called from the owner goroutine, at each
	// Register; nil: none.
	Candidates func() []wire.Candidate
	// KeepAlive returns the time between pings; 0, or nil: as the SN asks. It is
	// called from the owner goroutine before each.
	KeepAlive func() time.Duration
	// Inbox is how many packets may wait for the owner; 0: 256. A flood from the
	// SN's address, true or forged, is cut off there. Each takes 40 bytes from the start.
	Inbox   int
	Handler Handler      // what to tell; nil: nothing
	Logger  *slog.Logger // nil: discard
}

// A Handler is told what happens at an SN. Its methods are called from the
// client's owner goroutine and must not block, nor call Close; slices are valid
// only during the call.
type Handler interface {
	// HandleCalled is called once for each call. m.Candidates begins with where
	// the SN sees the caller, if the caller shows that. The initiation or device
	// in m is as unverified as if the caller had sent it directly.
	HandleCalled(c *Client, m wire.Called)
	// HandleSignalled hands over a control packet from a device, forwarded.
	HandleSignalled(c *Client, from identity.ID, packet []byte)
	// HandleState is called at every change of state but Close, and in state
	// Online once more when the observed address changes.
	HandleState(c *Client, s State)
}

// inboxLimit is the default of Config.Inbox.
const inboxLimit = 256

// A Client is a device's membership at one SN. Its methods may be called
// concurrently.
type Client struct {
	cfg Config
	log *slog.Logger

	inbox      chan inbound
	asked      atomic.Pointer[[8]byte] // nonce of the Describe under way; nil: none
	reregister chan struct{}           // holds one
	uploading  chan struct{}           // holds one while an object is published in parts
	rehome     chan struct{}           // holds one
	suspicion  chan struct{}           // holds one
	cancel     context.CancelFunc
	done       chan struct{} // closed when the owner has returned
	closeOnce  sync.Once

	// Written by the owner, read by all.
	servers    atomic.Pointer[[]netip.AddrPort] // where the SN may be
	server     atomic.Pointer[identity.Device]
	link       atomic.Pointer[link] // nil unless online
	observed   atomic.Pointer[netip.AddrPort]
	rtt        atomic.Int64 // smoothed, in nanoseconds; 0: unknown
	admissions atomic.Uint64

	repeats atomic.Uint64

	mu      sync.Mutex
	state   State
	moving  bool          // online, but not yet heard from where the device is now
	changed chan struct{} // closed when state or moving changes

	requests requests
}

// An inbound is a packet on its way to the owner, who gives b back to packets.
type inbound struct {
	b    *[]byte
	from netip.AddrPort
}

// A link is how to reach the SN while online.
type link struct {
	assoc *noise.Association
	to    netip.AddrPort
}

// packets recycles the buffers of packets on their way to the owner, and of
// those that are sent.
var packets = sync.Pool{New: func() any {
	b := make([]byte, 0, wire.MaxPacket)
	return &b
}}

// New returns a client that does nothing until Start.
func New(cfg Config) *Client {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Candidates == nil {
		cfg.Candidates = func() []wire.Candidate { return nil }
	}
	if cfg.KeepAlive == nil {
		cfg.KeepAlive = func() time.Duration { return 0 }
	}
	if cfg.Handler == nil {
		cfg.Handler = noHandler{}
	}
	if cfg.Inbox <= 0 {
		cfg.Inbox = inboxLimit
	}
	return &Client{
		cfg:        cfg,
		log:        cfg.Logger.With("sn", cfg.Ref.ID.Short()),
		inbox:      make(chan inbound, cfg.Inbox),
		reregister: make(chan struct{}, 1),
		uploading:  make(chan struct{}, 1),
		rehome:     make(chan struct{}, 1),
		suspicion:  make(chan struct{}, 1),
		done:       make(chan struct{}),
		changed:    make(chan struct{}),
		requests:   newRequests(),
	}
}

// noHandler is told, and keeps it to itself.
type noHandler struct{}

func (noHandler) HandleCalled(*Client, wire.Called)            {}
func (noHandler) HandleSignalled(*Client, identity.ID, []byte) {}
func (noHandler) HandleState(*Client, State)                   {}

// Start begins to come online, and to stay so until ctx ends or Close. It must be
// called once.
func (c *Client) Start(ctx context.Context) {
	ctx, c.cancel = context.WithCancel(ctx)
	go newOwner(c).run(ctx)
}

// Close says goodbye to the SN, which forgets the device at once, or in time if
// that is lost, and waits for the owner. Requests under way fail with ErrClosed.
func (c *Client) Close() error {
	c.closeOnce.Do(func() {
		if c.cancel == nil { // not started
			c.setState(Closed)
			close(c.done)
			return
		}
		c.cancel()
		<-c.done
	})
	return nil
}

// HandleControl takes a control packet that came from an address and may be for
// this client: a Response, CookieReply or Sealed with one of its receiver indices,
// or any Hint or Described. It copies what it keeps and does not block; what is
// not from the SN is ignored.
func (c *Client) HandleControl(b []byte, from netip.AddrPort) {
	if len(b) > wire.MaxPacket || !c.isServer(from) || !c.expects(b) {
		return
	}
	p := packets.Get().(*[]byte)
	*p = append((*p)[:0], b...)
	select {
	case c.inbox <- inbound{p, from}:
	default:
		packets.Put(p)
	}
}

// expects reports whether a packet may be more than a forgery, as far as that can be
// told at once: what anybody can make in the SN's name must not fill the inbox.
func (c *Client) expects(b []byte) bool {
	t, err := wire.ControlType(b)
	if err != nil {
		return false
	}
	switch t {
	case wire.TypeHint:
		m, err := wire.ParseHint(b)
		l := c.link.Load()
		return err == nil && l != nil && l.assoc.RemoteIndex() == m.Receiver
	case wire.TypeDescribed:
		m, err := wire.ParseDescribed(b)
		nonce := c.asked.Load()
		return err == nil && nonce != nil && *nonce == m.Nonce
	}
	return true
}

// isServer reports whether the SN may be at an address.
func (c *Client) isServer(a netip.AddrPort) bool {
	servers := c.servers.Load()
	if servers == nil {
		return false
	}
	for _, s := range *servers {
		if s == a {
			return true
		}
	}
	return false
}

// Reregister tells the client that the device's candidates or descriptor have
// changed, or that it is to come back though it was superseded. It does not
// block.
func (c *Client) Reregister() { nudge(c.reregister) }

// Rehome tells the client that the device may be at another network. It registers
// from there at once, at all addresses of the SN, and shakes hands again if
// nothing has come of that after about a second; if it is offline it starts over at
// once. It does not block.
func (c *Client) Rehome() { nudge(c.rehome) }

// Check has the SN pinged at once: it has left something unanswered, or may see the
// device elsewhere now. It does not block.
func (c *Client) Check() { nudge(c.suspicion) }

// nudge leaves a value in a channel that holds one.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Ref returns which SN it is.
func (c *Client) Ref() identity.Ref { return c.cfg.Ref }

// Server returns the SN's descriptor, nil until it is known.
func (c *Client) Server() *identity.Device { return c.server.Load() }

// Observed returns where the SN sees the device, the zero AddrPort until it is
// known.
func (c *Client) Observed() netip.AddrPort {
	if a := c.observed.Load(); a != nil {
		return *a
	}
	return netip.AddrPort{}
}

// Admissions returns how often the SN has registered the device under new keys. When
// it grows, the SN may have been restarted, and know nothing any more that was
// published there.
func (c *Client) Admissions() uint64 { return c.admissions.Load() }

// Repeats returns how many packets were sent again, since the start, because no
// answer came in time.
func (c *Client) Repeats() uint64 { return c.repeats.Load() }

// RTT returns the smoothed round trip to the SN, 0 until it is known.
func (c *Client) RTT() time.Duration { return time.Duration(c.rtt.Load()) }

// State returns the present state.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Online reports whether the SN serves the client, and hears it where the device
// is now.
func (c *Client) Online() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == Online && !c.moving
}

// WaitOnline waits until the client is online, and after Rehome until the SN has
// heard it from there. The error is ctx's, ErrSuperseded or ErrClosed.
func (c *Client) WaitOnline(ctx context.Context) error {
	for {
		c.mu.Lock()
		state, moving, changed := c.state, c.moving, c.changed
		c.mu.Unlock()
		switch {
		case state == Online && !moving:
			return nil
		case state == Superseded:
			return ErrSuperseded
		case state == Closed:
			return ErrClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// setState makes every transition, and reports whether it was one.
func (c *Client) setState(s State) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == s {
		return false
	}
	c.state, c.moving = s, false
	c.tellLocked()
	return true
}

// setMoving says whether the SN is still to be heard from where the device is now.
func (c *Client) setMoving(moving bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.moving != moving {
		c.moving = moving
		c.tellLocked()
	}
}

// tellLocked wakes those who wait for a change.
func (c *Client) tellLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// A message is what is put into a Sealed packet.
type message interface{ Append(b []byte) []byte }

// sendMessage seals a message and sends it.
func (c *Client) sendMessage(l link, m message) error {
	msg := packets.Get().(*[]byte)
	pkt := packets.Get().(*[]byte)
	defer packets.Put(msg)
	defer packets.Put(pkt)
	*msg = m.Append((*msg)[:0])
	b, err := l.assoc.Seal((*pkt)[:0], *msg, time.Now())
	if err != nil {
		return err
	}
	*pkt = b
	return c.cfg.Send(l.to, b)
}

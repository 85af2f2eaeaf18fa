package pnclient

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/jitter"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/underlay"
)

// Config says which PN to be a client of, as whom, and through what. All fields
// without a stated default are required.
type Config struct {
	Local   *noise.Local
	Ref     identity.Ref     // who the PN is, and where
	Network underlay.Network // resolves the host of Ref
	// Send sends one control packet; an error concerns that packet only. It must not
	// block and not retain b. It is called from several goroutines.
	Send func(to netip.AddrPort, b []byte) error
	// SendRun sends packets as [socket.Socket.SendRun] does, from several goroutines, by the
	// socket that Send uses for the address: the PN forwards from one place only.
	SendRun func(to netip.AddrPort, b []byte, segmentSize int, ecn uint8) error
	// SetRelay has the relayed packets that come from an address go to a sink, and
	// DeleteRelay undoes that, as the methods of [socket.Socket] do.
	SetRelay, DeleteRelay func(from netip.AddrPort, sink socket.Sink)
	Indices               noise.Indices // receiver indices that lead to HandleControl
	Stamper               *noise.Stamper
	// KeepAlive returns the time between pings; 0, or nil: 25 s. It is called from the
	// owner goroutine before each.
	KeepAlive func() time.Duration
	// HandleState is told of every change of state but Close, from the owner goroutine. It must
	// not block, nor call Close. nil: nobody is.
	HandleState func(*Client, State)
	// Inbox is how many packets may wait for the owner; 0: 64.
	Inbox  int
	Logger *slog.Logger // nil: discard
}

// inboxLimit is the default of Config.Inbox.
const inboxLimit = 64

// A Client is a device at one PN. Its methods may be called concurrently.
type Client struct {
	cfg Config
	log *slog.Logger

	inbox     chan inbound
	asked     atomic.Pointer[[8]byte] // nonce of the Describe under way; nil: none
	rehome    chan struct{}           // holds one
	suspicion chan struct{}           // holds one
	changed   chan struct{}           // holds one: a binding was added or closed
	cancel    context.CancelFunc
	done      chan struct{} // closed when the owner has returned
	closeOnce sync.Once

	// Written by the owner, read by all.
	servers  atomic.Pointer[[]netip.AddrPort] // where the PN may be
	server   atomic.Pointer[identity.Device]
	link     atomic.Pointer[link] // nil while offline
	observed atomic.Pointer[netip.AddrPort]
	rtt      atomic.Int64  // smoothed, in nanoseconds; 0: unknown
	requests atomic.Uint32 // the last number
	failed   atomic.Bool   // the last try to come online has
	pace     pacer         // of Binds

	// bindings is replaced whole by who holds mu: the reader of a socket looks at it for each run.
	bindings atomic.Pointer[map[wire.Tag]*Binding]

	mu    sync.Mutex
	state State
	moved chan struct{} // closed when state changes
}

// An inbound is a packet on its way to the owner, who gives b back to packets.
type inbound struct {
	b    *[]byte
	from netip.AddrPort
}

// A link is how to reach the PN while online.
type link struct {
	assoc *noise.Association
	to    netip.AddrPort
}

// packets recycles the buffers of control packets.
var packets = sync.Pool{New: func() any {
	b := make([]byte, 0, wire.MaxPacket)
	return &b
}}

// New returns a client that does nothing until Start.
func New(cfg Config) *Client {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.KeepAlive == nil {
		cfg.KeepAlive = func() time.Duration { return 0 }
	}
	if cfg.HandleState == nil {
		cfg.HandleState = func(*Client, State) {}
	}
	if cfg.Inbox <= 0 {
		cfg.Inbox = inboxLimit
	}
	c := &Client{
		cfg:       cfg,
		log:       cfg.Logger.With("pn", cfg.Ref.ID.Short()),
		inbox:     make(chan inbound, cfg.Inbox),
		rehome:    make(chan struct{}, 1),
		suspicion: make(chan struct{}, 1),
		changed:   make(chan struct{}, 1),
		done:      make(chan struct{}),
		moved:     make(chan struct{}),
	}
	c.bindings.Store(&map[wire.Tag]*Binding{})
	c.requests.Store(uint32(jitter.Uint64()))
	return c
}

// Start begins to come online, and to stay so until ctx ends or Close. It must be
// called once.
func (c *Client) Start(ctx context.Context) {
	ctx, c.cancel = context.WithCancel(ctx)
	go newOwner(c).run(ctx)
}

// Close says goodbye to the PN, which ends the bindings, or in time if that is lost, and
// waits for the owner.
func (c *Client) Close() error {
	c.closeOnce.Do(func() {
		if c.cancel == nil { // not started
			c.setState(Closed)
			c.endAll(ErrClosed)
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
// not from the PN is ignored.
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
// told at once: what anybody can make in the PN's name must not fill the inbox.
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

// isServer reports whether the PN may be at an address.
func (c *Client) isServer(a netip.AddrPort) bool {
	servers := c.servers.Load()
	return servers != nil && slices.Contains(*servers, a)
}

// Rehome tells the client that the device may be at another network. It pings from
// there at once, and shakes hands again if nothing has come of that; if it is offline it
// starts over at once. It does not block.
func (c *Client) Rehome() { nudge(c.rehome) }

// Check has the PN pinged at once: something that was sent through it has not come
// back. It does not block.
func (c *Client) Check() { nudge(c.suspicion) }

// nudge leaves a value in a channel that holds one.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Ref returns which PN it is.
func (c *Client) Ref() identity.Ref { return c.cfg.Ref }

// Addr returns the PN's address in use, the zero AddrPort while offline.
func (c *Client) Addr() netip.AddrPort {
	if l := c.link.Load(); l != nil {
		return l.to
	}
	return netip.AddrPort{}
}

// Observed returns where the PN sees the device, the zero AddrPort until it is
// known.
func (c *Client) Observed() netip.AddrPort {
	if a := c.observed.Load(); a != nil {
		return *a
	}
	return netip.AddrPort{}
}

// RTT returns the smoothed round trip to the PN, 0 until it is known.
func (c *Client) RTT() time.Duration { return time.Duration(c.rtt.Load()) }

// State returns the present state.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Bindings returns how many bindings there are.
func (c *Client) Bindings() int { return len(*c.bindings.Load()) }

// Fresh reports whether the client has not failed to come online yet.
func (c *Client) Fresh() bool { return c.State() == Offline && !c.failed.Load() }

// WaitOnline waits until the client is online. The error is ctx's or ErrClosed.
func (c *Client) WaitOnline(ctx context.Context) error {
	for {
		c.mu.Lock()
		state, moved := c.state, c.moved
		c.mu.Unlock()
		switch state {
		case Online, Draining:
			return nil
		case Closed:
			return ErrClosed
		}
		select {
		case <-moved:
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
	c.state = s
	close(c.moved)
	c.moved = make(chan struct{})
	return true
}

// number returns a request number that is not in use, and not 0: that is not asked for.
func (c *Client) number() uint32 {
	for {
		if n := c.requests.Add(1); n != 0 {
			return n
		}
	}
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

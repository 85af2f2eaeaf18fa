package netsim

import (
	"fmt"
	"time"
)

// A LinkConfig describes a link, in both directions unless Down says otherwise. A
// packet propagates first; then the fields below act in the order in which they stand
// here, and Rate, its queue and MTU as their comments say. All that is random comes
// from the seed, packet by packet of a flow: see docs/netsim/determinism.md.
type LinkConfig struct {
	Delay time.Duration   // one-way propagation
	Loss  float64         // probability that a packet is lost, 0 to 1
	Burst *GilbertElliott // loss that comes in bursts, beside Loss; nil: none

	Rate         int64 // bits of IP packet per second, 0: unlimited
	Queue        int   // bytes that may wait for a limited Rate; 0: see QueuePackets
	QueuePackets int   // packets that may wait for a limited Rate; if both are 0: 100 ms worth of bytes, at least 32 KiB; with CoDel 1,000 packets
	CoDel        bool  // the queue drops, or marks with ECN, what has waited too long (RFC 8289)

	Jitter    time.Duration // added to each packet, uniform in [0, Jitter); reorders
	Reorder   float64       // probability that a packet is held back, so that later ones overtake it
	ReorderBy time.Duration // how long it is; 0: 10 ms
	Duplicate float64       // probability that a packet arrives twice, its copy right behind it

	// Corrupt is the probability that a bit of a packet is wrong. Most errors are
	// found by the checksum of UDP or TCP, at the host that receives the packet. The
	// share CorruptUndetected is not: there the bit, one of the data, reaches the socket.
	Corrupt           float64
	CorruptUndetected float64

	MTU    int  // bytes of IP packet, 0: 1500
	NoICMP bool // what is too large is dropped in silence: a black hole (RFC 2923 §2.1)

	// Down, if it is not nil, is the way down, from the upper node that Connect was
	// given to the lower one. Its MTU is the same if it is 0; all else is its own.
	Down *LinkConfig
}

const (
	defaultMTU       = 1500
	minMTU           = 68    // RFC 791 §3.2
	maxMTU           = 65535 // RFC 791 §3.1
	minQueue         = 32 << 10
	codelQueue       = 1000     // packets, as Linux's codel
	maxInFlight      = 64 << 20 // bytes on one direction of a link, queued or propagating
	maxRate          = 1e12
	maxLinkDelay     = 24 * time.Hour
	defaultReorderBy = 10 * time.Millisecond
)

// directions returns the two directions with the defaults filled in, and refuses what
// makes no sense.
func (c LinkConfig) directions() (up, down LinkConfig, err error) {
	other := c.Down
	c.Down = nil
	if up, err = c.normalize(); err != nil || other == nil {
		return up, up, err
	}
	down = *other
	if down.Down != nil {
		return up, down, fmt.Errorf("the way down has a way down of its own")
	}
	if down.MTU == 0 {
		down.MTU = c.MTU
	}
	if down, err = down.normalize(); err != nil {
		err = fmt.Errorf("way down: %w", err)
	}
	return up, down, err
}

// normalize fills in the defaults of one direction and refuses what makes no sense.
func (c LinkConfig) normalize() (LinkConfig, error) {
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"delay", c.Delay}, {"jitter", c.Jitter}, {"reordering by", c.ReorderBy}} {
		if d.value < 0 || d.value > maxLinkDelay {
			return c, fmt.Errorf("%s %v is not in 0 to %v", d.name, d.value, maxLinkDelay)
		}
	}
	for _, p := range []struct {
		name  string
		value float64
	}{{"loss", c.Loss}, {"reordering", c.Reorder}, {"duplication", c.Duplicate}, {"corruption", c.Corrupt}, {"undetected corruption", c.CorruptUndetected}} {
		if err := probability(p.name, p.value); err != nil {
			return c, err
		}
	}
	if c.Burst != nil {
		if err := c.Burst.check(); err != nil {
			return c, err
		}
		b := *c.Burst // the caller keeps its own
		c.Burst = &b
	}
	switch {
	case c.Rate < 0 || c.Rate > maxRate:
		return c, fmt.Errorf("rate %d is not in 0 to %d bit/s", c.Rate, int64(maxRate))
	case c.Queue < 0:
		return c, fmt.Errorf("queue %d is negative", c.Queue)
	case c.QueuePackets < 0:
		return c, fmt.Errorf("queue of %d packets is negative", c.QueuePackets)
	case c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU):
		return c, fmt.Errorf("MTU %d is not in %d to %d", c.MTU, minMTU, maxMTU)
	}
	if c.MTU == 0 {
		c.MTU = defaultMTU
	}
	if c.ReorderBy == 0 {
		c.ReorderBy = defaultReorderBy
	}
	switch {
	case c.Queue > 0 || c.QueuePackets > 0:
	case c.CoDel:
		c.QueuePackets = codelQueue
	default:
		c.Queue = max(minQueue, int(c.Rate/8/10))
	}
	return c, nil
}

// probability reports an error if p is none.
func probability(name string, p float64) error {
	if !(p >= 0 && p <= 1) { // also catches NaN
		return fmt.Errorf("%s %v is not in 0 to 1", name, p)
	}
	return nil
}

// A Link joins two nodes. Its methods may be called at any time, from anywhere.
type Link struct {
	net      *Network
	isDown   bool
	tamper   func(Packet, func(Packet, time.Duration))
	up, down *pipe // from the lower node to the upper, and back
}

func (n *Network) newLink(low, up Node, there, back LinkConfig) *Link {
	l := &Link{net: n}
	l.up, l.down = n.newPipe(l, low, up, there), n.newPipe(l, up, low, back)
	return l
}

// Set gives the link another configuration: for packets sent from now on, and for
// those on the way as far as they have not met a decision yet. Those that wait for
// the rate keep their place. What is random goes on where it was.
func (l *Link) Set(cfg LinkConfig) error {
	up, down, err := cfg.directions()
	if err != nil {
		return fmt.Errorf("netsim: set link %v: %w", l, err)
	}
	l.set(func(c *LinkConfig) { *c = up }, func(c *LinkConfig) { *c = down })
	return nil
}

// set changes the way up and the way down.
func (l *Link) set(up, down func(*LinkConfig)) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	up(&l.up.cfg)
	down(&l.down.cfg)
	l.up.setPlain()
	l.down.setPlain()
}

// Config returns the configuration as it is now, with the defaults filled in. Down is
// the way down, even where it is as the way up.
func (l *Link) Config() LinkConfig {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	up, down := l.up.cfg, l.down.cfg
	up.Down = &down
	return up
}

// SetDown cuts the link or mends it. A cut link loses what is sent on it and
// what arrives while it is cut. A host at either end is told, and uses another
// of its links by default if it has one; other nodes are not told.
func (l *Link) SetDown(down bool) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	if l.isDown == down {
		return
	}
	l.isDown = down
	for _, end := range []Node{l.up.from, l.up.to} {
		if h, ok := end.(*Host); ok {
			h.reroute()
			h.changed()
		}
	}
}

// SetLoss sets the probability of loss in both directions, clamped to 0 to 1.
func (l *Link) SetLoss(loss float64) {
	f := func(c *LinkConfig) { c.Loss = min(max(loss, 0), 1) }
	l.set(f, f)
}

// SetDelay sets the propagation delay, in both directions, of packets sent from now
// on. They do not overtake earlier ones.
func (l *Link) SetDelay(d time.Duration) {
	f := func(c *LinkConfig) { c.Delay = min(max(d, 0), maxLinkDelay) }
	l.set(f, f)
}

// SetMTU sets the MTU in both directions, clamped to 68 to 65,535 bytes of IP packet,
// for packets sent from now on. A host at either end sees it on its interface.
func (l *Link) SetMTU(mtu int) {
	f := func(c *LinkConfig) { c.MTU = min(max(mtu, minMTU), maxMTU) }
	l.set(f, f)
}

// SetTamper puts f in charge of every packet that arrives, in both directions,
// before loss, queue and jitter. f owns the packet it is given. What it emits
// goes on, in the packet's direction, after a further delay; emit copies the
// data and may be called any number of times, also later and from elsewhere.
// f runs on the network's goroutine and must not block. nil removes it.
func (l *Link) SetTamper(f func(p Packet, emit func(p Packet, delay time.Duration))) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	l.tamper = f
}

// Stats returns what has happened on the way up, from the lower node that
// Connect was given to the upper one, and on the way down.
func (l *Link) Stats() (up, down Stats) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	return l.up.stats, l.down.stats
}

// String names the link by its ends.
func (l *Link) String() string {
	return l.up.from.Name() + "-" + l.up.to.Name()
}

package netsim

import (
	"bytes"
	"fmt"
	"math"
	"time"
)

// A LinkConfig describes a link. Both directions are alike.
type LinkConfig struct {
	Delay  time.Duration // one-way propagation
	Jitter time.Duration // added to each packet, uniform in [0, Jitter); reorders
	Loss   float64       // probability that a packet is lost, 0 to 1
	Rate   int64         // bits of IP packet per second, 0: unlimited
	Queue  int           // bytes that may wait for a limited Rate; 0: 100 ms worth, at least 32 KiB
	MTU    int           // bytes of IP packet, 0: 1500
}

const (
	defaultMTU   = 1500
	minMTU       = 68    // RFC 791 §3.2
	maxMTU       = 65535 // RFC 791 §3.1
	minQueue     = 32 << 10
	maxInFlight  = 64 << 20 // bytes on one direction of a link, queued or propagating
	maxRate      = 1e12
	maxLinkDelay = 24 * time.Hour
)

// normalize fills in the defaults and refuses what makes no sense.
func (c LinkConfig) normalize() (LinkConfig, error) {
	switch {
	case c.Delay < 0 || c.Delay > maxLinkDelay:
		return c, fmt.Errorf("delay %v is not in 0 to %v", c.Delay, maxLinkDelay)
	case c.Jitter < 0 || c.Jitter > maxLinkDelay:
		return c, fmt.Errorf("jitter %v is not in 0 to %v", c.Jitter, maxLinkDelay)
	case !(c.Loss >= 0 && c.Loss <= 1): // also catches NaN
		return c, fmt.Errorf("loss %v is not in 0 to 1", c.Loss)
	case c.Rate < 0 || c.Rate > maxRate:
		return c, fmt.Errorf("rate %d is not in 0 to %d bit/s", c.Rate, int64(maxRate))
	case c.Queue < 0:
		return c, fmt.Errorf("queue %d is negative", c.Queue)
	case c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU):
		return c, fmt.Errorf("MTU %d is not in %d to %d", c.MTU, minMTU, maxMTU)
	}
	if c.MTU == 0 {
		c.MTU = defaultMTU
	}
	if c.Queue == 0 {
		c.Queue = max(minQueue, int(c.Rate/8/10))
	}
	return c, nil
}

// A Link joins two nodes. Its methods may be called at any time, from anywhere.
type Link struct {
	net      *Network
	cfg      LinkConfig
	isDown   bool
	tamper   func(Packet, func(Packet, time.Duration))
	up, down *pipe // from the lower node to the upper, and back
}

func (n *Network) newLink(low, up Node, cfg LinkConfig) *Link {
	l := &Link{net: n, cfg: cfg}
	l.up, l.down = n.newPipe(l, low, up), n.newPipe(l, up, low)
	return l
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

// SetLoss sets the probability of loss, clamped to 0 to 1.
func (l *Link) SetLoss(loss float64) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	l.cfg.Loss = min(max(loss, 0), 1)
}

// SetDelay sets the propagation delay of packets sent from now on. They do not
// overtake earlier ones.
func (l *Link) SetDelay(d time.Duration) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	l.cfg.Delay = min(max(d, 0), maxLinkDelay)
}

// SetMTU sets the MTU, clamped to 68 to 65,535 bytes of IP packet, for packets
// sent from now on. A host at either end sees it on its interface.
func (l *Link) SetMTU(mtu int) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	l.cfg.MTU = min(max(mtu, minMTU), maxMTU)
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

// A pipe is one direction of a link. The network's mutex guards it.
type pipe struct {
	link     *Link
	id       uint64 // by order of creation
	from, to Node
	stats    Stats
	last     time.Duration     // when the last packet sent will have propagated
	busy     time.Duration     // when a limited rate will have sent what it has
	inFlight int               // cost of the packets it holds
	ordinals map[uint64]uint64 // by flow: packets whose fate was drawn
	epoch    uint64            // how often ordinals was emptied
	emit     func(Packet, time.Duration)
}

// maxFlows bounds the flows whose ordinals a pipe remembers.
const maxFlows = 1 << 16

func (n *Network) newPipe(l *Link, from, to Node) *pipe {
	n.pipes++
	pi := &pipe{link: l, id: n.pipes, from: from, to: to}
	pi.emit = func(q Packet, d time.Duration) { n.inject(pi, q, d) }
	return pi
}

func (pi *pipe) record(f Fate, p *packet) {
	pi.stats.add(f, p)
	pi.link.net.event(f, pi.from.common(), pi.link, p, p.Src, p.Dst)
}

// take makes pi the holder of p, or drops p and reports false.
func (pi *pipe) take(p *packet) bool {
	f := Sent
	switch {
	case pi.link.isDown:
		f = DropDown
	case p.Size() > pi.link.cfg.MTU:
		f = DropMTU
	case pi.inFlight+p.cost() > maxInFlight:
		f = DropQueue
	}
	pi.record(f, p)
	if f != Sent {
		p.release()
		return false
	}
	pi.inFlight += p.cost()
	p.pipe = pi
	return true
}

func (pi *pipe) drop(f Fate, p *packet) {
	pi.inFlight -= p.cost()
	pi.record(f, p)
	p.release()
}

// send takes p and starts it on its way.
func (pi *pipe) send(p *packet) {
	if !pi.take(p) {
		return
	}
	n := pi.link.net
	pi.last = max(pi.last, n.at+pi.link.cfg.Delay)
	n.schedule(p, stageArrive, pi.last)
}

// inject puts a packet that a tamper function made on pi, d from now.
func (n *Network) inject(pi *pipe, q Packet, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	n.at = n.now()
	if p := newPacket(q); pi.take(p) {
		n.schedule(p, stageAdmit, n.at+min(max(d, 0), maxLinkDelay))
	}
	n.kick()
}

// advance moves p, which is due, to its next stage. It returns a call to be
// made without the lock when the tamper function is to have the packet.
func (pi *pipe) advance(p *packet) (call func()) {
	switch f := pi.link.tamper; {
	case pi.link.isDown:
		pi.drop(DropDown, p)
	case p.stage == stageArrive && f != nil:
		q := p.Packet
		q.Data = bytes.Clone(p.Data)
		pi.drop(Tampered, p)
		return func() { f(q, pi.emit) }
	case p.stage == stageDeliver:
		pi.deliver(p)
	default:
		pi.admit(p)
	}
	return nil
}

// admit decides between loss and a further wait for the queue and for jitter.
func (pi *pipe) admit(p *packet) {
	n, c := pi.link.net, &pi.link.cfg
	due := n.at
	var draw uint64
	if c.Loss > 0 || c.Jitter > 0 {
		draw = pi.draw(p.flow)
	}
	if c.Loss > 0 && unit(mix(draw, 1)) < c.Loss {
		pi.drop(DropLoss, p)
		return
	}
	if c.Rate > 0 {
		var ok bool
		if due, ok = pi.enqueue(p.Size()); !ok {
			pi.drop(DropQueue, p)
			return
		}
	}
	if c.Jitter > 0 {
		due += fraction(mix(draw, 2), c.Jitter)
	}
	if due > n.at {
		n.schedule(p, stageDeliver, due)
		return
	}
	pi.deliver(p)
}

func (pi *pipe) deliver(p *packet) {
	pi.inFlight -= p.cost()
	pi.to.receive(p, pi)
}

// enqueue returns when size bytes will have left at the limited rate, unless
// the queue is full. The queue is a time, not a list: what waits is what the
// rate has yet to send. An idle link takes a packet of any size.
func (pi *pipe) enqueue(size int) (time.Duration, bool) {
	n, c := pi.link.net, &pi.link.cfg
	wait := max(0, pi.busy-n.at)
	took := time.Duration(int64(size) * 8 * int64(time.Second) / c.Rate) // 65,535 * 8e9 < 2^63
	room := time.Duration(min(float64(c.Queue)*8e9/float64(c.Rate), math.MaxInt64/4))
	if wait > 0 && wait+took > room {
		return 0, false
	}
	pi.busy = n.at + wait + took
	return pi.busy, true
}

// draw returns the number that decides the fate of the next packet of a flow.
func (pi *pipe) draw(flow uint64) uint64 {
	ord, known := pi.ordinals[flow]
	if !known && len(pi.ordinals) >= maxFlows {
		clear(pi.ordinals)
		pi.epoch++
	}
	if pi.ordinals == nil {
		pi.ordinals = make(map[uint64]uint64)
	}
	pi.ordinals[flow] = ord + 1
	return mix(pi.link.net.cfg.Seed, pi.id, pi.epoch, flow, ord)
}

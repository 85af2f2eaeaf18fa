package netsim

import (
	"bytes"
	"time"
)

// A pipe is one direction of a link. The network's mutex guards it.
type pipe struct {
	link     *Link
	cfg      LinkConfig // of this direction; Down is nil
	plain    bool       // nothing but delay and MTU: no decision at the far end
	id       uint64     // by order of creation
	from, to Node
	end      *base // of to
	stats    Stats
	last     time.Duration // when the last packet sent will have propagated
	inFlight int           // cost of the packets it holds
	train    train         // those that propagate
	tx       transmitter
	flows    map[uint64]*flow // that have met a random decision
	epoch    uint64           // how often flows was emptied
	emit     func(Packet, time.Duration)
}

func (n *Network) newPipe(l *Link, from, to Node, cfg LinkConfig) *pipe {
	n.pipes++
	pi := &pipe{link: l, cfg: cfg, id: n.pipes, from: from, to: to, end: to.common()}
	pi.setPlain()
	pi.emit = func(q Packet, d time.Duration) { n.inject(pi, q, d) }
	return pi
}

// setPlain computes plain after cfg has changed.
func (pi *pipe) setPlain() { pi.plain = pi.cfg.Rate == 0 && !pi.cfg.random() }

// back returns the other direction of the link.
func (pi *pipe) back() *pipe {
	if pi == pi.link.up {
		return pi.link.down
	}
	return pi.link.up
}

func (pi *pipe) record(f Fate, p *packet) {
	pi.stats.add(f, p)
	pi.link.net.event(f, pi.from.common(), pi, p, p.Src, p.Dst)
}

// take makes pi the holder of p, or drops p and reports false.
func (pi *pipe) take(p *packet) bool {
	f := Sent
	switch {
	case pi.link.isDown:
		f = DropDown
	case p.size > pi.cfg.MTU:
		f = DropMTU
	case pi.inFlight+p.cost() > maxInFlight:
		f = DropQueue
	}
	pi.record(f, p)
	if f != Sent {
		if f == DropMTU {
			pi.tooBig(p)
		}
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
	pi.last = max(pi.last, n.at+pi.cfg.Delay)
	pi.train.couple(n, p, pi.last)
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
	f, isDown := pi.link.tamper, pi.link.isDown
	switch {
	case p.stage == stageSent:
		if isDown {
			pi.drop(DropDown, p)
		} else {
			pi.leave(p)
		}
		pi.serve()
	case isDown:
		pi.drop(DropDown, p)
	case p.stage == stageArrive && f != nil:
		q := p.Packet
		q.Data = bytes.Clone(p.Data)
		pi.drop(Tampered, p)
		return func() { f(q, pi.emit) }
	case p.stage == stageDeliver || pi.plain && !pi.tx.busy:
		pi.deliver(p)
	default:
		pi.admit(p)
	}
	return nil
}

// admit decides between loss and the queue of a limited rate.
func (pi *pipe) admit(p *packet) {
	c := &pi.cfg
	p.draw = 0
	if c.random() {
		d := pi.draw(p.flow)
		p.draw = d.draw
		if c.Loss > 0 && unit(mix(p.draw, drawLoss)) < c.Loss || d.burst {
			pi.drop(DropLoss, p)
			return
		}
	}
	if c.Rate > 0 || pi.tx.busy {
		pi.enqueue(p)
		return
	}
	pi.leave(p)
}

// leave takes p from the queue, and decides on errors and a further wait.
func (pi *pipe) leave(p *packet) {
	n, c := pi.link.net, &pi.cfg
	due := n.at
	if p.draw == 0 {
		pi.deliver(p)
		return
	}
	if c.Jitter > 0 {
		due += fraction(mix(p.draw, drawJitter), c.Jitter)
	}
	if c.Reorder > 0 && unit(mix(p.draw, drawReorder)) < c.Reorder {
		due += c.ReorderBy
		pi.record(Reordered, p)
	}
	if c.Corrupt > 0 && unit(mix(p.draw, drawCorrupt)) < c.Corrupt {
		pi.corrupt(p)
	}
	if c.Duplicate > 0 && unit(mix(p.draw, drawDuplicate)) < c.Duplicate {
		defer n.schedule(pi.copy(p), stageDeliver, due)
	}
	if due > n.at {
		n.schedule(p, stageDeliver, due)
		return
	}
	pi.deliver(p)
}

// corrupt turns over a bit of p, or marks it as one that fails its checksum.
func (pi *pipe) corrupt(p *packet) {
	pi.record(Corrupted, p)
	if bits := uint64(len(p.Data)) * 8; bits > 0 && unit(mix(p.draw, drawUndetected)) < pi.cfg.CorruptUndetected {
		bit := mix(p.draw, drawBit) % bits
		p.Data[bit/8] ^= 1 << (bit % 8)
		return
	}
	p.damaged = true
}

// copy returns a second p, which pi holds, too.
func (pi *pipe) copy(p *packet) *packet {
	q := p.clone()
	q.pipe, q.draw = pi, p.draw
	pi.inFlight += q.cost()
	pi.record(Duplicated, q)
	return q
}

func (pi *pipe) deliver(p *packet) {
	pi.inFlight -= p.cost()
	if pi.end.off > pi.link.net.at {
		pi.end.drop(DropDown, p, pi)
		return
	}
	pi.to.receive(p, pi)
}

package netsim

import "time"

// A transmitter sends what a pipe of limited rate has to send, one packet after the
// other. What is to wait for it queues; what finds it idle is sent at once, whatever
// its size.
type transmitter struct {
	busy       bool
	until      time.Duration // busy: when the packet that is being sent will have left
	head, tail *packet       // those that wait
	packets    int           // of them
	bytes      int           // of them, as IP packets
	codel      codel
}

// push adds p to those that wait.
func (t *transmitter) push(p *packet) {
	if t.head == nil {
		t.head = p
	} else {
		t.tail.next = p
	}
	t.tail = p
	t.packets++
	t.bytes += p.size
}

// pop removes the first of those that wait, or returns nil.
func (t *transmitter) pop() *packet {
	p := t.head
	if p == nil {
		return nil
	}
	t.head, p.next = p.next, nil
	t.packets--
	t.bytes -= p.size
	return p
}

// enqueue sends p or has it wait, unless the queue is full. In bytes, what is left to
// send of the packet that is being sent counts as waiting.
func (pi *pipe) enqueue(p *packet) {
	n, c, t := pi.link.net, &pi.cfg, &pi.tx
	p.since = n.at
	if t.busy {
		left := float64(t.until-n.at) * float64(c.Rate) / 8e9
		full := c.Queue > 0 && left+float64(t.bytes+p.size) > float64(c.Queue) ||
			c.QueuePackets > 0 && t.packets >= c.QueuePackets
		if full && c.Rate > 0 {
			pi.drop(DropQueue, p)
			return
		}
	}
	t.push(p)
	if !t.busy {
		pi.serve()
	}
}

// serve sends the next packet that waits, if there is one.
func (pi *pipe) serve() {
	n, c, t := pi.link.net, &pi.cfg, &pi.tx
	var p *packet
	if c.CoDel {
		p = pi.dequeue()
	} else {
		p = t.pop()
	}
	if t.busy = p != nil; !t.busy {
		return
	}
	t.until = n.at
	if c.Rate > 0 { // the limit may have been lifted meanwhile
		t.until += time.Duration(int64(p.size) * 8 * int64(time.Second) / c.Rate) // 65,535 * 8e9 < 2^63
	}
	n.schedule(p, stageSent, t.until)
}

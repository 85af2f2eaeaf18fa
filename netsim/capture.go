package netsim

import "bytes"

// A Capture is an event with the packet that it happened to.
type Capture struct {
	Event
	// ID is the packet's: it keeps it from the host that sends it to where it ends, through
	// all nodes. A copy has another. The first captured has 1.
	ID     uint64
	Up     bool   // it moves from the lower node of Link to the upper one
	Packet Packet // as it was then; nobody else holds its Data
}

// Capture has f called with every event and its packet, as [Network.Trace] does with the
// event alone; nil stops it. f must not block, send, or close the network. Both can be on at a
// time. Nothing is copied while neither is.
func (n *Network) Capture(f func(Capture)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.outbox.capture = f
}

// An outbox is what is to be told of without the lock.
type outbox struct {
	trace    func(Event)
	capture  func(Capture)
	events   []Event // for trace
	captures []Capture
	call     func() // of a tamper function or a timer
}

// waiting returns how many events wait.
func (o *outbox) waiting() int { return max(len(o.events), len(o.captures)) }

// add queues an event.
func (o *outbox) add(e Event, on *pipe, p *packet) {
	if o.trace != nil {
		o.events = append(o.events, e)
	}
	if o.capture != nil {
		c := Capture{Event: e, ID: p.id, Up: on == on.link.up, Packet: p.Packet}
		c.Packet.Data = bytes.Clone(p.Data)
		o.captures = append(o.captures, c)
	}
}

// take moves what waits to full, whose memory it takes over: two outboxes take turns.
func (o *outbox) take(full *outbox) {
	if o.trace == nil && o.capture == nil {
		*o, *full = outbox{}, outbox{}
		return
	}
	full.trace, full.capture = o.trace, o.capture
	o.events, full.events = full.events[:0], o.events
	o.captures, full.captures = full.captures[:0], o.captures
	if o.trace == nil {
		full.events = nil
	}
	if o.capture == nil {
		full.captures = nil
	}
}

// tell calls those who are to be told.
func (o *outbox) tell() {
	for _, e := range o.events {
		o.trace(e)
	}
	for i := range o.captures {
		o.capture(o.captures[i])
		o.captures[i].Packet = Packet{} // it is the other's now
	}
	if o.call != nil {
		o.call()
	}
}

// Ends returns the nodes that the link joins, as [Network.Connect] was given them.
func (l *Link) Ends() (low, up Node) { return l.up.from, l.up.to }

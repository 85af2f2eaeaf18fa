package netsim

import (
	"fmt"
	"net/netip"
	"time"
)

// A Fate is one thing that happens to a packet. A packet meets several on its way.
type Fate uint8

// The fates of a packet on a link come first, then those at a node.
const (
	Sent       Fate = iota // entered a link
	Tampered               // was taken off a link by its tamper function
	DropDown               // the link was down, or the node at its end was restarting
	DropMTU                // larger than the link's MTU
	DropLoss               // lost at random, alone or in a burst
	DropQueue              // the link's queue was full
	DropCoDel              // waited too long in the link's queue (RFC 8289)
	Marked                 // the same, but was marked as such (RFC 3168) and goes on
	Reordered              // was held back
	Corrupted              // a bit was turned over
	Duplicated             // is a copy that the link made

	Delivered   // entered the receive queue of a socket
	Translated  // passed a NAT or firewall
	DropTTL     // hop limit used up
	DropNoRoute // no route to the destination
	DropFilter  // unsolicited at a NAT or firewall, or hairpinned where that is off
	DropFull    // a NAT had no mapping or port left
	DropClosed  // no socket was bound to the destination
	DropBuffer  // the socket's receive queue was full

	DropChecksum // a bit was wrong, as the checksum told
	DropRate     // beyond the rate that a firewall lets pass

	numFates
)

var fateNames = [numFates]string{
	"sent", "tampered", "down", "mtu", "loss", "queue", "codel", "marked", "reordered", "corrupted", "duplicated",
	"delivered", "translated", "ttl", "no route", "filter", "full", "closed", "buffer", "checksum", "rate",
}

// String returns a short name, such as "loss".
func (f Fate) String() string {
	if f < numFates {
		return fateNames[f]
	}
	return fmt.Sprintf("fate %d", uint8(f))
}

// Stats counts fates, each indexed by [Fate].
type Stats struct {
	Packets [numFates]uint64
	Bytes   [numFates]uint64 // of IP packets
}

func (s *Stats) add(f Fate, p *packet) {
	s.Packets[f]++
	s.Bytes[f] += uint64(p.size)
}

// An Event is one fate of one packet.
type Event struct {
	Time     time.Duration // since New
	Fate     Fate
	Node     string // the node where it happened; for a fate on a link, the sender
	Link     *Link  // the link that carries or, at a node, brought the packet
	Proto    Protocol
	Src, Dst netip.AddrPort
	OldSrc   netip.AddrPort // Translated: the source before
	OldDst   netip.AddrPort // Translated: the destination before
	HopLimit uint8
	ECN      uint8
	Size     int // bytes of the IP packet
}

// String renders e on one line.
func (e Event) String() string {
	s := fmt.Sprintf("%v %s %v: %v %s > %s ttl %d, %d bytes", e.Time, e.Node, e.Fate, e.Proto, e.Src, e.Dst, e.HopLimit, e.Size)
	if e.Fate == Translated {
		s += fmt.Sprintf(" (was %s > %s)", e.OldSrc, e.OldDst)
	}
	return s
}

// maxPending bounds the events that wait for the trace and capture functions. Senders
// wait beyond it.
const maxPending = 1 << 16

// Trace has f called with every event, in order, on the network's own
// goroutine; nil stops it. f must not block, send, or close the network.
func (n *Network) Trace(f func(Event)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.outbox.trace = f
}

// event counts the fate of p in, and queues it for the trace and capture functions.
func (n *Network) event(f Fate, node *base, on *pipe, p *packet, oldSrc, oldDst netip.AddrPort) {
	n.addHash(n.at, f, on, p)
	if n.outbox.trace != nil || n.outbox.capture != nil {
		n.tell(f, node, on, p, oldSrc, oldDst)
	}
}

// tell queues the event for whoever wants to know.
func (n *Network) tell(f Fate, node *base, on *pipe, p *packet, oldSrc, oldDst netip.AddrPort) {
	if p.id == 0 {
		n.captured++
		p.id = n.captured
	}
	n.outbox.add(Event{
		Time: n.at, Fate: f, Node: node.name, Link: on.link, Proto: p.Proto, Src: p.Src, Dst: p.Dst,
		OldSrc: oldSrc, OldDst: oldDst, HopLimit: p.HopLimit, ECN: p.ECN, Size: p.size,
	}, on, p)
}

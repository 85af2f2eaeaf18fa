package socket

import (
	"encoding/binary"

	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/underlay"
)

// A class is what a packet is, by its first byte (docs/spec/wire.md §1).
//
// RFC 9443 section 2 divides the byte between protocols that share a port. We
// take three of its ranges; control packets use the upper part of DTLS's
// (20..63), which we never speak:
//
//	0..3                 STUN, if the magic cookie follows (RFC 8489 section 5)
//	32..63               control, of which 42 (0x2a) is relayed
//	64..127, 192..255    QUIC: the fixed bit (RFC 9000 section 17.2, 17.3)
//	else                 dropped
type class uint8

const (
	classMalformed class = iota
	classControl
	classSTUN
	classQUIC
	classRelayed
	numClasses
)

const (
	stunHeader = 20         // bytes (RFC 8489 section 5)
	stunCookie = 0x2112A442 // in bytes 4 to 7
	fixedBit   = 0x40
)

// classify tells the class of a packet, which may be anything.
func classify(b []byte) class {
	switch {
	case len(b) == 0:
		return classMalformed
	case b[0]&fixedBit != 0:
		return classQUIC
	case b[0] == byte(wire.TypeRelayed):
		return classRelayed
	case b[0]&0xe0 == 0x20:
		return classControl
	case b[0] <= 3 && len(b) >= stunHeader && binary.BigEndian.Uint32(b[4:]) == stunCookie:
		return classSTUN
	}
	return classMalformed
}

// A demux hands the entries of a batch to their receivers. It belongs to the
// reader goroutine.
type demux struct {
	s      *Socket
	cache  routeCache
	relays routeCache
}

// entry delivers what one entry holds, in order. The kernel coalesces packets
// of one flow by their sizes alone, so a run may hold packets of all classes;
// adjacent packets that are QUIC or relayed stay together.
func (d *demux) entry(e *underlay.Datagram) {
	b, size := e.Data, e.SegmentSize
	if size <= 0 || size > len(b) {
		size = len(b)
	}
	for {
		n := min(size, len(b))
		c := classify(b[:n])
		count := uint64(1)
		if c == classQUIC || c == classRelayed {
			for n < len(b) && classify(b[n:min(n+size, len(b))]) == c {
				n = min(n+size, len(b))
				count++
			}
		}
		d.deliver(c, b[:n:n], size, count, e)
		if b = b[n:]; len(b) == 0 {
			return
		}
	}
}

// deliver hands over b, which holds count packets of one class.
func (d *demux) deliver(c class, b []byte, size int, count uint64, e *underlay.Datagram) {
	s := d.s
	s.counters.received[c].add(count, len(b))
	switch c {
	case classControl:
		s.handler.HandleControl(s, b, e.Addr)
	case classSTUN:
		s.handler.HandleSTUN(s, b, e.Addr)
	case classQUIC:
		s.sink(d.cache.lookup(&s.routes, e.Addr), b, size, count, e.ECN)
	case classRelayed:
		s.sink(d.relays.lookup(&s.relays, e.Addr), b, size, count, e.ECN)
	}
}

// sink hands over b, which holds count packets, where it is routed to.
func (s *Socket) sink(to Sink, b []byte, size int, count uint64, ecn uint8) {
	if to == nil {
		s.counters.unrouted.Add(count)
		return
	}
	if count == 1 {
		size = 0
	}
	to.Deliver(b, size, ecn)
}

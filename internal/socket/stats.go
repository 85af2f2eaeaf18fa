package socket

import "sync/atomic"

// Stats are a socket's counters since it was opened.
type Stats struct {
	Received Traffic // by the class of the first byte
	Sent     Traffic

	DroppedUnrouted  uint64 // QUIC and relayed packets from a source without a route
	DroppedMalformed uint64 // packets of no known class
	SendErrors       uint64 // sends or runs that were refused or failed
}

// Traffic counts packets and their UDP payload.
type Traffic struct {
	Control, STUN, QUIC, Relayed Count
}

// A Count is a number of packets and the bytes of UDP payload in them.
type Count struct {
	Packets, Bytes uint64
}

type counters struct {
	received, sent [numClasses]counter
	unrouted       atomic.Uint64
	sendErrors     atomic.Uint64
}

type counter struct{ packets, bytes atomic.Uint64 }

func (c *counter) add(packets uint64, bytes int) {
	c.packets.Add(packets)
	c.bytes.Add(uint64(bytes))
}

func (c *counter) count() Count { return Count{c.packets.Load(), c.bytes.Load()} }

func (c *counters) snapshot() Stats {
	return Stats{
		Received:         traffic(&c.received),
		Sent:             traffic(&c.sent),
		DroppedUnrouted:  c.unrouted.Load(),
		DroppedMalformed: c.received[classMalformed].packets.Load(),
		SendErrors:       c.sendErrors.Load(),
	}
}

func traffic(c *[numClasses]counter) Traffic {
	return Traffic{
		Control: c[classControl].count(),
		STUN:    c[classSTUN].count(),
		QUIC:    c[classQUIC].count(),
		Relayed: c[classRelayed].count(),
	}
}

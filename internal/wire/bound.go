package wire

import "time"

// Bound answers a Bind, and tells the first of two devices when the other has come
// (spec §8, docs/spec/relay.md §2).
type Bound struct {
	Request uint32 // of the Bind; 0: not asked for
	Status  Status
	Ready   bool // both ends have bound: what is sent is forwarded
	Tag     Tag
	Idle    time.Duration // without a packet for so long the binding ends; whole seconds, at most 65,535
}

const flagReady = 0x01

// Append appends the message to b.
func (m *Bound) Append(b []byte) []byte {
	b = append(b, byte(MsgBound))
	b = appendUint32(b, m.Request)
	b = append(b, byte(m.Status), flag(m.Ready, flagReady))
	b = append(b, m.Tag[:]...)
	return appendUint16(b, uint16(min(max(m.Idle/time.Second, 0), 0xffff)))
}

// ParseBound parses a message.
func ParseBound(b []byte) (Bound, error) {
	var m Bound
	r := readMessage(b, MsgBound)
	m.Request = r.uint32()
	m.Status = Status(r.uint8())
	m.Ready = r.uint8()&flagReady != 0
	m.Tag = r.tag()
	m.Idle = time.Duration(r.uint16()) * time.Second
	return end(&r, m)
}

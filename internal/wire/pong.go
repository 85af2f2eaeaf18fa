package wire

import "net/netip"

// Pong answers a Ping (spec §6).
type Pong struct {
	Request    uint32         // of the Ping
	Reregister bool           // the SN does not hold the registration
	Observed   netip.AddrPort // where the SN sees the device; valid
}

const flagReregister = 0x01

// Append appends the message to b.
func (m *Pong) Append(b []byte) []byte {
	b = append(b, byte(MsgPong))
	b = appendUint32(b, m.Request)
	b = append(b, flag(m.Reregister, flagReregister))
	return appendAddr(b, m.Observed)
}

// ParsePong parses a message.
func ParsePong(b []byte) (Pong, error) {
	var m Pong
	r := readMessage(b, MsgPong)
	m.Request = r.uint32()
	m.Reregister = r.uint8()&flagReregister != 0
	m.Observed = r.addr()
	return end(&r, m)
}

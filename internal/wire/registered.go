package wire

import (
	"math"
	"net/netip"
	"time"
)

// Registered answers a Register (spec §6).
type Registered struct {
	Request  uint32 // of the Register
	Status   Status
	Observed netip.AddrPort // where the SN sees the device; valid
	Interval time.Duration  // between Pings; whole seconds on the wire, at most 18 hours
}

// Append appends the message to b.
func (m *Registered) Append(b []byte) []byte {
	b = append(b, byte(MsgRegistered))
	b = appendUint32(b, m.Request)
	b = append(b, byte(m.Status))
	b = appendAddr(b, m.Observed)
	return appendUint16(b, uint16(min(max(m.Interval/time.Second, 0), math.MaxUint16)))
}

// ParseRegistered parses a message.
func ParseRegistered(b []byte) (Registered, error) {
	var m Registered
	r := readMessage(b, MsgRegistered)
	m.Request = r.uint32()
	m.Status = Status(r.uint8())
	m.Observed = r.addr()
	m.Interval = time.Duration(r.uint16()) * time.Second
	return end(&r, m)
}

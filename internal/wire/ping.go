package wire

import "time"

// Ping keeps a registration and its NAT mapping alive (spec §6).
type Ping struct {
	Request  uint32        // chosen by the device, returned in the answer
	Instance uint64        // of the registration
	RTT      time.Duration // to the SN, as measured so far; 0: not yet; µs on the wire, at most 71 minutes
}

// Append appends the message to b.
func (m *Ping) Append(b []byte) []byte {
	b = append(b, byte(MsgPing))
	b = appendUint32(b, m.Request)
	b = appendUint64(b, m.Instance)
	return appendMicros(b, m.RTT)
}

// ParsePing parses a message.
func ParsePing(b []byte) (Ping, error) {
	var m Ping
	r := readMessage(b, MsgPing)
	m.Request = r.uint32()
	m.Instance = r.uint64()
	m.RTT = r.micros()
	return end(&r, m)
}

package wire

import "net/netip"

// ProbeReply answers a Probe, to where it came from (spec §5).
type ProbeReply struct {
	Token    uint64         // of the Probe
	Observed netip.AddrPort // where the Probe came from; valid
}

// Append appends the message to b.
func (m *ProbeReply) Append(b []byte) []byte {
	b = append(b, byte(MsgProbeReply))
	b = appendUint64(b, m.Token)
	return appendAddr(b, m.Observed)
}

// ParseProbeReply parses a message.
func ParseProbeReply(b []byte) (ProbeReply, error) {
	var m ProbeReply
	r := readMessage(b, MsgProbeReply)
	m.Token = r.uint64()
	m.Observed = r.addr()
	return end(&r, m)
}

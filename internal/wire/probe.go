package wire

// Probe asks whether a path works (spec §5, docs/spec/path.md §4).
type Probe struct {
	Token     uint64 // random; returned in the reply
	Nominated bool   // the sender uses this path for data
}

const flagNominated = 0x01

// The length of a Probe, in bytes (spec §5).
const (
	probeLen    = 28 // as sent: the length of the longest ProbeReply
	maxProbeLen = 68 // as accepted: 100, of which 32 go to sealing
)

// Append appends the message to b, padded so that no reply is longer.
func (m *Probe) Append(b []byte) []byte {
	start := len(b)
	b = append(b, byte(MsgProbe))
	b = appendUint64(b, m.Token)
	b = append(b, flag(m.Nominated, flagNominated))
	return append(b, make([]byte, start+probeLen-len(b))...)
}

// ParseProbe parses a message. What the padding holds does not matter.
func ParseProbe(b []byte) (Probe, error) {
	var m Probe
	r := readMessage(b, MsgProbe)
	r.atMost(maxProbeLen)
	m.Token = r.uint64()
	m.Nominated = r.uint8()&flagNominated != 0
	r.skip()
	return end(&r, m)
}

package wire

// Sounding asks whether a path carries packets as long as those of the session
// engines (spec §5, docs/spec/path.md §10). A ProbeReply answers it.
type Sounding struct {
	Token     uint64 // random; returned in the reply
	Nominated bool   // the sender uses this path for data
}

// soundingLen is the length of a Sounding in bytes, which sealing makes MaxPacket.
const soundingLen = MaxPacket - SealedOverhead

// Append appends the message to b.
func (m *Sounding) Append(b []byte) []byte {
	start := len(b)
	b = append(b, byte(MsgSounding))
	b = appendUint64(b, m.Token)
	b = append(b, flag(m.Nominated, flagNominated))
	return append(b, make([]byte, start+soundingLen-len(b))...)
}

// ParseSounding parses a message. What the padding holds does not matter; its length
// does, since it is what the message is about.
func ParseSounding(b []byte) (Sounding, error) {
	var m Sounding
	r := readMessage(b, MsgSounding)
	m.Token = r.uint64()
	m.Nominated = r.uint8()&flagNominated != 0
	r.take(soundingLen - 10) // type, token and flags come before
	return end(&r, m)
}

package wire

// Hint tells the sender of a Sealed packet that its receiver index is unknown
// here. It proves nothing (spec §2, docs/spec/handshake.md §8).
type Hint struct {
	Receiver uint32 // the unknown index
}

// Append appends the packet to b.
func (m *Hint) Append(b []byte) []byte {
	return appendUint32(appendHeader(b, TypeHint), m.Receiver)
}

// ParseHint parses a packet.
func ParseHint(b []byte) (Hint, error) {
	var m Hint
	r := readControl(b, TypeHint)
	m.Receiver = r.uint32()
	return end(&r, m)
}

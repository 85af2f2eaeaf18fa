package wire

// Described answers a Describe (spec §2).
type Described struct {
	Nonce  [8]byte // of the Describe
	Device []byte  // at most MaxDevice bytes; unchecked, like any descriptor from the network
}

// Append appends the packet to b.
func (m *Described) Append(b []byte) []byte {
	b = appendHeader(b, TypeDescribed)
	b = append(b, m.Nonce[:]...)
	return appendBytes(b, m.Device)
}

// ParseDescribed parses a packet. Device aliases b.
func ParseDescribed(b []byte) (Described, error) {
	var m Described
	r := readControl(b, TypeDescribed)
	copy(m.Nonce[:], r.take(8))
	m.Device = r.bytes(MaxDevice)
	return end(&r, m)
}

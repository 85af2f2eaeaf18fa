package wire

// Opener opens the sender's own NAT and should die on the way; who receives one
// ignores it (spec §2, docs/spec/path.md §3).
type Opener struct {
	Nonce [4]byte // random, so that no two are alike
}

// Append appends the packet to b.
func (m *Opener) Append(b []byte) []byte {
	return append(appendHeader(b, TypeOpener), m.Nonce[:]...)
}

// ParseOpener parses a packet. Anything after the nonce is ignored.
func ParseOpener(b []byte) (Opener, error) {
	var m Opener
	r := readControl(b, TypeOpener)
	copy(m.Nonce[:], r.take(4))
	r.skip()
	return end(&r, m)
}

package wire

// CookieReply answers an initiation under load, and asks to repeat it with a
// cookie (spec §2, docs/spec/handshake.md §2).
type CookieReply struct {
	Receiver uint32   // the initiation's Sender
	Nonce    [24]byte // of XChaCha20-Poly1305
	Sealed   [32]byte // cookie and tag
}

// Append appends the packet to b.
func (m *CookieReply) Append(b []byte) []byte {
	b = appendHeader(b, TypeCookieReply)
	b = appendUint32(b, m.Receiver)
	b = append(b, m.Nonce[:]...)
	return append(b, m.Sealed[:]...)
}

// ParseCookieReply parses a packet.
func ParseCookieReply(b []byte) (CookieReply, error) {
	var m CookieReply
	r := readControl(b, TypeCookieReply)
	m.Receiver = r.uint32()
	copy(m.Nonce[:], r.take(24))
	copy(m.Sealed[:], r.take(32))
	return end(&r, m)
}

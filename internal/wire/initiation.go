package wire

// Initiation begins a handshake: Noise message 1 (spec §2).
type Initiation struct {
	Sender uint32 // receiver index that the initiator wants to be answered at
	Noise  []byte // e, s and payload; 96 bytes at least

	// MAC1 covers all before it, MAC2 all before itself; MAC2 is zero without a
	// cookie (docs/spec/handshake.md §2). They are the packet's last MACsLen bytes.
	MAC1, MAC2 [16]byte
}

// Append appends the packet to b.
func (m *Initiation) Append(b []byte) []byte {
	b = appendHeader(b, TypeInitiation)
	b = appendUint32(b, m.Sender)
	b = append(b, m.Noise...)
	b = append(b, m.MAC1[:]...)
	return append(b, m.MAC2[:]...)
}

// ParseInitiation parses a packet. Noise aliases b.
func ParseInitiation(b []byte) (Initiation, error) {
	var m Initiation
	r := readControl(b, TypeInitiation)
	r.atMost(MaxInitiation)
	m.Sender = r.uint32()
	m.Noise = r.rest(MACsLen)
	copy(m.MAC1[:], r.take(16))
	copy(m.MAC2[:], r.take(16))
	return end(&r, m)
}

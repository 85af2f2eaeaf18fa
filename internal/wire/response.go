package wire

// Response ends a handshake: Noise message 2 (spec §2).
type Response struct {
	Sender   uint32 // receiver index that the responder wants to be reached at
	Receiver uint32 // the initiation's Sender
	Noise    []byte // e and payload; 48 bytes at least

	// MAC1 and MAC2 are as in [Initiation].
	MAC1, MAC2 [16]byte
}

// Append appends the packet to b.
func (m *Response) Append(b []byte) []byte {
	b = appendHeader(b, TypeResponse)
	b = appendUint32(b, m.Sender)
	b = appendUint32(b, m.Receiver)
	b = append(b, m.Noise...)
	b = append(b, m.MAC1[:]...)
	return append(b, m.MAC2[:]...)
}

// ParseResponse parses a packet. Noise aliases b.
func ParseResponse(b []byte) (Response, error) {
	var m Response
	r := readControl(b, TypeResponse)
	r.atMost(MaxResponse)
	m.Sender = r.uint32()
	m.Receiver = r.uint32()
	m.Noise = r.rest(MACsLen)
	copy(m.MAC1[:], r.take(16))
	copy(m.MAC2[:], r.take(16))
	return end(&r, m)
}

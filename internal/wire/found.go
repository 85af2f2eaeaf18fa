package wire

// Found answers a Lookup (spec §6).
type Found struct {
	Request uint32 // of the Lookup
	Status  Status
	Object  []byte // at most MaxObject bytes; empty unless StatusOK
}

// Append appends the message to b.
func (m *Found) Append(b []byte) []byte {
	b = append(b, byte(MsgFound))
	b = appendUint32(b, m.Request)
	b = append(b, byte(m.Status))
	return appendBytes(b, m.Object)
}

// ParseFound parses a message. Object aliases b.
func ParseFound(b []byte) (Found, error) {
	var m Found
	r := readMessage(b, MsgFound)
	m.Request = r.uint32()
	m.Status = Status(r.uint8())
	m.Object = r.bytes(MaxObject)
	return end(&r, m)
}

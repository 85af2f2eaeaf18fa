package wire

// FoundPart answers a LookupPart (spec §6).
type FoundPart struct {
	Request uint32 // of the LookupPart
	Status  Status
	Part    Part // empty unless StatusOK
}

// Append appends the message to b.
func (m *FoundPart) Append(b []byte) []byte {
	b = append(b, byte(MsgFoundPart))
	b = appendUint32(b, m.Request)
	b = append(b, byte(m.Status))
	return m.Part.append(b)
}

// ParseFoundPart parses a message. The part aliases b.
func ParseFoundPart(b []byte) (FoundPart, error) {
	var m FoundPart
	r := readMessage(b, MsgFoundPart)
	m.Request = r.uint32()
	m.Status = Status(r.uint8())
	m.Part = r.part()
	return end(&r, m)
}

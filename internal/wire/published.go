package wire

// Published answers a Publish (spec §6).
type Published struct {
	Request uint32 // of the Publish
	Status  Status
}

// Append appends the message to b.
func (m *Published) Append(b []byte) []byte {
	b = append(b, byte(MsgPublished))
	b = appendUint32(b, m.Request)
	return append(b, byte(m.Status))
}

// ParsePublished parses a message.
func ParsePublished(b []byte) (Published, error) {
	var m Published
	r := readMessage(b, MsgPublished)
	m.Request = r.uint32()
	m.Status = Status(r.uint8())
	return end(&r, m)
}

package wire

// Unbind ends a binding of the sender's (spec §8).
type Unbind struct {
	Tag Tag
}

// Append appends the message to b.
func (m *Unbind) Append(b []byte) []byte {
	return append(append(b, byte(MsgUnbind)), m.Tag[:]...)
}

// ParseUnbind parses a message.
func ParseUnbind(b []byte) (Unbind, error) {
	var m Unbind
	r := readMessage(b, MsgUnbind)
	m.Tag = r.tag()
	return end(&r, m)
}

package wire

// CalledAck tells the SN that a Called has arrived (spec §6).
type CalledAck struct {
	Call uint64 // of the Called
}

// Append appends the message to b.
func (m *CalledAck) Append(b []byte) []byte {
	return appendUint64(append(b, byte(MsgCalledAck)), m.Call)
}

// ParseCalledAck parses a message.
func ParseCalledAck(b []byte) (CalledAck, error) {
	var m CalledAck
	r := readMessage(b, MsgCalledAck)
	m.Call = r.uint64()
	return end(&r, m)
}

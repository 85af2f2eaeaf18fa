package wire

// Challenge asks a device that seems to have moved to prove that it receives at
// its new address (spec §6, docs/spec/sn.md §2).
type Challenge struct {
	Token uint64 // random; returned in the reply
}

// Append appends the message to b.
func (m *Challenge) Append(b []byte) []byte {
	return appendUint64(append(b, byte(MsgChallenge)), m.Token)
}

// ParseChallenge parses a message.
func ParseChallenge(b []byte) (Challenge, error) {
	var m Challenge
	r := readMessage(b, MsgChallenge)
	m.Token = r.uint64()
	return end(&r, m)
}

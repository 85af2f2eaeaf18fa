package wire

// ChallengeReply answers a Challenge (spec §6).
type ChallengeReply struct {
	Token uint64 // of the Challenge
}

// Append appends the message to b.
func (m *ChallengeReply) Append(b []byte) []byte {
	return appendUint64(append(b, byte(MsgChallengeReply)), m.Token)
}

// ParseChallengeReply parses a message.
func ParseChallengeReply(b []byte) (ChallengeReply, error) {
	var m ChallengeReply
	r := readMessage(b, MsgChallengeReply)
	m.Token = r.uint64()
	return end(&r, m)
}

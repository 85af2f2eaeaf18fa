package wire

// Candidates tells a peer where the sender may be reached from now on (spec §5).
type Candidates struct {
	List []Candidate // at most MaxCandidates
}

// Append appends the message to b.
func (m *Candidates) Append(b []byte) []byte {
	return appendCandidates(append(b, byte(MsgCandidates)), m.List)
}

// ParseCandidates parses a message.
func ParseCandidates(b []byte) (Candidates, error) {
	var m Candidates
	r := readMessage(b, MsgCandidates)
	m.List = r.candidates()
	return end(&r, m)
}

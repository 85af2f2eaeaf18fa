package wire

import "github.com/bdtnet/bdt/identity"

// Call asks an SN to announce the sender to another device (spec §6,
// docs/spec/sn.md §3).
type Call struct {
	Request    uint32 // chosen by the caller, returned in the answer
	Callee     identity.ID
	Candidates []Candidate // of the caller; at most MaxCandidates
	Relay      *Relay      // where the caller is binding; nil: nowhere
	Initiation []byte      // a whole packet, at most MaxInitiation bytes; empty if the caller does not hold the callee's device
}

// Append appends the message to b.
func (m *Call) Append(b []byte) []byte {
	b = append(b, byte(MsgCall))
	b = appendUint32(b, m.Request)
	b = append(b, m.Callee[:]...)
	b = appendCandidates(b, m.Candidates)
	b = appendRelay(b, m.Relay)
	return appendBytes(b, m.Initiation)
}

// ParseCall parses a message. Initiation aliases b.
func ParseCall(b []byte) (Call, error) {
	var m Call
	r := readMessage(b, MsgCall)
	m.Request = r.uint32()
	m.Callee = r.id()
	m.Candidates = r.candidates()
	m.Relay = r.relay()
	m.Initiation = r.bytes(MaxInitiation)
	return end(&r, m)
}

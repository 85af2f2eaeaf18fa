package wire

import "time"

// CallReply answers a Call (spec §6, docs/spec/sn.md §3).
type CallReply struct {
	Request    uint32 // of the Call
	Status     Status
	Wait       time.Duration // before the caller's first punch; µs on the wire, at most 71 minutes
	Shared     bool          // caller and callee are seen at the same public address
	Candidates []Candidate   // of the callee, as far as it shows them; at most MaxCandidates
	Device     []byte        // of the callee; at most MaxDevice bytes; empty unless StatusOK
}

// Append appends the message to b.
func (m *CallReply) Append(b []byte) []byte {
	b = append(b, byte(MsgCallReply))
	b = appendUint32(b, m.Request)
	b = append(b, byte(m.Status))
	b = appendMicros(b, m.Wait)
	b = appendBool(b, m.Shared)
	b = appendCandidates(b, m.Candidates)
	return appendBytes(b, m.Device)
}

// ParseCallReply parses a message. Device aliases b.
func ParseCallReply(b []byte) (CallReply, error) {
	var m CallReply
	r := readMessage(b, MsgCallReply)
	m.Request = r.uint32()
	m.Status = Status(r.uint8())
	m.Wait = r.micros()
	m.Shared = r.bool()
	m.Candidates = r.candidates()
	m.Device = r.bytes(MaxDevice)
	return end(&r, m)
}

package wire

import "strconv"

// Visibility says who may see a device's addresses at the SN (spec §6).
type Visibility uint8

// The visibilities. Numbers are never reused.
const (
	VisibleEveryone Visibility = 0
	VisibleZone     Visibility = 1 // devices of the same owner
	VisibleNobody   Visibility = 2
)

// String returns the name of the visibility.
func (v Visibility) String() string {
	switch v {
	case VisibleEveryone:
		return "everyone"
	case VisibleZone:
		return "zone"
	case VisibleNobody:
		return "nobody"
	}
	return "visibility " + strconv.Itoa(int(v))
}

// Register brings the sender online at an SN, or changes its registration
// (spec §6, docs/spec/sn.md §1).
type Register struct {
	Request    uint32 // chosen by the device, returned in the answer
	Instance   uint64 // random, one a process
	Visibility Visibility
	Candidates []Candidate // at most MaxCandidates
	Device     []byte      // at most MaxDevice bytes; empty: the one of the handshake stands
}

// Append appends the message to b.
func (m *Register) Append(b []byte) []byte {
	b = append(b, byte(MsgRegister))
	b = appendUint32(b, m.Request)
	b = appendUint64(b, m.Instance)
	b = append(b, byte(m.Visibility))
	b = appendCandidates(b, m.Candidates)
	return appendBytes(b, m.Device)
}

// ParseRegister parses a message. An unknown visibility is an error, because
// any reading of it could show what was to be hidden. Device aliases b.
func ParseRegister(b []byte) (Register, error) {
	var m Register
	r := readMessage(b, MsgRegister)
	m.Request = r.uint32()
	m.Instance = r.uint64()
	m.Visibility = Visibility(r.uint8())
	r.check(m.Visibility <= VisibleNobody)
	m.Candidates = r.candidates()
	m.Device = r.bytes(MaxDevice)
	return end(&r, m)
}

package wire

import "github.com/bdtnet/bdt/identity"

// LookupPart asks an SN for a part of a stored object that does not fit a Found
// (spec §6).
type LookupPart struct {
	Request uint32 // chosen by the device, returned in the answer
	ID      identity.ID
	Offset  uint32 // of the part
}

// Append appends the message to b.
func (m *LookupPart) Append(b []byte) []byte {
	b = append(b, byte(MsgLookupPart))
	b = appendUint32(b, m.Request)
	b = append(b, m.ID[:]...)
	return appendUint32(b, m.Offset)
}

// ParseLookupPart parses a message.
func ParseLookupPart(b []byte) (LookupPart, error) {
	var m LookupPart
	r := readMessage(b, MsgLookupPart)
	m.Request = r.uint32()
	m.ID = r.id()
	m.Offset = r.uint32()
	return end(&r, m)
}

package wire

import "github.com/bdtnet/bdt/identity"

// Lookup asks an SN for a stored object (spec §6).
type Lookup struct {
	Request uint32 // chosen by the device, returned in the answer
	ID      identity.ID
}

// Append appends the message to b.
func (m *Lookup) Append(b []byte) []byte {
	b = append(b, byte(MsgLookup))
	b = appendUint32(b, m.Request)
	return append(b, m.ID[:]...)
}

// ParseLookup parses a message.
func ParseLookup(b []byte) (Lookup, error) {
	var m Lookup
	r := readMessage(b, MsgLookup)
	m.Request = r.uint32()
	m.ID = r.id()
	return end(&r, m)
}

package wire

import "github.com/bdtnet/bdt/identity"

// Signalled is a Signal on its way from the SN (spec §6).
type Signalled struct {
	From   identity.ID // as the SN authenticated it
	Packet []byte      // at most MaxSignal bytes
}

// Append appends the message to b.
func (m *Signalled) Append(b []byte) []byte {
	b = append(b, byte(MsgSignalled))
	b = append(b, m.From[:]...)
	return appendBytes(b, m.Packet)
}

// ParseSignalled parses a message, but not the packet in it, which aliases b.
func ParseSignalled(b []byte) (Signalled, error) {
	var m Signalled
	r := readMessage(b, MsgSignalled)
	m.From = r.id()
	m.Packet = r.bytes(MaxSignal)
	return end(&r, m)
}

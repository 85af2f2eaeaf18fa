package wire

import "github.com/bdtnet/bdt/identity"

// Signal has an SN forward a control packet to a device, while there is no path
// (spec §6, docs/spec/sn.md §3).
type Signal struct {
	To     identity.ID
	Packet []byte // at most MaxSignal bytes
}

// Append appends the message to b.
func (m *Signal) Append(b []byte) []byte {
	b = append(b, byte(MsgSignal))
	b = append(b, m.To[:]...)
	return appendBytes(b, m.Packet)
}

// ParseSignal parses a message, but not the packet in it, which aliases b.
func ParseSignal(b []byte) (Signal, error) {
	var m Signal
	r := readMessage(b, MsgSignal)
	m.To = r.id()
	m.Packet = r.bytes(MaxSignal)
	return end(&r, m)
}

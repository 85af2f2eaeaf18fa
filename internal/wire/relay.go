package wire

import "github.com/bdtnet/bdt/identity"

// Relay names a binding at a proxy node (spec §6).
type Relay struct {
	PN  identity.ID
	Tag [16]byte
}

// relayLen is the length of a Relay without the byte that tells it.
const relayLen = 32 + 16

// appendRelay appends m behind its length; nil has length 0.
func appendRelay(b []byte, m *Relay) []byte {
	if m == nil {
		return append(b, 0)
	}
	b = append(b, relayLen)
	b = append(b, m.PN[:]...)
	return append(b, m.Tag[:]...)
}

// relay returns nil for length 0.
func (r *reader) relay() *Relay {
	n := r.uint8()
	r.check(n == 0 || n == relayLen)
	if n == 0 || r.err != nil {
		return nil
	}
	m := &Relay{PN: r.id()}
	copy(m.Tag[:], r.take(16))
	return m
}

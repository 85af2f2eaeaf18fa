package wire

import (
	"encoding/hex"

	"github.com/bdtnet/bdt/identity"
)

// A Tag names a binding of two devices at a PN: random, chosen by the first of them
// (docs/spec/relay.md §2).
type Tag [16]byte

// String returns the tag in hex. Whoever knows it and can forge an address can
// spend its payer's allowance: it belongs in no log above debug.
func (t Tag) String() string { return hex.EncodeToString(t[:]) }

// Relay names a binding at a proxy node (spec §6).
type Relay struct {
	PN  identity.ID
	Tag Tag
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
	return &Relay{PN: r.id(), Tag: r.tag()}
}

func (r *reader) tag() (t Tag) {
	copy(t[:], r.take(len(t)))
	return t
}

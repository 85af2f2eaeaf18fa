package wire

import "github.com/bdtnet/bdt/identity"

// MaxToken is the most bytes that a Bind holds to show that its sender may use the
// PN (spec §8).
const MaxToken = 160

// Bind tells a PN that the sender wants to exchange packets with a device, under a
// tag (spec §8, docs/spec/relay.md §2).
type Bind struct {
	Request uint32 // chosen by the device, returned in the answer
	Pays    bool   // the sender answers for what is relayed
	Tag     Tag
	Peer    identity.ID // who is to bind the same tag
	Token   []byte      // a RelayToken's encoding, at most MaxToken bytes; empty: none
}

const flagPays = 0x01

// Append appends the message to b.
func (m *Bind) Append(b []byte) []byte {
	b = append(b, byte(MsgBind))
	b = appendUint32(b, m.Request)
	b = append(b, flag(m.Pays, flagPays))
	b = append(b, m.Tag[:]...)
	b = append(b, m.Peer[:]...)
	b = append(b, byte(len(m.Token)))
	return append(b, m.Token...)
}

// ParseBind parses a message. Token aliases b.
func ParseBind(b []byte) (Bind, error) {
	var m Bind
	r := readMessage(b, MsgBind)
	m.Request = r.uint32()
	m.Pays = r.uint8()&flagPays != 0
	m.Tag = r.tag()
	m.Peer = r.id()
	m.Token = r.bytes8(MaxToken)
	return end(&r, m)
}

package wire

import "github.com/bdtnet/bdt/identity"

// relayTokenVersion begins every token.
const relayTokenVersion = 1

// RelayToken lets a device use a PN and has it answer for what is relayed (spec §8,
// docs/spec/relay.md §3). It is only worth something with a good signature.
type RelayToken struct {
	Subject   identity.ID // the device that may use it, or an owner whose devices may
	PN        identity.ID // where; zero: at every PN that trusts the issuer
	Expires   uint64      // Unix seconds; good until then
	Serial    uint64      // the issuer's, for its books
	Signature [64]byte    // by the issuer, over what Signed returns
}

// relayTokenLabel keeps a token's signature from being any other.
const relayTokenLabel = "bdt relay token\x00"

// Signed returns what the signature is over.
func (m *RelayToken) Signed() []byte {
	return m.appendSigned([]byte(relayTokenLabel))
}

func (m *RelayToken) appendSigned(b []byte) []byte {
	b = append(b, relayTokenVersion)
	b = append(b, m.Subject[:]...)
	b = append(b, m.PN[:]...)
	return appendUint64(appendUint64(b, m.Expires), m.Serial)
}

// Append appends the encoding to b: 145 bytes.
func (m *RelayToken) Append(b []byte) []byte {
	return append(m.appendSigned(b), m.Signature[:]...)
}

// ParseRelayToken parses a token. It does not look at the signature.
func ParseRelayToken(b []byte) (RelayToken, error) {
	var m RelayToken
	r := readPayload(b, "relay token")
	r.check(r.uint8() == relayTokenVersion)
	m.Subject = r.id()
	m.PN = r.id()
	m.Expires = r.uint64()
	m.Serial = r.uint64()
	copy(m.Signature[:], r.take(len(m.Signature)))
	return end(&r, m)
}

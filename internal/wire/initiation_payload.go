package wire

import "strconv"

// Engine is a session engine (spec §3).
type Engine uint8

// The engines. Numbers are never reused.
const (
	EngineNone  Engine = 0 // no session, as with an SN
	EngineQUIC  Engine = 1
	EngineNQUIC Engine = 2
	EngineYamux Engine = 3
)

// String returns the name of the engine.
func (e Engine) String() string {
	switch e {
	case EngineNone:
		return "none"
	case EngineQUIC:
		return "quic"
	case EngineNQUIC:
		return "nquic"
	case EngineYamux:
		return "yamux"
	}
	return "engine " + strconv.Itoa(int(e))
}

const flagDialling = 0x01 // in both payloads

// InitiationPayload is what Noise message 1 says (spec §3).
type InitiationPayload struct {
	Dialling bool     // the initiator wants a session
	Stamp    uint64   // microseconds since 1970 (docs/spec/handshake.md §3)
	Rekeys   uint64   // the session that the initiator still holds, or 0
	Engines  []Engine // offered, best first; at most MaxEngines, none EngineNone
	Device   []byte   // the initiator's own, signed; at most MaxDevice bytes
	Early    []byte   // at most MaxInitiationEarly bytes
}

// Append appends the payload to b.
func (m *InitiationPayload) Append(b []byte) []byte {
	b = append(b, flag(m.Dialling, flagDialling))
	b = appendUint64(b, m.Stamp)
	b = appendUint64(b, m.Rekeys)
	b = append(b, byte(len(m.Engines)))
	for _, e := range m.Engines {
		b = append(b, byte(e))
	}
	b = appendBytes(b, m.Device)
	return appendBytes(b, m.Early)
}

// ParseInitiationPayload parses a payload. Engines may hold ones that this
// version does not know. Device and Early alias b.
func ParseInitiationPayload(b []byte) (InitiationPayload, error) {
	var m InitiationPayload
	r := readPayload(b, "initiation payload")
	m.Dialling = r.uint8()&flagDialling != 0
	m.Stamp = r.uint64()
	m.Rekeys = r.uint64()
	for _, e := range r.bytes8(MaxEngines) {
		r.check(Engine(e) != EngineNone)
		m.Engines = append(m.Engines, Engine(e))
	}
	m.Device = r.bytes(MaxDevice)
	m.Early = r.bytes(MaxInitiationEarly)
	return end(&r, m)
}

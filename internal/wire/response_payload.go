package wire

import (
	"strconv"
	"unicode/utf8"
)

// ResponseKind says how an initiation was answered (spec §3).
type ResponseKind uint8

// The kinds of response. Numbers are never reused.
const (
	ResponseAccept  ResponseKind = 1
	ResponseStale   ResponseKind = 2 // the stamp was not above the responder's mark
	ResponseRefused ResponseKind = 3
)

// String returns the name of the kind.
func (k ResponseKind) String() string {
	switch k {
	case ResponseAccept:
		return "accept"
	case ResponseStale:
		return "stale"
	case ResponseRefused:
		return "refused"
	}
	return "response kind " + strconv.Itoa(int(k))
}

const flagGoesOn = 0x02

// ResponsePayload is what Noise message 2 says (spec §3). In a stale one nothing
// but the stamp is set.
type ResponsePayload struct {
	Kind       ResponseKind
	Dialling   bool        // the responder wants a session, too
	GoesOn     bool        // the session named by Rekeys goes on
	Stamp      uint64      // of the responder; stale: its mark for the initiator
	Engine     Engine      // chosen of those offered
	Device     []byte      // the responder's own, signed; at most MaxDevice bytes
	Candidates []Candidate // at most MaxCandidates
	Early      []byte      // at most MaxResponseEarly bytes; refused: the reason in UTF-8
}

// Append appends the payload to b.
func (m *ResponsePayload) Append(b []byte) []byte {
	b = append(b, byte(m.Kind), flag(m.Dialling, flagDialling)|flag(m.GoesOn, flagGoesOn))
	b = appendUint64(b, m.Stamp)
	b = append(b, byte(m.Engine))
	b = appendBytes(b, m.Device)
	b = appendCandidates(b, m.Candidates)
	return appendBytes(b, m.Early)
}

// ParseResponsePayload parses a payload. Device and Early alias b.
func ParseResponsePayload(b []byte) (ResponsePayload, error) {
	var m ResponsePayload
	r := readPayload(b, "response payload")
	m.Kind = ResponseKind(r.uint8())
	flags := r.uint8()
	m.Dialling = flags&flagDialling != 0
	m.GoesOn = flags&flagGoesOn != 0
	m.Stamp = r.uint64()
	m.Engine = Engine(r.uint8())
	m.Device = r.bytes(MaxDevice)
	m.Candidates = r.candidates()
	m.Early = r.bytes(MaxResponseEarly)
	switch m.Kind {
	case ResponseAccept:
	case ResponseStale:
		r.check(!m.Dialling && !m.GoesOn && m.Engine == EngineNone &&
			m.Device == nil && m.Candidates == nil && m.Early == nil)
	case ResponseRefused:
		r.check(utf8.Valid(m.Early))
	default:
		r.fail(ErrValue)
	}
	return end(&r, m)
}

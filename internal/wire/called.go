package wire

import (
	"time"

	"github.com/bdtnet/bdt/identity"
)

// Called announces a caller to the callee (spec §6, docs/spec/sn.md §3). Either
// Initiation or Device is set: the caller's initiation, or for a caller that
// could not make one the caller's device, so that the callee initiates.
type Called struct {
	Call       uint64 // chosen by the SN; the same in each repetition
	Caller     identity.ID
	Wait       time.Duration // before the callee's first punch; µs on the wire, at most 71 minutes
	Shared     bool          // caller and callee are seen at the same public address
	Candidates []Candidate   // of the caller; at most MaxCandidates
	Relay      *Relay        // where the caller is binding; nil: nowhere
	Initiation []byte        // a whole packet, at most MaxInitiation bytes
	Device     []byte        // at most MaxDevice bytes
}

// What the last field of a Called holds.
const (
	calledInitiation = 1
	calledDevice     = 2
)

// Append appends the message to b.
func (m *Called) Append(b []byte) []byte {
	b = append(b, byte(MsgCalled))
	b = appendUint64(b, m.Call)
	b = append(b, m.Caller[:]...)
	b = appendMicros(b, m.Wait)
	b = appendBool(b, m.Shared)
	b = appendCandidates(b, m.Candidates)
	b = appendRelay(b, m.Relay)
	if len(m.Initiation) > 0 {
		return appendBytes(append(b, calledInitiation), m.Initiation)
	}
	return appendBytes(append(b, calledDevice), m.Device)
}

// ParseCalled parses a message. Initiation and Device alias b.
func ParseCalled(b []byte) (Called, error) {
	var m Called
	r := readMessage(b, MsgCalled)
	m.Call = r.uint64()
	m.Caller = r.id()
	m.Wait = r.micros()
	m.Shared = r.bool()
	m.Candidates = r.candidates()
	m.Relay = r.relay()
	switch r.uint8() {
	case calledInitiation:
		m.Initiation = r.bytes(MaxInitiation)
	case calledDevice:
		m.Device = r.bytes(MaxDevice)
	}
	// An unknown kind sets neither.
	r.check(m.Initiation != nil || m.Device != nil)
	return end(&r, m)
}

package wire

import "unicode/utf8"

// GoodbyeLeaving says that the sender is gone from now on, but that what it sent has
// arrived and may still be read (docs/spec/handshake.md §8).
const GoodbyeLeaving = 1

// Goodbye ends an association (spec §5).
type Goodbye struct {
	Code   uint8  // why, for programs: GoodbyeLeaving; 0: no particular reason
	Reason string // why, for people; UTF-8, cut to MaxReason bytes
}

// Append appends the message to b.
func (m *Goodbye) Append(b []byte) []byte {
	reason := m.Reason
	if len(reason) > MaxReason {
		n := MaxReason
		for n > 0 && !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n]
	}
	b = append(b, byte(MsgGoodbye), m.Code, byte(len(reason)))
	return append(b, reason...)
}

// ParseGoodbye parses a message.
func ParseGoodbye(b []byte) (Goodbye, error) {
	var m Goodbye
	r := readMessage(b, MsgGoodbye)
	m.Code = r.uint8()
	reason := r.bytes8(MaxReason)
	r.check(utf8.Valid(reason))
	m.Reason = string(reason)
	return end(&r, m)
}

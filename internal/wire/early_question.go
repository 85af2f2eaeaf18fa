package wire

import "github.com/bdtnet/bdt/identity"

// earlyQuestion is the first byte of early data that is a question. Numbers are
// never reused.
const earlyQuestion = 1

// MaxEarlyQuestion is how many bytes the name of a service and a question may have
// together to travel as early data: 187 less kind and lengths.
const MaxEarlyQuestion = MaxInitiationEarly - 1 - 1 - 2

// EarlyQuestion is the early data of an initiation: a question to a service
// (docs/spec/call.md §3).
type EarlyQuestion struct {
	Service  []byte // at most identity.MaxService bytes
	Question []byte // with Service at most MaxEarlyQuestion bytes
}

// Append appends the question to b, padded to MaxInitiationEarly bytes: the
// response may not be longer than the initiation, and it holds the answer.
func (m *EarlyQuestion) Append(b []byte) []byte {
	start := len(b)
	b = append(b, earlyQuestion, byte(len(m.Service)))
	b = append(b, m.Service...)
	b = appendBytes(b, m.Question)
	return append(b, make([]byte, max(start+MaxInitiationEarly-len(b), 0))...)
}

// ParseEarlyQuestion parses early data. What the padding holds does not matter.
// Service and Question alias b.
func ParseEarlyQuestion(b []byte) (EarlyQuestion, error) {
	var m EarlyQuestion
	r := readPayload(b, "early question")
	r.check(r.uint8() == earlyQuestion)
	m.Service = r.bytes8(identity.MaxService)
	m.Question = r.bytes(MaxEarlyQuestion)
	r.skip()
	return end(&r, m)
}

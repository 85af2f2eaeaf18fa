package wire

import "unicode/utf8"

// AnswerStatus is what came of a question (docs/spec/call.md §2, §4). It precedes
// the answer on a stream, too.
type AnswerStatus uint8

// The statuses. Numbers are never reused.
const (
	AnswerGiven   AnswerStatus = 0 // the content is the answer
	AnswerFailed  AnswerStatus = 1 // the service's own error: a message for people, UTF-8
	AnswerRefused AnswerStatus = 2 // early only: the reset code that a stream would get, in 1 byte
	AnswerLater   AnswerStatus = 3 // early only: ask on a stream
)

// MaxEarlyAnswer is the most bytes of content in an early answer: 305 less
// status and length.
const MaxEarlyAnswer = MaxResponseEarly - 1 - 2

// EarlyAnswer is the early data of a response to an initiation with an
// [EarlyQuestion] (docs/spec/call.md §4).
type EarlyAnswer struct {
	Status  AnswerStatus
	Content []byte // at most MaxEarlyAnswer bytes
}

// Append appends the answer to b.
func (m *EarlyAnswer) Append(b []byte) []byte {
	return appendBytes(append(b, byte(m.Status)), m.Content)
}

// ParseEarlyAnswer parses early data. Content aliases b. A status that this version
// does not know is an error.
func ParseEarlyAnswer(b []byte) (EarlyAnswer, error) {
	var m EarlyAnswer
	r := readPayload(b, "early answer")
	m.Status = AnswerStatus(r.uint8())
	m.Content = r.bytes(MaxEarlyAnswer)
	switch m.Status {
	case AnswerGiven:
	case AnswerFailed:
		r.check(utf8.Valid(m.Content))
	case AnswerRefused:
		r.check(len(m.Content) == 1)
	case AnswerLater:
		r.check(m.Content == nil)
	default:
		r.fail(ErrValue)
	}
	return end(&r, m)
}

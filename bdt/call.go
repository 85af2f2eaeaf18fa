package bdt

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/peer"
	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/wire"
)

// MaxCall is the longest question, and the longest answer, in bytes.
const MaxCall = 1 << 20

// maxCallMessage bounds the text of a service's error, in bytes.
const maxCallMessage = 1024

// Call asks a service of a device one question and returns its answer, with the
// least delay: over the session, if there is one. If there is none, and the device's
// descriptor is known, and the question and the service's name have at most 183 bytes
// together, it goes with the handshake that opens one, and the answer may come back
// with that, before any path to the device exists. What is asked in this way the
// service runs only if it has declared that nothing is lost when it does so twice.
//
// The id may be an owner's, as with [Stack.Dial]. The service's own error is a
// [*CallError]; among the other causes are [ErrDenied], [ErrNoService], [ErrBusy],
// [ErrTooLong], [ErrNoAnswer] and [ErrFailed]. If the session ends while the answer
// is waited for, whether the service has run is not known.
func (s *Stack) Call(ctx context.Context, id identity.ID, service string, question []byte) ([]byte, error) {
	answer, err := s.call(ctx, id, service, question)
	if err != nil {
		return nil, &OpError{Op: "call", Peer: id, Err: err}
	}
	return answer, nil
}

func (s *Stack) call(ctx context.Context, id identity.ID, service string, question []byte) ([]byte, error) {
	if err := checkService(service); err != nil {
		return nil, err
	}
	if len(question) > MaxCall {
		return nil, fmt.Errorf("question of %d bytes, at most %d: %w", len(question), MaxCall, ErrTooLong)
	}
	if id.Type() == identity.TypeDevice && id != s.ID() && len(service)+len(question) <= wire.MaxEarlyQuestion {
		early, err := s.askEarly(ctx, id, service, question)
		if err != nil {
			return nil, err
		}
		if answer, err := earlyResult(early); err != errAskOnStream {
			return answer, err
		}
	}
	ss, err := s.session(ctx, id)
	if err != nil {
		return nil, err
	}
	stream, err := ss.session.OpenStream(ctx)
	if err != nil {
		return nil, ss.failure(err)
	}
	defer stream.Close()
	stop := context.AfterFunc(ctx, func() { refuse(stream, codeClosed) })
	defer stop()
	answer, err := ask(stream, service, question)
	switch e, reset := errors.AsType[*session.StreamError](err); {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case reset:
		return nil, streamCause(e)
	}
	return nil, ss.failure(err)
}

// ask asks a question on a stream and reads the answer (docs/spec/call.md §2).
func ask(stream session.Stream, service string, question []byte) ([]byte, error) {
	b := appendHeader(make([]byte, 0, 2+len(service)+len(question)), formCall, service)
	if _, err := stream.Write(append(b, question...)); err != nil {
		return nil, err
	}
	stream.CloseWrite()
	return readAnswer(stream)
}

// readAnswer reads an answer to its end.
func readAnswer(r io.Reader) ([]byte, error) {
	answer, err := io.ReadAll(io.LimitReader(r, 1+MaxCall+1))
	switch {
	case err != nil:
		return nil, err
	case len(answer) == 0:
		return nil, errMalformedAnswer
	case len(answer) > 1+MaxCall:
		return nil, fmt.Errorf("answer of more than %d bytes: %w", MaxCall, ErrTooLong)
	}
	switch wire.AnswerStatus(answer[0]) {
	case wire.AnswerGiven:
		return answer[1:], nil
	case wire.AnswerFailed:
		return nil, newCallError(answer[1:])
	}
	return nil, errMalformedAnswer
}

var (
	errMalformedAnswer = errors.New("the peer's answer cannot be understood")
	errAskOnStream     = errors.New("to be asked on a stream") // stays in this package
)

// A CallError is the error that a service answered a call with.
type CallError struct {
	Message string // for people
}

// Error returns the message.
func (e *CallError) Error() string { return "the peer's service says: " + e.Message }

// newCallError makes the error of a message that a peer has sent.
func newCallError(b []byte) *CallError {
	return &CallError{Message: callMessage(string(b))}
}

// askEarly asks a question with the handshake, if there is to be one. The early data
// that it returns is nil if there is a session.
func (s *Stack) askEarly(ctx context.Context, id identity.ID, service string, question []byte) ([]byte, error) {
	m := wire.EarlyQuestion{Service: []byte(service), Question: question}
	early := m.Append(nil)
	for {
		p, err := s.peer(id, wanted)
		if err != nil {
			return nil, err
		}
		if p.Connected() {
			return nil, nil
		}
		hints := s.hints(id)
		hints.Search = s.seek(id, p)
		s.translator.wait(ctx, host{s}.prefixes())
		answer, err := p.Ask(ctx, hints, early)
		if errors.Is(err, peer.ErrClosed) && !s.isClosed() {
			continue // swept away between the two calls
		}
		return answer, peerCause(err)
	}
}

// earlyResult reads the early data of a response. The error is errAskOnStream if it
// does not settle the question.
func earlyResult(b []byte) ([]byte, error) {
	m, err := wire.ParseEarlyAnswer(b)
	if err != nil {
		return nil, errAskOnStream
	}
	switch m.Status {
	case wire.AnswerGiven:
		return append([]byte{}, m.Content...), nil
	case wire.AnswerFailed:
		return nil, newCallError(m.Content)
	case wire.AnswerRefused:
		return nil, refusal(uint64(m.Content[0]))
	}
	return nil, errAskOnStream
}

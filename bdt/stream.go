package bdt

import (
	"errors"
	"fmt"
	"io"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/session"
)

// A stream begins with what it is for (docs/spec/stream.md §1):
//
//	form (1) | service name length (1) | service name
//
// There is no answer: a stream that is refused is reset with one of the codes
// below, and one that is not has cost no round trip.
const maxService = identity.MaxService

// A form says what a stream is. Numbers are never reused.
type form byte

const (
	formStream form = 1 // the application's bytes
	formFlow   form = 2 // a flow of datagrams
	formCall   form = 3 // a question and an answer
)

// Reset codes (docs/spec/stream.md §2). The application's own begin at
// applicationCode. Numbers are never reused.
const (
	codeClosed      = 0 // Close before everything was read
	codeDenied      = 1
	codeNoService   = 2
	codeMalformed   = 3
	codeBusy        = 4
	codeTooLong     = 5 // the question of a call
	codeNoAnswer    = 6 // to a call, in time
	codeFailed      = 7 // the service of a call
	applicationCode = 0x100
)

// closeDenied is the code with which a session is closed whose device is no longer
// admitted as what it was (docs/spec/access.md §4).
const closeDenied = 1

// checkService reports what is wrong with a service's name.
func checkService(name string) error {
	if name == "" {
		return errors.New("no service is named")
	}
	if len(name) > maxService {
		return fmt.Errorf("service name of %d bytes, at most %d", len(name), maxService)
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '/':
		default:
			return fmt.Errorf("service name %q: only letters, digits and - . _ / are allowed", name)
		}
	}
	return nil
}

// appendHeader appends a stream's header for a checked service name.
func appendHeader(b []byte, f form, service string) []byte {
	b = append(b, byte(f), byte(len(service)))
	return append(b, service...)
}

// readHeader reads a stream's header and nothing beyond it.
func readHeader(r io.Reader) (f form, service string, err error) {
	var head [2 + maxService]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return 0, "", err
	}
	f = form(head[0])
	if f < formStream || f > formCall {
		return 0, "", fmt.Errorf("stream of form %d", f)
	}
	if head[1] > maxService {
		return 0, "", fmt.Errorf("service name of %d bytes", head[1])
	}
	name := head[2 : 2+head[1]]
	if _, err := io.ReadFull(r, name); err != nil {
		return 0, "", err
	}
	service = string(name)
	return f, service, checkService(service)
}

// refuse resets a stream in both directions.
func refuse(s session.Stream, code uint64) {
	s.CancelRead(code)
	s.CancelWrite(code)
}

// streamCause is what a reset means to the embedder.
func streamCause(e *session.StreamError) error {
	switch {
	case e.Code >= applicationCode && e.Code-applicationCode <= 1<<32-1:
		return &ResetError{Code: uint32(e.Code - applicationCode), Remote: e.Remote}
	case !e.Remote:
		return ErrClosed
	}
	return refusal(e.Code)
}

// refusal is what a reset code of the peer's means to the embedder.
func refusal(code uint64) error {
	switch code {
	case codeDenied:
		return ErrDenied
	case codeNoService:
		return ErrNoService
	case codeBusy:
		return ErrBusy
	case codeMalformed:
		return errMalformed
	case codeTooLong:
		return ErrTooLong
	case codeNoAnswer:
		return ErrNoAnswer
	case codeFailed:
		return ErrFailed
	}
	return errPeerClosed
}

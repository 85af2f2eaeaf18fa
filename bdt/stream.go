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
//	version (1) | service name length (1) | service name
//
// There is no answer: a stream that is refused is reset with one of the codes
// below, and one that is not has cost no round trip.
const (
	streamVersion = 1
	maxService    = identity.MaxService
)

// Reset codes (docs/spec/stream.md §2). The application's own begin at
// applicationCode. Numbers are never reused.
const (
	codeClosed      = 0 // Close before everything was read
	codeDenied      = 1
	codeNoService   = 2
	codeMalformed   = 3
	codeBusy        = 4
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
func appendHeader(b []byte, service string) []byte {
	b = append(b, streamVersion, byte(len(service)))
	return append(b, service...)
}

// readHeader reads a stream's header and nothing beyond it.
func readHeader(r io.Reader) (service string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", err
	}
	if head[0] != streamVersion {
		return "", fmt.Errorf("stream header of version %d", head[0])
	}
	if head[1] > maxService {
		return "", fmt.Errorf("service name of %d bytes", head[1])
	}
	name := make([]byte, head[1])
	if _, err := io.ReadFull(r, name); err != nil {
		return "", err
	}
	return string(name), checkService(string(name))
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
	case e.Code == codeDenied:
		return ErrDenied
	case e.Code == codeNoService:
		return ErrNoService
	case e.Code == codeBusy:
		return ErrBusy
	case e.Code == codeMalformed:
		return errMalformed
	}
	return errPeerClosed
}

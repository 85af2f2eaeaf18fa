package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/bdtnet/bdt/bdt"
)

var (
	// ErrUnknown: the device has nothing to do with the one that was asked about.
	ErrUnknown = errors.New("this device has had nothing to do with it")
	// ErrNotRunning: no process holds the identity.
	ErrNotRunning = errors.New("no process runs this device")
	// ErrVersion: the process that holds the identity is of another build, with
	// another protocol.
	ErrVersion = errors.New("it is of another version of bdt")
	// ErrGone: the process that held the identity ended.
	ErrGone = errors.New("the process that runs this device has ended")
	// errRequest: a request that this version does not make.
	errRequest = errors.New("bad request")
	// errTooMany: a bound of this package is reached.
	errTooMany = errors.New("too many at once")
)

// A HeldError is an identity that another process holds.
type HeldError struct {
	Holder
}

// A Holder is the process that holds an identity. A PID of 0 is not known.
type Holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Started time.Time `json:"started"`
}

// Error names the process.
func (e *HeldError) Error() string {
	if e.PID == 0 {
		return "another process runs this device"
	}
	return fmt.Sprintf("'%s', process %d, runs this device already", e.Command, e.PID)
}

// causes are those that keep their identity on the way from the process that runs
// the device. Names are never reused.
var causes = []struct {
	name string
	err  error
}{
	{"failed", bdt.ErrFailed},
	{"no answer", bdt.ErrNoAnswer},
	{"no datagrams", bdt.ErrNoDatagrams},
	{"no ood", bdt.ErrNoOOD},
	{"not ood", bdt.ErrNotOOD},
	{"owner file", bdt.ErrOwnerFile},
	{"owner not found", bdt.ErrOwnerNotFound},
	{"revoked", bdt.ErrRevoked},
	{"too long", bdt.ErrTooLong},
	{"not found", bdt.ErrNotFound},
	{"unreachable", bdt.ErrUnreachable},
	{"no route", bdt.ErrNoRoute},
	{"offline", bdt.ErrOffline},
	{"denied", bdt.ErrDenied},
	{"no service", bdt.ErrNoService},
	{"busy", bdt.ErrBusy},
	{"restarted", bdt.ErrPeerRestarted},
	{"lost", bdt.ErrPeerLost},
	{"peer closed", bdt.ErrPeerClosed},
	{"refused", bdt.ErrRefused},
	{"in use", bdt.ErrServiceInUse},
	{"closed", bdt.ErrClosed},
	{"unknown", ErrUnknown},
	{"version", ErrVersion},
	{"deadline", context.DeadlineExceeded},
	{"canceled", context.Canceled},
	{"io deadline", os.ErrDeadlineExceeded},
}

// A wireError is an error on its way to another process.
type wireError struct {
	Text  string          `json:"text"`
	Cause string          `json:"cause,omitempty"` // of causes
	Reset *bdt.ResetError `json:"reset,omitempty"`
}

func newWireError(err error) *wireError {
	w := &wireError{Text: err.Error()}
	if r, ok := errors.AsType[*bdt.ResetError](err); ok {
		w.Reset = r
	}
	for _, c := range causes {
		if errors.Is(err, c.err) {
			w.Cause = c.name
			break
		}
	}
	return w
}

// err returns the error at the other end.
func (w *wireError) err() error {
	e := &remoteError{text: w.Text}
	for _, c := range causes {
		if c.name == w.Cause {
			e.cause = c.err
		}
	}
	if w.Reset != nil {
		e.cause = w.Reset
	}
	return e
}

// A remoteError is what went wrong in the process that runs the device.
type remoteError struct {
	text  string
	cause error // may be nil
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.cause }

// Timeout reports whether a deadline has passed, by which packages like net/http
// tell a timeout.
func (e *remoteError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.cause, &t) && t.Timeout()
}

// Temporary returns false.
func (e *remoteError) Temporary() bool { return false }

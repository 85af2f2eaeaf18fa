package snclient

import (
	"errors"
	"fmt"
	"net"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

var (
	// ErrOffline: the client is not online at its SN now.
	ErrOffline = errors.New("not online at the super node")
	// ErrSuperseded: another instance of this device has registered.
	ErrSuperseded = errors.New("another instance of this device has registered")
	// ErrTimeout: the SN did not answer in time.
	ErrTimeout = errors.New("no answer from the super node")
	// ErrAnswer: the SN's answer is not what it must be.
	ErrAnswer = errors.New("bad answer from the super node")
	// ErrClosed: the client has been closed. It unwraps to net.ErrClosed.
	ErrClosed = fmt.Errorf("super node client: %w", net.ErrClosed)

	// ErrNotFound: the SN does not know the device or object.
	ErrNotFound = errors.New("not found at the super node")
	// ErrNotAllowed: the SN does not allow the request.
	ErrNotAllowed = errors.New("not allowed by the super node")
	// ErrTooMany: over one of the SN's limits.
	ErrTooMany = errors.New("too many requests")
	// ErrTooOld: the SN holds a newer version.
	ErrTooOld = errors.New("super node holds a newer version")
)

// A StatusError is a request that the SN answered with a status other than ok.
// It unwraps to the sentinel for its status, where there is one.
type StatusError struct {
	Op     string      // "call", "lookup", "publish"
	Object identity.ID // what it was about
	SN     identity.ID // who answered
	Status wire.Status
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("snclient: %s %s at %s: %v", e.Op, e.Object.Short(), e.SN.Short(), e.Status)
}

// Unwrap returns the sentinel for the status, or nil.
func (e *StatusError) Unwrap() error {
	switch e.Status {
	case wire.StatusNotFound:
		return ErrNotFound
	case wire.StatusNotAllowed:
		return ErrNotAllowed
	case wire.StatusTooMany:
		return ErrTooMany
	case wire.StatusTooOld:
		return ErrTooOld
	case wire.StatusSuperseded:
		return ErrSuperseded
	}
	return nil
}

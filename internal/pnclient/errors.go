package pnclient

import (
	"errors"
	"fmt"
	"net"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

var (
	// ErrOffline: the client is not online at its PN now.
	ErrOffline = errors.New("not online at the proxy node")
	// ErrClosed: the binding or its client has been closed. It unwraps to net.ErrClosed.
	ErrClosed = fmt.Errorf("proxy node client: %w", net.ErrClosed)
	// ErrNotAllowed: the PN does not admit whoever pays, or the tag is another's.
	ErrNotAllowed = errors.New("not allowed by the proxy node")
	// ErrTooMany: over one of the PN's limits.
	ErrTooMany = errors.New("too many bindings or requests")
	// ErrDraining: the PN is about to stop.
	ErrDraining = errors.New("proxy node is about to stop")
	// ErrUnbound: the PN has ended the binding.
	ErrUnbound = errors.New("the proxy node has ended the binding")
	// ErrTooLarge: a packet is longer than what can be relayed.
	ErrTooLarge = errors.New("packet is too long to be relayed")
)

// A BindError is a binding that the PN has refused or ended. It unwraps to the sentinel
// for that.
type BindError struct {
	Peer   identity.ID // with whom
	PN     identity.ID
	Status wire.Status        // why it was refused; ok if it was not
	Reason wire.UnboundReason // why it ended, if it was not refused
}

func (e *BindError) Error() string {
	why := fmt.Sprintf("refused: %v", e.Status)
	if e.Status == wire.StatusOK {
		why = fmt.Sprintf("ended: %v", e.Reason)
	}
	return fmt.Sprintf("pnclient: binding with %s at %s %s", e.Peer.Short(), e.PN.Short(), why)
}

// Unwrap returns the sentinel for the cause, or nil.
func (e *BindError) Unwrap() error {
	switch e.Status {
	case wire.StatusOK:
		return ErrUnbound
	case wire.StatusNotAllowed:
		return ErrNotAllowed
	case wire.StatusTooMany:
		return ErrTooMany
	case wire.StatusDraining:
		return ErrDraining
	}
	return nil
}

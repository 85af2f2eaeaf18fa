package bdt

import (
	"errors"
	"fmt"
	"net"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/peer"
	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/snclient"
)

// Causes that callers tell apart with errors.Is. Each is wrapped in an
// [*OpError] that names the operation and the peer.
var (
	// ErrNotFound: no SN that was asked knows the device, and no address of it answered.
	ErrNotFound = errors.New("no super node knows this device")
	// ErrOwnerNotFound: no SN that was asked knows the owner.
	ErrOwnerNotFound = errors.New("no super node knows this owner")
	// ErrNoOOD: the owner's object names no device that answers for the owner.
	ErrNoOOD = errors.New("the owner names no device that answers for it")
	// ErrNotOOD: the owner's object names a device that answers for the owner, but the
	// device does not name the owner.
	ErrNotOOD = errors.New("the device is not the owner's, whatever the owner says")
	// ErrOwnerFile: Config.OwnerFile cannot be read or written, or holds something else.
	ErrOwnerFile = errors.New("the owner file cannot be used")
	// ErrUnreachable: the device is known, but no path to it came up in time.
	ErrUnreachable = errors.New("no path to the device came up")
	// ErrNoRoute: there is neither an SN to ask nor an address that this device may try.
	ErrNoRoute = errors.New("no super node to ask, and no address that can be tried from here")
	// ErrOffline: every SN that could be asked is offline.
	ErrOffline = errors.New("no super node is reachable")
	// ErrDenied: the peer's policy refuses this device; whether there is such a service it does not say.
	ErrDenied = errors.New("the peer refuses this device")
	// ErrNoService: the peer serves nothing by that name.
	ErrNoService = errors.New("the peer has no such service")
	// ErrBusy: too many streams wait for the service's Accept, or for their headers, or
	// this device has too many open.
	ErrBusy = errors.New("the peer's service is too busy to take the stream")
	// ErrTooLong: a question, an answer or a datagram is longer than it may be.
	ErrTooLong = errors.New("too long")
	// ErrNoDatagrams: the session's engine has only streams.
	ErrNoDatagrams = errors.New("the session has no datagrams")
	// ErrNoAnswer: the peer's service did not answer a call in the time that it gives itself.
	ErrNoAnswer = errors.New("the peer's service did not answer in time")
	// ErrFailed: the peer's service broke down over a call, as its log says.
	ErrFailed = errors.New("the peer's service failed")
	// ErrPeerRestarted: the peer lost the session, most likely by a restart. Dial again.
	ErrPeerRestarted = errors.New("the peer restarted")
	// ErrPeerLost: no path to the peer answered for 30 s.
	ErrPeerLost = errors.New("the peer stopped answering")
	// ErrPeerClosed: the peer closed the session, most likely by shutting down.
	ErrPeerClosed = errors.New("the peer closed the session")
	// ErrRevoked: the device's owner has revoked it, or its word counts no more, since
	// the session was opened.
	ErrRevoked = errors.New("the device is no longer of the zone")
	// ErrRefused: the peer answered the handshake with a refusal.
	ErrRefused = errors.New("the peer refused the session")
	// ErrServiceInUse: Listen was called twice for one service.
	ErrServiceInUse = errors.New("the service already has a listener")
	// ErrClosed: the stack, listener or stream was closed here. It is net.ErrClosed, too.
	ErrClosed = fmt.Errorf("closed: %w", net.ErrClosed)
)

// An OpError is an operation that failed, the peer it concerned, and why.
type OpError struct {
	// Op is "open", "dial", "listen", "accept", "learn", "set owner", "set friends", "find owner", "publish owner",
	// "go online", "ping", "call", "http", "check network", "read", "write", "send", "receive", "close",
	// "shut down" or "set deadline".
	Op   string
	Peer identity.ID // zero if none
	Err  error
}

// Error names the operation and the peer.
func (e *OpError) Error() string {
	if e.Peer.IsZero() {
		return fmt.Sprintf("bdt: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("bdt: %s %s: %v", e.Op, e.Peer.Short(), e.Err)
}

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

var _ net.Error = (*OpError)(nil)

// Timeout reports whether a deadline has passed: with it an OpError is a
// net.Error, by which packages like net/http tell a timeout.
func (e *OpError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// Temporary returns false: no error of this package calls for a retry of what
// met it.
func (e *OpError) Temporary() bool { return false }

var (
	errNotDevice    = errors.New("not the id of a device or an owner")
	errNotOwner     = errors.New("the object is not an owner's")
	errSelf         = errors.New("that is this device")
	errMalformed    = errors.New("the peer did not understand the stream's header")
	errPeerClosed   = errors.New("the peer closed the stream") // before it had read everything
	errTooManyPeers = errors.New("too many peers")
	errTooManyFresh = errors.New("too many sockets are open for second punches")
	errNoFamily     = errors.New("no socket of the address's family")
)

// causes are the peer package's causes under their public names.
var causes = []struct{ from, to error }{
	{peer.ErrNotFound, ErrNotFound},
	{peer.ErrUnreachable, ErrUnreachable},
	{peer.ErrNoRoute, ErrNoRoute},
	{peer.ErrOffline, ErrOffline},
	{peer.ErrRestarted, ErrPeerRestarted},
	{peer.ErrLost, ErrPeerLost},
	{peer.ErrRefused, ErrRefused},
	{peer.ErrGone, ErrPeerClosed},
	{peer.ErrClosed, ErrClosed},
}

// peerCause names the cause of a failed attempt or an ended session.
func peerCause(err error) error {
	for _, c := range causes {
		if errors.Is(err, c.from) {
			return c.to
		}
	}
	return err
}

// snCause names the cause of a failed request to an SN.
func snCause(err error) error {
	switch {
	case errors.Is(err, snclient.ErrClosed):
		return ErrClosed
	case errors.Is(err, snclient.ErrOffline), errors.Is(err, snclient.ErrTimeout):
		return ErrOffline
	}
	return err
}

// sessionCause names the cause of a session's end.
func sessionCause(err error) error {
	var ce *session.CloseError
	switch {
	case errors.As(err, &ce) && ce.Remote && ce.Code == closeDenied:
		return ErrDenied
	case errors.As(err, &ce) && ce.Remote:
		return ErrPeerClosed
	case errors.Is(err, net.ErrClosed):
		return ErrClosed
	}
	return peerCause(err)
}

package peer

import "errors"

// Why a peer could not be reached, or a session ended. Package bdt shows them
// under its own names.
var (
	ErrNotFound    = errors.New("no super node knows this device")
	ErrUnreachable = errors.New("no path to the device came up")
	ErrNoRoute     = errors.New("no super node to ask, and no address that can be tried from here")
	ErrOffline     = errors.New("no super node is reachable")
	ErrRestarted   = errors.New("the peer restarted")
	ErrLost        = errors.New("the peer stopped answering")
	ErrRefused     = errors.New("the peer refused the session")
	ErrGone        = errors.New("the peer said goodbye")
	ErrClosed      = errors.New("closed here")
)

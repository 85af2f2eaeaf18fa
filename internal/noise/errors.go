package noise

import "errors"

// What can be wrong with a packet, or with a request to make one. Errors of this
// package wrap one of these, or one of package wire or identity.
var (
	// ErrMAC: mac1 is not keyed with our id, or a cookie does not open.
	ErrMAC = errors.New("wrong mac")
	// ErrIndex: the packet is for another receiver index.
	ErrIndex = errors.New("wrong receiver index")
	// ErrDecrypt: the packet does not open under the keys.
	ErrDecrypt = errors.New("does not open")
	// ErrDevice: a device in a payload is not the one that Noise proved.
	ErrDevice = errors.New("device does not match the proven key")
	// ErrSelf: a handshake of a device with itself.
	ErrSelf = errors.New("handshake with ourselves")
	// ErrSpent: the handshake has been answered already.
	ErrSpent = errors.New("handshake already answered")
	// ErrTooLarge: a field exceeds what its packet has room for.
	ErrTooLarge = errors.New("too large")

	// ErrReplay: a Sealed packet was opened before, or is too old to tell.
	ErrReplay = errors.New("replayed or too old")
	// ErrEpoch: a Sealed packet is of an epoch whose key is not held.
	ErrEpoch = errors.New("no key for this epoch")
	// ErrExhausted: an association has sealed as many packets as it may.
	ErrExhausted = errors.New("association is used up")

	// ErrStale: the responder demands a stamp above what we gave, twice.
	ErrStale = errors.New("responder holds a later stamp")
	// ErrRefused: the responder refuses; the error's text has its reason.
	ErrRefused = errors.New("refused by the peer")
	// ErrFull: no receiver index is free.
	ErrFull = errors.New("table of receiver indices is full")
)

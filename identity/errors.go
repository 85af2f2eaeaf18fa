package identity

import "errors"

// What can be wrong with an identity. Errors returned by this package wrap one
// of these with text that names the object and the field.
var (
	// ErrMalformed: the input does not have the required structure, or a field
	// holds a value outside its rules (spec §3, §4).
	ErrMalformed = errors.New("malformed")
	// ErrTruncated: the input ends before the object does.
	ErrTruncated = errors.New("truncated")
	// ErrTooLarge: the input or a list in it exceeds its cap.
	ErrTooLarge = errors.New("too large")
	// ErrNotCanonical: the input means something valid but is not the one
	// deterministic encoding of it (spec §2), or has bytes after it.
	ErrNotCanonical = errors.New("not in canonical form")
	// ErrWrongType: an object or id of one type where another is needed.
	ErrWrongType = errors.New("wrong object type")
	// ErrWrongID: a valid object, but of another identity than required.
	ErrWrongID = errors.New("object of another id")
	// ErrSignature: a signature does not verify: the object was tampered with.
	ErrSignature = errors.New("signature does not verify")
	// ErrKeyMismatch: a secret is not the one an object's public keys belong to.
	ErrKeyMismatch = errors.New("secret does not belong to this object")
	// ErrRolledBack: an object no newer than the one already held.
	ErrRolledBack = errors.New("not newer than the object already held")

	// ErrOwnerMismatch: the device names another owner, or none.
	ErrOwnerMismatch = errors.New("device has another owner")
	// ErrNoMembership: the device names the owner but shows no owner's signature.
	ErrNoMembership = errors.New("device carries no owner's signature")
	// ErrExpired: the owner's object is past its validity.
	ErrExpired = errors.New("expired")
	// ErrRevoked: the owner has revoked the device.
	ErrRevoked = errors.New("revoked by its owner")

	// ErrPermissions: a key file can be read by other users.
	ErrPermissions = errors.New("key file is accessible to other users")
)

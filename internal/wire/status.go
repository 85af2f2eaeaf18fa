package wire

import "strconv"

// Status is the outcome of a request at an SN or PN (spec §6). One that this version
// does not know is a failure without a name.
type Status uint8

// The outcomes. Numbers are never reused.
const (
	StatusOK         Status = 0
	StatusNotFound   Status = 1
	StatusNotAllowed Status = 2
	StatusTooMany    Status = 3 // requests: over a rate limit
	StatusMalformed  Status = 4
	StatusTooOld     Status = 5 // than what the SN holds
	StatusTooLarge   Status = 6
	StatusSuperseded Status = 7 // another instance has registered
	StatusDraining   Status = 8 // the server is about to stop
)

// String says what the status means.
func (s Status) String() string {
	switch s {
	case StatusOK:
		return "ok"
	case StatusNotFound:
		return "not found"
	case StatusNotAllowed:
		return "not allowed"
	case StatusTooMany:
		return "too many requests"
	case StatusMalformed:
		return "malformed"
	case StatusTooOld:
		return "too old"
	case StatusTooLarge:
		return "too large"
	case StatusSuperseded:
		return "superseded"
	case StatusDraining:
		return "draining"
	}
	return "status " + strconv.Itoa(int(s))
}

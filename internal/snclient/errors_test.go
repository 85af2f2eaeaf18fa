package snclient

import (
	"testing"

	"github.com/bdtnet/bdt/internal/wire"
)

func TestStatusErrors(t *testing.T) {
	for status, want := range map[wire.Status]error{
		wire.StatusNotFound: ErrNotFound, wire.StatusNotAllowed: ErrNotAllowed, wire.StatusTooMany: ErrTooMany,
		wire.StatusTooOld: ErrTooOld, wire.StatusSuperseded: ErrSuperseded, wire.StatusMalformed: nil,
	} {
		e := &StatusError{Op: "call", Status: status}
		if e.Unwrap() != want || e.Error() == "" {
			t.Errorf("%v unwraps to %v", e, e.Unwrap())
		}
	}
}

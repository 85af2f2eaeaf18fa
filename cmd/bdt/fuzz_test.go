package main

import (
	"testing"

	"github.com/bdtnet/bdt/identity"
)

// FuzzParseTarget: what a target names can be dialled.
func FuzzParseTarget(f *testing.F) {
	f.Add("bdt:")
	f.Add("FXj9v3ffDFTHWMtMBA3rKTzJdLPg")
	f.Fuzz(func(t *testing.T, s string) {
		ticket, err := parseTarget(s)
		if err != nil {
			return
		}
		if ty := ticket.Peer().Type(); ty != identity.TypeDevice && ty != identity.TypePeople {
			t.Fatalf("%q names a %v", s, ty)
		}
	})
}

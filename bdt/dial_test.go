package bdt_test

import (
	"testing"
	"time"

	"github.com/bdtnet/bdt/netsim"
)

// Both ends at round trip R from the SN and P from each other: the first
// answered byte comes within R + 2.5 P + 5 ms (docs/spec/handshake.md §10).
func TestFirstByte(t *testing.T) {
	// The core is 10 ms from each end and 15 ms from the SN.
	const R, P = 2 * (10 + 15) * time.Millisecond, 2 * (10 + 10) * time.Millisecond
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		a := w.open("alice", w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.1"))
		defer a.Close()
		b := w.open("bob", w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2"))
		defer b.Close()
		b.ServeEcho()
		took := ask(t, a, b.ID())
		explain(t, a, b.ID())
		explain(t, b, a.ID())
		if limit := R + P*5/2 + 5*time.Millisecond; took > limit {
			t.Errorf("first answered byte after %v, limit %v", took, limit)
		}
		t.Logf("first answered byte after %v", took)
	})
}

package bdt_test

import (
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
)

// Who has only a relay to go by looks for something better for a while, and then
// leaves the super node alone.
func TestRelayedCallsLittle(t *testing.T) {
	for _, relayed := range []bool{true, false} {
		inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
			var change []func(*bdt.Config)
			if relayed {
				node := w.pn("pn", "203.0.113.5", 5*time.Millisecond)
				defer node.Close()
				change = append(change, through(node))
			}
			alice := w.open("alice", w.behind("alice", symmetricRandom, 10*time.Millisecond, "198.51.100.1"), change...)
			bob := w.open("bob", w.behind("bob", symmetricRandom, 10*time.Millisecond, "198.51.100.2"), change...)
			defer closeAll(t, alice, bob)
			bob.ServeEcho()
			settle(w)
			_, err := alice.Ping(t.Context(), bob.ID())
			if relayed != (err == nil) {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			calls := w.sn.Stats().CallsMade
			time.Sleep(10 * time.Minute)
			t.Logf("relayed=%v: %d calls, %d more", relayed, calls, w.sn.Stats().CallsMade-calls)
			if more := w.sn.Stats().CallsMade - calls; more != 0 || calls > 12 {
				t.Errorf("%d calls in a minute, %d later", calls, more)
			}
		})
	}
}

package bdt_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/netsim"
)

// Who dials a device that was closed is told as soon as if it had never been
// there.
func TestDialAfterClose(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		alice := w.open("alice", w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.1"))
		defer alice.Close()
		bob := w.open("bob", w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2"))
		bob.Close()
		time.Sleep(time.Second)
		start := time.Now()
		_, err := alice.Dial(context.Background(), bob.ID(), bdt.EchoService)
		if took := time.Since(start); !errors.Is(err, bdt.ErrNotFound) || took > 2*time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}

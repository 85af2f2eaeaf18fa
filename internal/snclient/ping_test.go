package snclient_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/sn"
)

// A ping of the embedder's is answered as the client's own are, and leaves those alone.
func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sn.Limits{})
		x := w.newNode(1, "198.51.100.1", 10*time.Millisecond)
		x.config.Inbox = 4
		x.start()
		for range 100 {
			if rtt, err := x.client.Ping(t.Context()); err != nil || rtt != 20*time.Millisecond {
				t.Fatalf("%v, %v", rtt, err)
			}
		}
		if n := x.client.Repeats(); n != 0 {
			t.Errorf("%d repeats without a loss", n)
		}
		x.link.SetDown(true)
		time.AfterFunc(700*time.Millisecond, func() { x.link.SetDown(false) })
		if rtt, err := x.client.Ping(t.Context()); err != nil || rtt < 700*time.Millisecond || rtt > 3*time.Second {
			t.Errorf("across an outage: %v, %v", rtt, err)
		}
		if n := x.client.Repeats(); n == 0 {
			t.Error("no repeats are counted")
		}
		x.client.Close()
		if _, err := x.client.Ping(t.Context()); !errors.Is(err, snclient.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

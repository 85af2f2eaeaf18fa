package bdt_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/underlay"
)

// An askedNetwork counts the questions about its interfaces.
type askedNetwork struct {
	underlay.Network
	asked atomic.Int64
}

func (n *askedNetwork) Interfaces() ([]underlay.Interface, error) {
	n.asked.Add(1)
	return n.Network.Interfaces()
}

// Handshakes of strangers do not have the operating system list its interfaces
// each time.
func TestInterfacesAreAskedSeldom(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		n := &askedNetwork{Network: w.public("bob", time.Millisecond, bobHost)}
		bob := w.open("bob", w.net.Host("unused"), func(c *bdt.Config) { c.Network = n })
		defer closeAll(t, bob)
		r := w.rogue("203.0.113.66")
		defer r.close()
		time.Sleep(time.Minute)
		before := n.asked.Load()
		start := time.Now()
		for range 100 {
			r.device = newDevice(t, "rogue")
			r.local = noise.NewLocal(r.device)
			r.shake(bob, addrOf(bob, bobHost))
		}
		if got, most := n.asked.Load()-before, int64(time.Since(start)/time.Second)+2; got > most {
			t.Errorf("asked %d times in %v", got, time.Since(start))
		}
	})
}

package bdt_test

import (
	"context"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

// A stranger that dials and vanishes does not have us register with the SNs that
// it names in its descriptor: it would learn where we are, and crowd out others.
func TestStrangersSNsAreNotJoined(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		bob := w.open("bob", w.public("bob", time.Millisecond, bobHost))
		bob.ServeEcho()
		foreign := identity.Ref{ID: newDevice(t, "foreign").Device.ID(), Addr: "198.51.100.200:8443"}
		mallory := w.open("mallory", w.public("mallory", time.Millisecond, aliceHost), func(c *bdt.Config) {
			c.SNs = append(c.SNs, foreign)
		})
		mallory.ServeEcho()
		c, err := mallory.Dial(context.Background(), bob.ID(), bdt.EchoService)
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("x"))
		if err := readByte(c); err != nil {
			t.Fatal(err)
		}
		w.links["mallory"].SetDown(true)
		time.Sleep(time.Minute) // bob misses it, and calls it again
		for _, sn := range bob.SNs() {
			if sn.Ref == foreign {
				t.Error("joined a stranger's super node")
			}
		}
		w.links["mallory"].SetDown(false)
		// Whom we dial ourselves is another matter.
		ask(t, bob, mallory.ID())
		closeAll(t, bob, mallory)
	})
}

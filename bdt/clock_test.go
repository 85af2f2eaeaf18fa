package bdt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
)

// A device whose clock was set back by 30 years works: at its SN and at a peer
// that both remember it from the future, with no file to remember it by itself.
func TestClockSetBack(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		bob := w.open("bob", w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2"))
		defer bob.Close()
		bob.ServeEcho()

		host := w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.1")
		device := newDevice(t, "alice")
		future := time.Now().AddDate(30, 0, 0)
		ahead, err := device.Device.Update(device.Secret, identity.DeviceBody{Name: "alice", Updated: uint64(future.UnixMilli())})
		if err != nil {
			t.Fatal(err)
		}
		stamps := filepath.Join(t.TempDir(), "stamps")
		if err := os.WriteFile(stamps, fmt.Appendln(nil, future.UnixMicro()), 0o600); err != nil {
			t.Fatal(err)
		}
		alice := w.open("alice", host, func(c *bdt.Config) {
			c.Device = &identity.LocalDevice{Secret: device.Secret, Device: ahead}
			c.StampFile = stamps
		})
		alice.ServeEcho()
		ask(t, alice, bob.ID())
		alice.Close()

		alice = w.open("alice", host, func(c *bdt.Config) { c.Device = device })
		alice.ServeEcho()
		took := ask(t, alice, bob.ID())
		t.Logf("the dial with the clock set back took %v", took)
		alice.Close()

		alice = w.open("alice", host, func(c *bdt.Config) { c.Device = device })
		defer alice.Close()
		alice.ServeEcho()
		took = redial(t, bob, alice.ID())
		t.Logf("the dial to the clock set back took %v", took)
	})
}

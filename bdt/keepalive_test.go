package bdt_test

import (
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/netsim"
)

// Devices find out how often their NAT must be reminded of them, and can be called at any
// time; the longer their NAT remembers, the less they send.
func TestKeepAliveIsLearned(t *testing.T) {
	for _, c := range []struct {
		nat      time.Duration
		min, max time.Duration // what is learned
		loss     float64
	}{
		{nat: 20 * time.Second, min: 10 * time.Second, max: 16 * time.Second},
		{nat: 60 * time.Second, min: 30 * time.Second, max: 48 * time.Second},
		{nat: 300 * time.Second, min: 120 * time.Second, max: 120 * time.Second},
		{nat: 60 * time.Second, min: 10 * time.Second, max: 48 * time.Second, loss: 0.1},
	} {
		inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
			config := netsim.PortRestricted
			config.Timeout, config.Ports = c.nat, netsim.RandomPort
			bob := w.open("bob", w.behind("bob", config, 10*time.Millisecond, "198.51.100.2"))
			defer closeAll(t, bob)
			bob.ServeEcho()
			link := w.links["bob"]
			link.SetLoss(c.loss)
			time.Sleep(4 * time.Minute)
			got := bob.KeepAlive()
			before, _ := link.Stats()
			time.Sleep(4 * time.Hour)
			after, _ := link.Stats()
			link.SetLoss(0)
			hourly := (after.Packets[netsim.Sent] - before.Packets[netsim.Sent]) / 4
			t.Logf("a NAT that forgets after %v, loss %v: every %v, %d packets an hour from the device", c.nat, c.loss, got, hourly)
			if got < c.min || got > c.max {
				t.Errorf("want %v to %v", c.min, c.max)
			}
			// A ping and a STUN request for each socket, with the time taken off at random.
			if most := uint64(2.5 * float64(time.Hour/got)); c.loss == 0 && hourly > most {
				t.Errorf("more than %d", most)
			}
			for i := range 10 {
				caller := w.open("caller", w.public("caller", time.Millisecond, freshAddr()))
				time.Sleep(time.Duration(i) * 7 * time.Second)
				ask(t, caller, bob.ID())
				caller.Close()
			}
		})
	}
}

// What is configured is not found out.
func TestKeepAliveIsConfigured(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		config := netsim.PortRestricted
		config.Timeout = 300 * time.Second
		bob := w.open("bob", w.behind("bob", config, 10*time.Millisecond, "198.51.100.2"), func(c *bdt.Config) { c.KeepAlive = 40 * time.Second })
		defer closeAll(t, bob)
		time.Sleep(time.Hour)
		up, _ := w.links["bob"].Stats()
		n := up.Packets[netsim.Sent]
		t.Logf("every %v: %d packets in an hour", bob.KeepAlive(), n)
		if bob.KeepAlive() != 40*time.Second || n > 2*3600/36+40 || n < 2*3600/44 {
			t.Error("want about 180 packets")
		}
	})
}

// A path between two NATs that forget after 20 s stays usable without a moment's silence
// while it is in use now and then, once that is known.
func TestKeepAliveOfPaths(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		config := netsim.PortRestricted
		config.Timeout, config.Ports = 20*time.Second, netsim.RandomPort
		alice := w.open("alice", w.behind("alice", config, 10*time.Millisecond, "198.51.100.1"))
		bob := w.open("bob", w.behind("bob", config, 10*time.Millisecond, "198.51.100.2"))
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		time.Sleep(4 * time.Minute)
		ask(t, alice, bob.ID())
		c, err := alice.Dial(t.Context(), bob.ID(), bdt.EchoService)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		worst := time.Duration(0)
		for range 30 {
			time.Sleep(110 * time.Second)
			worst = max(worst, exchange(t, c))
		}
		t.Logf("the slowest of 30 answers after 110 s of silence took %v", worst)
		if worst > 45*time.Millisecond {
			explain(t, alice, bob.ID())
			t.Error("want one round trip of 40 ms")
		}
	})
}

// An SN that does not answer to other ports leaves only the evidence: a mapping that
// changes has been forgotten.
func TestKeepAliveByEvidence(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		config := netsim.PortRestricted
		config.Timeout, config.Ports = 20*time.Second, netsim.RandomPort
		host := w.behind("bob", config, 10*time.Millisecond, "198.51.100.2")
		w.links["bob"].SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
			if len(p.Data) == 28 && p.Data[0] == 0 && p.Data[1] == 1 { // a request with RESPONSE-PORT
				return
			}
			emit(p, 0)
		})
		bob := w.open("bob", host)
		defer closeAll(t, bob)
		bob.ServeEcho()
		time.Sleep(5 * time.Minute)
		t.Logf("every %v", bob.KeepAlive())
		if got := bob.KeepAlive(); got >= 20*time.Second || got < 10*time.Second {
			t.Errorf("every %v at a NAT that forgets after 20 s", got)
		}
	})
}

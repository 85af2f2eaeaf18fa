package bdt_test

import (
	"context"
	"io"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/netsim"
)

// elsewhere counts the packets on a link that neither come from nor go to the SN.
func (w *world) elsewhere(link *netsim.Link) *atomic.Int64 {
	n := new(atomic.Int64)
	isSN := func(a netip.AddrPort) bool { return a.Port() == 8443 }
	link.SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
		if !isSN(p.Src) && !isSN(p.Dst) {
			n.Add(1)
		}
		emit(p, 0)
	})
	return n
}

// exchange writes a byte and reads one, and returns how long that took.
func exchange(t *testing.T, c *bdt.Conn) time.Duration {
	t.Helper()
	start := time.Now()
	c.SetDeadline(start.Add(time.Minute))
	var b [1]byte
	if _, err := c.Write(b[:]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, b[:]); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

// A session that was idle for 20 hours, during which the NATs at both ends have
// forgotten it, answers within R + 2.5 P of being used again, by the stream that there was
// or a new one, from either end. While it is idle it costs nothing.
func TestWaking(t *testing.T) {
	const r, p = 2 * (15 + 10) * time.Millisecond, 2 * (10 + 10) * time.Millisecond
	const limit = r + 5*p/2
	for _, how := range some("caller's stream", "caller's new stream", "callee's stream", "callee's new stream") {
		for _, nat := range []time.Duration{40 * time.Second, 120 * time.Second} {
			inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
				config := netsim.PortRestricted
				config.Timeout = nat
				alice := w.open("alice", w.behind("alice", config, 10*time.Millisecond, "198.51.100.1"))
				bob := w.open("bob", w.behind("bob", config, 10*time.Millisecond, "198.51.100.2"))
				defer closeAll(t, alice, bob)
				alice.ServeEcho()
				bob.ServeEcho()
				settle(w)
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				from, to := alice, bob
				if how[:6] == "callee" {
					from, to = bob, alice
				}
				ask(t, alice, bob.ID())
				c, err := from.Dial(ctx, to.ID(), bdt.EchoService)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				exchange(t, c)
				time.Sleep(10 * time.Minute)

				others := []*atomic.Int64{w.elsewhere(w.links["alice"]), w.elsewhere(w.links["bob"])}
				time.Sleep(20 * time.Hour)
				for i, n := range others {
					if got := n.Load(); got > 0 {
						t.Errorf("device %d: %d packets in 20 idle hours that were not with the SN", i, got)
					}
				}
				var took time.Duration
				if how[7:] == "s stream" {
					took = exchange(t, c)
				} else {
					took = ask(t, from, to.ID())
				}
				t.Logf("%s, NATs of %v: answered %v after waking, limit %v", how, nat, took, limit)
				if took > limit || sessionsOpened(from) != 1 {
					t.Errorf("answered after %v, %d sessions", took, sessionsOpened(from))
					explain(t, from, to.ID())
				}
			})
		}
	}
}

// What the clocks say of a sleep of the machine.
func TestSuspended(t *testing.T) {
	for _, c := range []struct {
		wall, monotonic time.Duration
		want            bool
	}{
		{2 * time.Second, 2 * time.Second, false},
		{10 * time.Minute, 10 * time.Minute, false}, // a stall, or a timer that came late
		{8 * time.Hour, 2 * time.Second, true},
		{5 * time.Second, 2 * time.Second, true},
		{3 * time.Second, 2 * time.Second, false},
		{-time.Hour, 2 * time.Second, false}, // the clock was set back
	} {
		if got := bdt.Suspended(c.wall, c.monotonic); got != c.want {
			t.Errorf("wall %v, monotonic %v: %v", c.wall, c.monotonic, got)
		}
	}
}

// A machine that wakes is heard at its peers within a second of the next tick, though its
// NAT has meanwhile forgotten it and it has moved.
func TestSuspend(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		config := netsim.PortRestricted
		config.Ports = netsim.RandomPort // each mapping is another
		alice := w.open("alice", w.behind("alice", config, 10*time.Millisecond, "198.51.100.1"))
		bob := w.open("bob", w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2"))
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		ask(t, alice, bob.ID())
		c, err := alice.Dial(t.Context(), bob.ID(), bdt.EchoService)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		exchange(t, c)
		time.Sleep(time.Second) // until all is acknowledged: who waits for nothing is not missed

		// A machine that sleeps says and hears nothing, and its timers stand still. Those of
		// the simulated one run, but what they send is lost.
		w.cutter("alice")(true)
		time.Sleep(8 * time.Minute)
		w.cutter("alice")(false)
		alice.Sleep(8 * time.Minute)
		time.Sleep(bdt.SuspendTick + time.Second)
		synctest.Wait()
		if !alice.Online() {
			t.Error("offline a second after waking was noticed")
		}
		took := exchange(t, c)
		t.Logf("answered after %v", took)
		if limit := time.Second; took > limit || sessionsOpened(alice) != 1 {
			explain(t, alice, bob.ID())
			t.Errorf("limit %v; %d sessions", limit, sessionsOpened(alice))
		}
	})
}

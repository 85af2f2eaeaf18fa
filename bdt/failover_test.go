package bdt_test

import (
	"errors"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
)

// The first of two SNs dies without a word. A new dial costs at most the head start of the
// first over the second, at any time after the death; a session that there is, nothing.
func TestFirstSNDies(t *testing.T) {
	const fanOut = 250 * time.Millisecond
	var alive time.Duration
	for _, after := range some[time.Duration](-1, 0, 10*time.Millisecond, time.Second, 3*time.Second, 10*time.Second, 40*time.Second, 10*time.Minute) {
		inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
			second, ref := w.secondSN("203.0.113.2")
			defer second.Close()
			both := func(c *bdt.Config) { c.SNs = []identity.Ref{w.ref, ref} }
			open := func(name, wan string) *bdt.Stack {
				return w.open(name, w.behind(name, netsim.PortRestricted, 10*time.Millisecond, wan), both)
			}
			alice, bob, carol := open("alice", "198.51.100.1"), open("bob", "198.51.100.2"), open("carol", "198.51.100.3")
			defer closeAll(t, alice, bob, carol)
			bob.ServeEcho()
			carol.ServeEcho()
			settle(w)
			l := newLoad(t, alice, bob)
			defer l.stop()
			time.Sleep(5 * time.Second)

			if after >= 0 {
				w.snLink.SetDown(true)
				defer w.snLink.SetDown(false)
				time.Sleep(after)
			}
			l.from(0)
			took := ask(t, alice, carol.ID())
			toAlice, toBob := l.gaps()
			if after < 0 {
				alive = took
				t.Logf("both alive: %v", took)
				return
			}
			t.Logf("%v after the death: dialled in %v, %v more; the session's gaps are %v and %v", after, took, took-alive, toAlice, toBob)
			if took > alive+fanOut+5*time.Millisecond {
				t.Errorf("limit %v", alive+fanOut)
				explain(t, alice, carol.ID())
			}
			if toAlice > 20*time.Millisecond || toBob > 20*time.Millisecond {
				t.Error("the session has noticed")
			}
		})
	}
}

// A dial whose only SN is dead says so before long, and one of a device that is not
// known to the SN that lives does not wait for the dead one.
func TestOnlySNIsDead(t *testing.T) {
	for _, after := range []time.Duration{0, time.Second, time.Minute} {
		inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
			alice := w.open("alice", w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.1"))
			bob := w.open("bob", w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2"))
			defer closeAll(t, alice, bob)
			bob.ServeEcho()
			settle(w)
			w.snLink.SetDown(true)
			defer w.snLink.SetDown(false)
			time.Sleep(after)
			start := time.Now()
			_, err := alice.Ping(t.Context(), bob.ID())
			took := time.Since(start)
			t.Logf("%v after the death: %v after %v", after, err, took)
			if !errors.Is(err, bdt.ErrOffline) || took > 6*time.Second {
				t.Errorf("want %v within 6s", bdt.ErrOffline)
			}
			if alice.Online() {
				t.Error("still online")
			}
			// And the next one is as soon answered as the SN is back.
			w.snLink.SetDown(false)
			ctx := t.Context()
			if err := alice.WaitOnline(ctx); err != nil {
				t.Fatal(err)
			}
			if err := bob.WaitOnline(ctx); err != nil {
				t.Fatal(err)
			}
			ask(t, alice, bob.ID())
		})
	}
}

// A device names the nearest of its SNs first, wherever its configuration has it, and callers
// ask that first.
func TestNearestSNFirst(t *testing.T) {
	inVirtualTime(t, 60*time.Millisecond, func(t *testing.T, w *world) {
		near, ref := w.secondSN("203.0.113.2")
		defer near.Close()
		both := func(c *bdt.Config) { c.SNs = []identity.Ref{w.ref, ref} }
		open := func(name, wan string) *bdt.Stack {
			return w.open(name, w.behind(name, netsim.PortRestricted, time.Millisecond, wan), both)
		}
		alice, bob := open("alice", "198.51.100.1"), open("bob", "198.51.100.2")
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		settle(w)
		if got := bob.Device().SNs(); len(got) != 2 || got[0] != ref || got[1] != w.ref {
			t.Errorf("SNs are named %v, the near one is %v", got, ref)
		}
		before := near.Stats().CallsMade
		if err := alice.Learn(identity.Ticket{ID: bob.ID(), Device: bob.Device()}); err != nil {
			t.Fatal(err)
		}
		took := ask(t, alice, bob.ID())
		t.Logf("dialled in %v", took)
		if near.Stats().CallsMade == before || took > 100*time.Millisecond {
			t.Errorf("not by way of the near SN")
		}
		updated := bob.Device().Updated()
		time.Sleep(time.Hour)
		if bob.Device().Updated() != updated {
			t.Error("the descriptor changes for nothing")
		}
	})
}

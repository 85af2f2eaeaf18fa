package bdt_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/pn"
)

// A PN that refuses before the SN has answered costs the dial no more than one that refuses after.
func TestRelayRefusesAtOnce(t *testing.T) {
	for _, sn := range []time.Duration{time.Millisecond, 100 * time.Millisecond} {
		inVirtualTime(t, sn, func(t *testing.T, w *world) {
			closed := w.pn("pn1", "203.0.113.5", time.Millisecond, func(c *pn.Config) { c.Admission = pn.Admission{Tokens: true} })
			open := w.pn("pn2", "203.0.113.6", 5*time.Millisecond)
			defer closed.Close()
			defer open.Close()
			alice, bob := relayWorld(w, closed, open)
			defer closeAll(t, alice, bob)
			took := ask(t, alice, bob.ID())
			t.Logf("SN %v away: %v", sn, took)
			if limit := 4*(sn+10*time.Millisecond) + 400*time.Millisecond; took > limit {
				explain(t, alice, bob.ID())
				t.Errorf("limit %v", limit)
			}
		})
	}
}

// A peer that is restarting is waited for, though a PN refuses at once.
func TestRelayRefusesWhilePeerRestarts(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		closed := w.pn("pn1", "203.0.113.5", time.Millisecond, func(c *pn.Config) { c.Admission = pn.Admission{Tokens: true} })
		defer closed.Close()
		alice := w.open("alice", w.behind("alice", netsim.FullCone, 10*time.Millisecond, "198.51.100.1"), through(closed))
		defer closeAll(t, alice)
		settle(w)
		start := time.Now()
		_, err := alice.Ping(t.Context(), newDevice(t, "bob").Device.ID())
		if took := time.Since(start); !errors.Is(err, bdt.ErrNotFound) || took < time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// The PN that stands by dies, and then the direct path: there is another PN.
func TestRelayStandbyDies(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		first, second := w.pn("pn1", "203.0.113.5", time.Millisecond), w.pn("pn2", "203.0.113.6", 5*time.Millisecond)
		defer first.Close()
		defer second.Close()
		alice := w.open("alice", w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.1"), through(first, second))
		bob := w.open("bob", w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2"), through(first, second))
		defer closeAll(t, alice, bob)
		var cut atomic.Bool
		w.cutDirect(&cut, "alice", "bob")
		settle(w)
		l := newLoad(t, alice, bob)
		defer l.stop()
		time.Sleep(5 * time.Second)
		first.link.SetDown(true)
		defer first.link.SetDown(false)
		time.Sleep(2 * time.Minute)
		cut.Store(true)
		time.Sleep(100 * time.Millisecond)
		l.from(100 * time.Millisecond)
		time.Sleep(20 * time.Second)
		toAlice, toBob := l.gaps()
		t.Logf("gaps %v and %v", toAlice, toBob)
		if limit := 3 * time.Second; toAlice > limit || toBob > limit {
			explain(t, alice, bob.ID())
			t.Errorf("limit %v", limit)
		}
	})
}

// Whenever stacks are closed, nothing of a relay is left.
func TestRelayClosing(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 30 {
		inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
			node := w.pn("pn", "203.0.113.5", 5*time.Millisecond)
			defer node.Close()
			alice, bob := relayWorld(w, node)
			var dials sync.WaitGroup
			dials.Go(func() { alice.Ping(t.Context(), bob.ID()) })
			dials.Go(func() { bob.Ping(t.Context(), alice.ID()) })
			time.Sleep(time.Duration(rng.Int64N(int64(400 * time.Millisecond))))
			closeAll(t, alice)
			time.Sleep(time.Duration(rng.Int64N(int64(100 * time.Millisecond))))
			closeAll(t, bob)
			dials.Wait()
			time.Sleep(3 * time.Minute)
			if st := node.Stats(); st.Pairs != 0 || st.Sessions != 0 || st.Waiting != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// A device that does not use PNs any more does not name those that it used.
func TestDescriptorWithoutPNs(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		node := w.pn("pn", "203.0.113.5", 5*time.Millisecond)
		defer node.Close()
		device := newDevice(t, "bob")
		host := w.behind("bob", symmetricRandom, 10*time.Millisecond, "198.51.100.2")
		bob := w.open("bob", host, through(node), func(c *bdt.Config) { c.Device = device })
		device = &identity.LocalDevice{Secret: device.Secret, Device: bob.Device()}
		closeAll(t, bob)
		bob = w.open("bob", host, func(c *bdt.Config) { c.Device = device })
		defer closeAll(t, bob)
		if list := bob.Device().PNs(); len(list) != 0 {
			t.Errorf("it names %v, and is at none", list)
		}
	})
}

// The address by which a relayed path is shown does not tell the tag, which is a secret of those
// who use it.
func TestRelayAddrHidesTheTag(t *testing.T) {
	tag := wire.Tag{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	addr := bdt.RelayAddr(tag).Addr().As16()
	for i := range len(tag) - 1 {
		if bytes.Contains(addr[:], tag[i:i+2]) {
			t.Errorf("%x in %x", tag, addr)
		}
	}
}

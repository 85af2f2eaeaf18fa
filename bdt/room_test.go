package bdt_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
)

// While somebody begins more handshakes than there is room for, under ever new
// names and without end, an honest device still comes through.
func TestHandshakeFloodLeavesRoom(t *testing.T) {
	const limit = 64
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		bob := w.open("bob", w.public("bob", time.Millisecond, bobHost), func(c *bdt.Config) { c.MaxPeers = limit })
		carol := w.open("carol", w.public("carol", time.Millisecond, aliceHost))
		defer closeAll(t, bob, carol)
		bob.ServeEcho()
		r := w.rogue("203.0.113.66")
		defer r.close()
		flood := func(n int) {
			for range n {
				r.device = newDevice(t, "rogue")
				r.local = noise.NewLocal(r.device)
				r.send(nowhere, addrOf(bob, bobHost), r.initiate(r.local, bob).Packet())
				time.Sleep(5 * time.Millisecond)
			}
		}
		flood(2 * limit)
		done := make(chan error, 1)
		go func() {
			// Until it is proven her handshake, too, may be picked to make room (1 in 64 for
			// each rogue's that comes). Her next round of calls is after a second.
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_, err := carol.Ping(ctx, bob.ID())
			done <- err
		}()
		for len(done) == 0 {
			flood(1)
		}
		if err := <-done; err != nil {
			t.Errorf("an honest device does not get through: %v", err)
		}
		if n := len(bob.Peers()); n > limit {
			t.Errorf("%d peers, of %d", n, limit)
		}
	})
}

// Sessions that nobody uses any more, of devices that have vanished, make room.
func TestAbandonedSessionsLeaveRoom(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		bob := w.open("bob", w.public("bob", time.Millisecond, bobHost), func(c *bdt.Config) { c.MaxPeers = 2 })
		l := listen(t, bob, "s")
		alice := w.open("alice", w.public("alice", time.Millisecond, aliceHost))
		mallory := w.open("mallory", w.public("mallory", time.Millisecond, "203.0.113.13"))
		carol := w.open("carol", w.public("carol", time.Millisecond, "203.0.113.14"))
		talk, heard := connect(t, alice, l)
		connect(t, mallory, l)
		w.links["mallory"].SetDown(true)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := carol.Dial(ctx, bob.ID(), "s"); err == nil {
			t.Fatal("there was room: this proves nothing")
		}
		for range 12 {
			time.Sleep(time.Minute)
			io.WriteString(talk, "x")
			if err := readByte(heard); err != nil {
				t.Fatal(err)
			}
		}
		connect(t, carol, l)
		if p, ok := bob.Peer(alice.ID()); !ok || p.State != "connected" {
			t.Error("the one in use was dropped")
		}
		closeAll(t, alice, bob, carol, mallory)
	})
}

// However many strangers keep their sessions busy, devices of the own zone and
// friends get in, and strangers that have gone quiet do not take their places.
func TestStrangersLeaveRoomForTheZone(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, 1000*time.Hour)
		friend := newDevice(t, "friend")
		bob := w.open("bob", w.public("bob", time.Millisecond, bobHost), inZone(z, z.member("bob")), func(c *bdt.Config) {
			c.MaxPeers, c.Friends = 16, []identity.ID{friend.Device.ID()}
		})
		l := listen(t, bob, "s")
		stacks := []*bdt.Stack{bob}
		defer func() { closeAll(t, stacks...) }()
		open := func(name string, device *identity.LocalDevice) *bdt.Stack {
			s := w.open(name, w.public(name, time.Millisecond, freshAddr()), func(c *bdt.Config) { c.Device = device })
			stacks = append(stacks, s)
			return s
		}
		refused := func(name string, device *identity.LocalDevice) {
			t.Helper()
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			if _, err := open(name, device).Dial(ctx, bob.ID(), "s"); err == nil {
				t.Errorf("%s got a place", name)
			}
		}
		for range 14 {
			connect(t, open("stranger", newDevice(t, "stranger")), l)
		}
		refused("one stranger more", newDevice(t, "stranger"))
		refused("one who claims to be of the zone", z.claimant("claimant"))
		mine, here := connect(t, open("mine", z.member("mine")), l)
		connect(t, open("friend", friend), l)
		if n := len(bob.Peers()); n != 16 {
			t.Errorf("%d peers, of 16", n)
		}
		// All are busy: there is no place for another of the zone, and none is cut off for it.
		refused("one too many", z.member("late"))

		time.Sleep(time.Hour) // nobody says anything
		for range 10 {
			connect(t, open("newcomer", newDevice(t, "newcomer")), l)
		}
		if _, err := io.WriteString(mine, "x"); err != nil {
			t.Error(err)
		}
		here.SetReadDeadline(time.Now().Add(10 * time.Second))
		if err := readByte(here); err != nil {
			t.Errorf("a device of the zone that was quiet has been dropped for a stranger: %v", err)
		}
	})
}

package sn

import (
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

func TestSieve(t *testing.T) {
	s := newSieve[int](1024)
	r := Rate{PerSecond: 10, Burst: 20}
	n := 0
	for range 100 {
		if s.take(1, r, time.Second) {
			n++
		}
	}
	if n != 20 {
		t.Errorf("%d tokens of a burst of 20", n)
	}
	others := 0
	for k := range 100 {
		if s.take(k+2, r, time.Second) {
			others++
		}
	}
	if others < 98 { // one in a thousand shares the place
		t.Errorf("%d of 100 others have a token", others)
	}
	if !s.take(1, r, 2*time.Second) {
		t.Error("no token after a second")
	}
}

// One host with many identities cannot keep others from calling.
func TestOneNetworkCannotUseUpTheCalls(t *testing.T) {
	inBubble(t, Limits{Calls: 1000, Network: Rate{PerSecond: -1}}, func(t *testing.T, r *rig) {
		callees := []*dev{}
		for i := range 60 {
			callees = append(callees, r.online(20_000+256*i))
		}
		ok, refused := 0, 0
		for i := range 40 {
			d := r.online(i) // all of 198.18.0.0/24
			for _, c := range callees[:30] {
				switch d.call(wire.Call{Callee: c.id()}).Status {
				case wire.StatusOK:
					ok++
				default:
					refused++
				}
			}
		}
		if ok != 500 || refused != 700 {
			t.Errorf("%d calls of one network, %d refused, want half of the table", ok, refused)
		}
		honest := r.online(5000)
		for _, c := range callees {
			if s := honest.call(wire.Call{Callee: c.id()}).Status; s != wire.StatusOK && honest.request < 40 {
				t.Fatalf("call %d of another network: %v", honest.request, s)
			}
		}
		time.Sleep(callLife + sweepParts*sweepInterval)
		if n := r.s.calls.quota.Len(); n != 0 {
			t.Errorf("%d places are taken by no call", n)
		}
	})
}

func TestCallsOfANetwork(t *testing.T) {
	inBubble(t, Limits{Network: Rate{PerSecond: 20, Burst: 30}}, func(t *testing.T, r *rig) {
		ok := 0
		for i := range 100 {
			callee := r.online(20_000 + 256*i)
			if r.online(i).call(wire.Call{Callee: callee.id()}).Status == wire.StatusOK {
				ok++
			}
		}
		if ok != 30 {
			t.Errorf("%d calls of a network, want 30", ok)
		}
	})
}

func TestDevicesOfANetwork(t *testing.T) {
	inBubble(t, Limits{PerNetwork: 5}, func(t *testing.T, r *rig) {
		for i := range 8 {
			d := r.dev(i).shake()
			want := wire.StatusOK
			if i >= 5 {
				want = wire.StatusTooMany
			}
			if m := d.register(wire.VisibleEveryone); m.Status != want {
				t.Errorf("device %d: %v, want %v", i, m.Status, want)
			}
		}
		moving := r.online(300) // another /24
		moving.send(&wire.Goodbye{})
		if r.online(301); r.s.devices.quota.Held(networkOf(addrOf(300).Addr())) != 1 {
			t.Errorf("%d devices count for the network", r.s.devices.quota.Held(networkOf(addrOf(300).Addr())))
		}
		time.Sleep(silence + 2*sweepParts*sweepInterval)
		if n := r.s.devices.quota.Len(); n != 0 {
			t.Errorf("%d places are taken by no device", n)
		}
	})
}

// A callee that strangers from everywhere keep busy is still reached by those whom
// it has called.
func TestReserveForKnownPeers(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		callee, friend, stranger := r.online(1), r.online(300), r.online(600)
		if s := callee.call(wire.Call{Callee: friend.id()}).Status; s != wire.StatusOK {
			t.Fatal(s)
		}
		refused := 0
		for i := range 150 {
			if r.online(10_000+256*i).call(wire.Call{Callee: callee.id()}).Status == wire.StatusTooMany {
				refused++
			}
		}
		if refused != 50 {
			t.Errorf("%d calls of 150 networks were refused, want 50", refused)
		}
		if s := stranger.call(wire.Call{Callee: callee.id()}).Status; s != wire.StatusTooMany {
			t.Errorf("a stranger's call: %v", s)
		}
		friend.received()
		if s := friend.call(wire.Call{Callee: callee.id()}).Status; s != wire.StatusOK {
			t.Errorf("a known peer's call: %v", s)
		}
	})
}

func TestReserveForTheZone(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		people, members := zoneOf(t, 10)
		callee, sibling := r.devOf(1, members[0]), r.devOf(300, members[1])
		impostor := r.devOf(600, newLocal(t, 3, people.ID()))
		for _, d := range []*dev{callee, sibling, impostor} {
			d.shake().register(wire.VisibleEveryone)
		}
		sibling.send(&wire.Publish{Request: sibling.next(), Object: people.Bytes()})
		one(t, wire.ParsePublished, sibling.received())
		for i := range 150 {
			r.online(10_000 + 256*i).call(wire.Call{Callee: callee.id()})
		}
		if s := impostor.call(wire.Call{Callee: callee.id()}).Status; s != wire.StatusTooMany {
			t.Errorf("call by a device that claims the owner: %v", s)
		}
		if s := sibling.call(wire.Call{Callee: callee.id()}).Status; s != wire.StatusOK {
			t.Errorf("call by a device of the zone: %v", s)
		}
	})
}

// Who fills the directory makes room itself.
func TestDirectoryMakesRoomFairly(t *testing.T) {
	d := newDirectory(640)
	for i := range 20 {
		d.put(numberedID(i), object{1, []byte{1}}, 1, 0) // honest, and the first to expire
	}
	for i := range 5000 {
		if _, err := d.put(numberedID(1000+i), object{1, []byte{1}}, 2, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		if d.get(numberedID(i), 0).bytes == nil {
			t.Errorf("object %d of another network is gone", i)
		}
	}
	for i := range 50 {
		if _, err := d.put(numberedID(500+i), object{1, []byte{1}}, 3, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if d.len() != 640 || d.quota.Len() != 640 || d.quota.Held(1) != 20 || d.quota.Held(3) != 50 {
		t.Errorf("%d objects, %d counted: %d, %d, %d", d.len(), d.quota.Len(), d.quota.Held(1), d.quota.Held(2), d.quota.Held(3))
	}
}

func TestPendingHandshakesOfANetwork(t *testing.T) {
	inBubble(t, Limits{Pending: 20}, func(t *testing.T, r *rig) {
		for i := range 15 {
			r.deliver(addrOf(i), r.dev(i).initiation().Packet())
		}
		if n := r.s.pending.Len(); n != 10 {
			t.Errorf("%d handshakes of one network are pending, want 10", n)
		}
		r.dev(300).shake()
		time.Sleep(freshLife + 2*sweepInterval)
		if n := r.s.pending.Len(); n != 0 {
			t.Errorf("%d places are taken by no handshake", n)
		}
	})
}

package sn

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

func TestDescribe(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		ask := wire.Describe{Nonce: [8]byte{7}, ID: r.self.Device.ID()}
		b := ask.Append(nil)
		r.deliver(addrOf(1), b)
		out := r.sock.take(addrOf(1))
		if len(out) != 1 {
			t.Fatalf("%d packets", len(out))
		}
		m, err := wire.ParseDescribed(out[0])
		if err != nil || m.Nonce != ask.Nonce || string(m.Device) != string(r.self.Device.Bytes()) {
			t.Errorf("described %+v, %v", m, err)
		}
		if len(out[0]) > len(b) {
			t.Errorf("%d bytes earned %d", len(b), len(out[0]))
		}
		other := wire.Describe{ID: newLocal(t, 5, identity.ID{}).Device.ID()}
		r.deliver(addrOf(1), other.Append(nil))
		if out := r.sock.take(addrOf(1)); len(out) != 0 {
			t.Error("described another device")
		}
	})
}

func TestMoveTakesAChallenge(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d := r.online(1)
		old, moved := d.addr, addrOf(9)

		// The NAT gave it another address. The message counts, its answer goes
		// where the device was.
		r.deliver(moved, d.seal(&wire.Ping{Request: d.next(), Instance: d.instance}))
		c := one(t, wire.ParseChallenge, d.receivedAt(moved))
		if p := one(t, wire.ParsePong, d.receivedAt(old)); p.Observed != old {
			t.Errorf("pong observed %v", p.Observed)
		}
		r.deliver(moved, d.seal(&wire.ChallengeReply{Token: c.Token}))
		r.deliver(moved, d.seal(&wire.Ping{Request: d.next(), Instance: d.instance}))
		if p := one(t, wire.ParsePong, d.receivedAt(moved)); p.Observed != moved {
			t.Errorf("pong observed %v, want %v", p.Observed, moved)
		}
		none(t, d.receivedAt(old))
		if st := r.s.Stats(); st.Moves != 1 || st.Challenges != 1 {
			t.Errorf("%d moves, %d challenges", st.Moves, st.Challenges)
		}
	})
}

func TestForgedSourceDoesNotMove(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d, caller := r.online(1), r.online(2)
		victim := addrOf(9)
		// An observer sends copies of packets, ahead of the originals, from an
		// address that is not the device's.
		for range 20 {
			pkt := d.seal(&wire.Ping{Request: d.next(), Instance: d.instance})
			r.deliver(victim, pkt)
			r.deliver(d.addr, pkt)
			if p := one(t, wire.ParsePong, d.received()); p.Observed != d.addr {
				t.Fatalf("moved to %v", p.Observed)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := len(d.receivedAt(victim)); n > 2 {
			t.Errorf("%d challenges to an innocent address in 2 s, want one a second", n)
		}
		// Guessing the token is no way either, nor is the right token from elsewhere.
		time.Sleep(time.Second)
		r.deliver(victim, d.seal(&wire.Ping{Request: d.next(), Instance: d.instance}))
		c := one(t, wire.ParseChallenge, d.receivedAt(victim))
		d.received()
		r.deliver(victim, d.seal(&wire.ChallengeReply{Token: c.Token + 1}))
		r.deliver(addrOf(10), d.seal(&wire.ChallengeReply{Token: c.Token}))
		if ans := caller.call(wire.Call{Callee: d.id()}); ans.Candidates[0].Addr != d.addr {
			t.Errorf("callers are sent to %v", ans.Candidates[0].Addr)
		}
		if n := r.s.Stats().Moves; n != 0 {
			t.Errorf("%d moves", n)
		}
	})
}

func TestReplaysAreIgnored(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		x := r.online(1)
		reg := x.seal(&wire.Register{Request: 50, Instance: x.instance, Visibility: wire.VisibleNobody})
		r.deliver(x.addr, reg)
		x.received()
		x.register(wire.VisibleEveryone)
		// The earlier registration does not come back.
		before := r.s.Stats()
		r.deliver(x.addr, reg)
		none(t, x.received())
		st := r.s.Stats()
		if st.Registers != before.Registers || st.Unopened != before.Unopened+1 {
			t.Errorf("a replayed Register: stats %+v", st)
		}
		if p, _ := r.s.devices.peer(x.id()); p.visibility != wire.VisibleEveryone {
			t.Error("a replay changed the registration")
		}
	})
}

func TestFirstPacketFromAnotherAddressProvesNothing(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d := r.dev(1).shake()
		elsewhere := addrOf(9)
		r.deliver(elsewhere, d.seal(&wire.Register{Request: 1, Instance: d.instance}))
		none(t, d.received())
		c := one(t, wire.ParseChallenge, d.receivedAt(elsewhere))
		if n := r.s.Stats().Devices; n != 0 {
			t.Fatal("registered at an address that is not proven")
		}
		r.deliver(elsewhere, d.seal(&wire.ChallengeReply{Token: c.Token}))
		r.deliver(elsewhere, d.seal(&wire.Register{Request: 2, Instance: d.instance}))
		if m := one(t, wire.ParseRegistered, d.receivedAt(elsewhere)); m.Observed != elsewhere {
			t.Errorf("observed %v", m.Observed)
		}
	})
}

// A device that wants the server to flood somebody sends its initiation twice,
// once with the victim's address, and goes on with that address.
func TestInitiationFromTwoSourcesProvesNeither(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d := r.dev(1)
		victim := addrOf(9)
		i := d.initiation()
		r.deliver(victim, i.Packet())
		r.sock.take(victim)
		r.deliver(d.addr, i.Packet())
		out := r.sock.take(d.addr)
		if len(out) != 1 {
			t.Fatalf("copy of the initiation earned %d packets", len(out))
		}
		a, err := i.ReadResponse(out[0])
		if err != nil {
			t.Fatal(err)
		}
		d.assoc = a.Association
		for range 10 {
			r.deliver(victim, d.seal(&wire.Register{Request: d.next(), Instance: d.instance}))
		}
		one(t, wire.ParseChallenge, d.receivedAt(victim))
		if n := r.s.Stats().Devices; n != 0 {
			t.Error("registered at the victim's address")
		}
		// From its own address it can register, after a challenge.
		time.Sleep(challengeInterval)
		d.send(&wire.Register{Request: d.next(), Instance: d.instance})
		c := one(t, wire.ParseChallenge, d.received())
		d.send(&wire.ChallengeReply{Token: c.Token})
		if m := d.register(wire.VisibleEveryone); m.Status != wire.StatusOK || m.Observed != d.addr {
			t.Errorf("registered %+v", m)
		}
	})
}

func TestHintsAreLimited(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		h := wire.SealedHeader{Receiver: 77}
		pkt := append(h.Append(nil), make([]byte, 40)...)
		hints := 0
		for i := range 3000 {
			r.deliver(addrOf(i), pkt)
			for _, p := range r.sock.take(addrOf(i)) {
				if len(p) > len(pkt) {
					t.Errorf("a hint of %d bytes for a packet of %d", len(p), len(pkt))
				}
				hints++
			}
		}
		if hints == 0 || hints > 1000 {
			t.Errorf("%d hints in one instant, want some and at most 1,000", hints)
		}
	})
}

func TestNonsenseIsCounted(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d := r.online(1)
		before := r.s.Stats().Malformed
		hint := wire.Hint{Receiver: 1}
		packets := [][]byte{
			nil,
			{0x23},
			{0x23, 2, 0, 0},
			{0x3f, 1, 0, 0, 0, 0, 0, 0},
			hint.Append(nil),
			make([]byte, 2000),
			d.seal(&wire.Pong{Observed: d.addr}),    // a server's message
			d.seal(&wire.Probe{}),                   // a peer's
			d.seal(&wire.Call{Callee: d.id()})[:50], // does not open
			d.seal(rawMessage{}),                    // nothing in it
			d.seal(rawMessage{byte(wire.MsgPing), 1}),        // too short
			d.seal(rawMessage{byte(wire.MsgCall), 1}),        //
			d.seal(rawMessage{byte(wire.MsgSignal), 1}),      //
			d.seal(rawMessage{byte(wire.MsgLookup), 1}),      //
			d.seal(rawMessage{byte(wire.MsgCalledAck), 1}),   //
			d.seal(rawMessage{byte(wire.MsgRegister), 1}),    //
			d.seal(rawMessage{byte(wire.MsgPublish), 1}),     //
			d.seal(rawMessage{byte(wire.MsgChallengeReply)}), //
		}
		for _, p := range packets {
			r.deliver(d.addr, p)
		}
		none(t, d.received())
		st := r.s.Stats()
		if got := st.Malformed - before + st.Unopened; got != uint64(len(packets)) {
			t.Errorf("%d of %d packets were counted", got, len(packets))
		}
	})
}

// rawMessage is a message of arbitrary bytes.
type rawMessage []byte

func (m rawMessage) Append(b []byte) []byte { return append(b, m...) }

func TestQueueOfWorkersIsBounded(t *testing.T) {
	inBubble(t, Limits{Workers: 1}, func(t *testing.T, r *rig) {
		release := make(chan struct{})
		r.s.enqueue(func() { <-release })
		synctest.Wait()
		queued := 0
		for range 2 * queueLimit {
			if r.s.enqueue(func() {}) {
				queued++
			}
		}
		close(release)
		if queued != queueLimit || r.s.Stats().Overload != queueLimit {
			t.Errorf("%d jobs queued, %d dropped; want %d of each", queued, r.s.Stats().Overload, queueLimit)
		}
	})
}

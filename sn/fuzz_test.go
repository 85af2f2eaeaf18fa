package sn

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/bdtnet/bdt/internal/wire"
)

// messagesOf returns one of each message that a device may send.
func messagesOf(d, other *dev) []message {
	return []message{
		&wire.Ping{Request: 1, Instance: d.instance, RTT: time.Millisecond},
		&wire.Register{Request: 2, Instance: d.instance, Candidates: []wire.Candidate{host("192.0.2.1:1")}, Device: d.local.Device().Bytes()},
		&wire.Lookup{Request: 3, ID: other.id()},
		&wire.Publish{Request: 4, Object: other.local.Device().Bytes()},
		&wire.Call{
			Request: 5, Callee: other.id(), Candidates: []wire.Candidate{host("192.0.2.1:1")},
			Relay: &wire.Relay{PN: other.id()}, Initiation: d.initiationTo(d.r.t, other),
		},
		&wire.CalledAck{Call: 6},
		&wire.Signal{To: other.id(), Packet: d.initiationTo(d.r.t, other)},
		&wire.ChallengeReply{Token: 7},
		&wire.LookupPart{Request: 8, ID: other.id(), Offset: 1},
		&wire.PublishPart{Request: 9, Part: wire.PartOf(other.local.Device().Bytes(), 0)},
	}
}

// Whatever a device says at whatever moment, the server goes on serving others.
func TestEveryMessageCutAtEveryByte(t *testing.T) {
	inBubble(t, Limits{Directory: Rate{PerSecond: -1}, Call: Rate{PerSecond: -1}}, func(t *testing.T, r *rig) {
		witness := r.online(1)
		old := r.online(5)
		moments := map[string]*dev{"fresh": r.dev(3).shake(), "registered": r.online(4), "superseded": old}
		time.Sleep(time.Second)
		twin := r.dev(5)
		twin.instance = 99
		twin.shake()
		twin.send(&wire.Register{Request: 1, Instance: 99})
		for moment, d := range moments {
			for _, m := range messagesOf(d, witness) {
				b := m.Append(nil)
				for n := range b {
					d.send(rawMessage(b[:n]))
				}
				pkt := d.seal(m)
				for n := range pkt {
					r.deliver(d.addr, pkt[:n])
				}
				r.sock.take(d.addr)
				r.sock.take(witness.addr)
				if p := one(t, wire.ParsePong, witness.ping(0)); p.Reregister {
					t.Errorf("%s: %T: another device lost its registration", moment, m)
				}
			}
		}
		if n := r.s.Stats().Devices; n != 3 {
			t.Errorf("%d devices, want 3: cut messages registered one", n)
		}
	})
}

// FuzzServerPacket feeds a server a packet from a stranger, or a message from a
// device in one of its phases. The server must survive, stay within its tables,
// give a stranger no more bytes than it brought, and not lose the registration
// of another device.
func FuzzServerPacket(f *testing.F) {
	const (
		fromStranger = iota
		fromSTUN
		fromFresh
		fromRegistered
		fromElsewhere
		modes
	)
	r := newRealRig(f, Limits{Devices: 8, Objects: 64, Calls: 64, Pairs: 64, Directory: Rate{PerSecond: -1}})
	witness, registered, newcomer := r.online(1), r.online(2), r.dev(3).shake()
	for _, m := range messagesOf(registered, witness) {
		for mode := byte(fromFresh); mode < modes; mode++ {
			f.Add(mode, m.Append(nil))
		}
	}
	describe := wire.Describe{ID: r.self.Device.ID()}
	hint := wire.Hint{Receiver: 3}
	f.Add(byte(fromStranger), describe.Append(nil))
	f.Add(byte(fromStranger), hint.Append(nil))
	f.Add(byte(fromStranger), r.dev(9).initiation().Packet())
	f.Add(byte(fromStranger), registered.seal(&wire.Ping{}))
	f.Add(byte(fromSTUN), stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.Fingerprint).Raw)

	f.Fuzz(func(t *testing.T, mode byte, data []byte) {
		r.t = t
		if len(data) > wire.MaxPacket-wire.SealedOverhead {
			data = data[:wire.MaxPacket-wire.SealedOverhead]
		}
		stranger := addrOf(100)
		switch mode % modes {
		case fromStranger:
			r.deliver(stranger, data)
			for _, p := range r.sock.take(stranger) {
				if len(p) > len(data) {
					t.Errorf("%d bytes earned a stranger %d", len(data), len(p))
				}
			}
		case fromSTUN:
			r.s.handleSTUN(place{r.sock, stranger}, data)
			r.sock.take(stranger)
		case fromFresh:
			if x, ok := r.s.sessions.Get(newcomer.assoc.RemoteIndex()); !ok || x.phase != fresh {
				newcomer = r.dev(3).shake()
			}
			newcomer.send(rawMessage(data))
		case fromRegistered:
			if _, ok := r.s.devices.peer(registered.id()); !ok { // it has said goodbye
				registered = r.online(2)
			}
			registered.send(rawMessage(data))
		case fromElsewhere:
			r.deliver(addrOf(200), registered.seal(rawMessage(data)))
		}
		for _, a := range []int{2, 3, 200} {
			r.sock.take(addrOf(a))
		}
		r.sock.take(witness.addr)
		// A call of an earlier input may be repeated to the witness meanwhile.
		answers := slices.DeleteFunc(witness.ping(0), func(m []byte) bool { return m[0] == byte(wire.MsgCalled) })
		if p := one(t, wire.ParsePong, answers); p.Reregister || p.Observed != witness.addr {
			t.Errorf("another device's pong: %+v", p)
		}
		st := r.s.Stats()
		if st.Devices > 8 || st.Calls > 64 || st.Objects > 64 {
			t.Errorf("tables have grown: %+v", st)
		}
		if p, ok := r.s.devices.peer(witness.id()); !ok || p.visibility != wire.VisibleEveryone {
			t.Error("another device's registration changed")
		}
	})
}

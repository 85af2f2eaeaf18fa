package sn

import (
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

func TestRegisterAndPing(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d := r.dev(1).shake()
		m := d.register(wire.VisibleEveryone)
		want := wire.Registered{Request: 1, Observed: d.addr, Interval: 25 * time.Second}
		if m != want {
			t.Errorf("registered %+v, want %+v", m, want)
		}
		if n := r.s.Stats().Devices; n != 1 {
			t.Errorf("%d devices", n)
		}
		p := one(t, wire.ParsePong, d.ping(time.Millisecond))
		if p.Observed != d.addr || p.Reregister || p.Request != d.request {
			t.Errorf("pong %+v", p)
		}
	})
}

func TestPingWithoutRegistrationAsksForOne(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d := r.dev(1).shake()
		if p := one(t, wire.ParsePong, d.ping(0)); !p.Reregister {
			t.Error("not registered, and the pong does not say so")
		}
		d.register(wire.VisibleEveryone)
		d.instance++
		if p := one(t, wire.ParsePong, d.ping(0)); !p.Reregister {
			t.Error("another instance is registered, and the pong does not say so")
		}
	})
}

func TestNewInstanceSupersedes(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d := r.online(1)
		twin := r.dev(1)
		twin.addr, twin.instance = addrOf(2), 77
		time.Sleep(time.Second) // for its stamp to be later
		twin.shake()
		none(t, d.received()) // a handshake replaces nothing
		if p := one(t, wire.ParsePong, d.ping(0)); p.Reregister {
			t.Error("a handshake alone replaced the registration")
		}
		if m := twin.register(wire.VisibleEveryone); m.Status != wire.StatusOK {
			t.Fatalf("register: %v", m.Status)
		}
		if n := one(t, wire.ParseNotice, d.received()); n.Code != wire.NoticeSuperseded {
			t.Errorf("notice %v", n.Code)
		}
		// It does not get back by insisting, and is told each time.
		for range 3 {
			d.send(&wire.Register{Request: d.next(), Instance: d.instance})
			if n := one(t, wire.ParseNotice, d.received()); n.Code != wire.NoticeSuperseded {
				t.Errorf("notice %v", n.Code)
			}
		}
		if p := one(t, wire.ParsePong, twin.ping(0)); p.Reregister {
			t.Error("the new instance lost its registration")
		}
		st := r.s.Stats()
		if st.Devices != 1 || st.Superseded != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestSameInstanceReplacesQuietly(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d := r.online(1)
		old := d.assoc
		time.Sleep(time.Second)
		d.shake()
		d.register(wire.VisibleEveryone) // fails if a Notice comes beside the answer
		if _, ok := r.s.sessions.Get(old.RemoteIndex()); ok {
			t.Error("the session before keeps its index")
		}
		if n := r.s.sessions.Len(); n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
}

func TestSupersededTwiceKeepsOneOldSession(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		for i := range 5 {
			d := r.dev(1)
			d.instance = uint64(i)
			d.shake()
			d.send(&wire.Register{Request: 1, Instance: d.instance})
			r.sock.take(d.addr) // the old instance has the same address
			time.Sleep(time.Second)
		}
		if n := r.s.sessions.Len(); n != 2 {
			t.Errorf("%d sessions for one device, want the current and one superseded", n)
		}
	})
}

func TestRegisterNewDescriptor(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d, other := r.online(1), r.online(2)
		update := func(updated uint64) []byte {
			t.Helper()
			n, err := d.local.Device().Update(d.secret, identity.DeviceBody{Updated: updated})
			if err != nil {
				t.Fatal(err)
			}
			return n.Bytes()
		}
		register := func(device []byte) wire.Status {
			t.Helper()
			d.send(&wire.Register{Request: d.next(), Instance: d.instance, Device: device})
			return one(t, wire.ParseRegistered, d.received()).Status
		}
		held := func() string { return string(r.s.object(d.id(), time.Since(r.s.start))) }

		newest := update(3000)
		if s := register(newest); s != wire.StatusOK || held() != string(newest) {
			t.Errorf("newer descriptor: %v", s)
		}
		if s := register(update(2000)); s != wire.StatusTooOld || held() != string(newest) {
			t.Errorf("older descriptor: %v", s)
		}
		if s := register(nil); s != wire.StatusOK || held() != string(newest) {
			t.Errorf("no descriptor: %v", s)
		}
		if s := register(other.local.Device().Bytes()); s != wire.StatusMalformed || held() != string(newest) {
			t.Errorf("another device's descriptor: %v", s)
		}
		forged := []byte(string(update(4000)))
		forged[len(forged)-1] ^= 1
		if s := register(forged); s != wire.StatusMalformed || held() != string(newest) {
			t.Errorf("forged descriptor: %v", s)
		}
		if string(r.s.object(other.id(), 0)) != string(other.local.Device().Bytes()) {
			t.Error("the other device's descriptor changed")
		}
	})
}

func TestTableOfDevicesIsBounded(t *testing.T) {
	inBubble(t, Limits{Devices: 2}, func(t *testing.T, r *rig) {
		a := r.online(1)
		r.online(300) // of another network: one gets half of the table
		c := r.dev(600).shake()
		if m := c.register(wire.VisibleEveryone); m.Status != wire.StatusTooMany {
			t.Errorf("third of two devices: %v", m.Status)
		}
		if p := one(t, wire.ParsePong, a.ping(0)); p.Reregister {
			t.Error("a registered device lost its place")
		}
		if m := a.register(wire.VisibleNobody); m.Status != wire.StatusOK {
			t.Errorf("registering again at a full server: %v", m.Status)
		}
		// A place comes free when a device is forgotten.
		for range 20 {
			time.Sleep(20 * time.Second)
			a.ping(0)
		}
		if n := r.s.Stats().Devices; n != 1 {
			t.Fatalf("%d devices, want one", n)
		}
		r.online(600)
	})
}

func TestSilentDeviceIsForgotten(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d := r.online(1)
		time.Sleep(silence)
		if p := one(t, wire.ParsePong, d.ping(0)); p.Reregister {
			t.Fatal("forgotten before its time")
		}
		time.Sleep(silence + sweepParts*sweepInterval + sweepInterval)
		st := r.s.Stats()
		if st.Devices != 0 || st.Expired != 1 || r.s.sessions.Len() != 0 {
			t.Errorf("after %v of silence: %d devices, %d expired, %d sessions", silence, st.Devices, st.Expired, r.s.sessions.Len())
		}
		if got := r.s.object(d.id(), time.Since(r.s.start)); string(got) != string(d.local.Device().Bytes()) {
			t.Error("its descriptor is lost")
		}
		// Its packets now earn a hint.
		d.send(&wire.Ping{Request: 1, Instance: d.instance})
		out := r.sock.take(d.addr)
		if len(out) != 1 {
			t.Fatalf("%d packets", len(out))
		}
		if h, err := wire.ParseHint(out[0]); err != nil || h.Receiver != d.assoc.RemoteIndex() {
			t.Errorf("hint %+v, %v", h, err)
		}
	})
}

func TestRegistersAreLimited(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d := r.online(1)
		answered := 0
		for range 200 {
			d.send(&wire.Register{Request: d.next(), Instance: d.instance})
			answered += len(d.received())
		}
		if answered != 49 { // burst 50, of which one was used
			t.Errorf("%d of 200 registers at once were answered, want 49", answered)
		}
		// A new handshake brings no new bucket.
		time.Sleep(10 * time.Microsecond)
		d.shake()
		d.register(wire.VisibleEveryone)
		d.send(&wire.Register{Request: d.next(), Instance: d.instance})
		none(t, d.received())
		time.Sleep(50 * time.Millisecond)
		d.register(wire.VisibleEveryone)
	})
}

func TestSupersededSessionIsForgottenWithItsDevice(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		r.online(1)
		time.Sleep(time.Second)
		twin := r.dev(1)
		twin.addr, twin.instance = addrOf(2), 77
		twin.shake()
		twin.register(wire.VisibleEveryone)
		if n := r.s.sessions.Len(); n != 2 {
			t.Fatalf("%d sessions", n)
		}
		time.Sleep(silence + 2*sweepParts*sweepInterval)
		if n := r.s.sessions.Len(); n != 0 || r.s.Stats().Devices != 0 {
			t.Errorf("%d sessions, %d devices", n, r.s.Stats().Devices)
		}
	})
}

// A Register that was waiting for a worker while its session was superseded or
// forgotten has no effect.
func TestRegisterComesTooLate(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d := r.online(1)
		x, _ := r.s.sessions.Get(d.assoc.RemoteIndex())
		for _, p := range []phase{superseded, gone} {
			x.phase = p
			tell, forget, err := r.s.devices.register(x, &wire.Register{Instance: 55}, object{})
			if tell != nil || forget != nil || err != errSuperseded {
				t.Errorf("phase %d: %v, %v, %v", p, tell, forget, err)
			}
		}
		if p, _ := r.s.devices.peer(d.id()); p.instance != d.instance {
			t.Error("the registration changed")
		}
	})
}

package sn

import (
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

func (d *dev) publish(object []byte) wire.Status {
	d.r.t.Helper()
	d.send(&wire.Publish{Request: d.next(), Object: object})
	return one(d.r.t, wire.ParsePublished, d.received()).Status
}

func (d *dev) lookup(id identity.ID) wire.Found {
	d.r.t.Helper()
	d.send(&wire.Lookup{Request: d.next(), ID: id})
	return one(d.r.t, wire.ParseFound, d.received())
}

func TestPublishAndLookup(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d, other := r.online(1), r.online(2)
		if m := other.lookup(d.id()); m.Status != wire.StatusOK || string(m.Object) != string(d.local.Device().Bytes()) {
			t.Errorf("a registered device: %+v", m)
		}
		away := newLocal(t, 50, identity.ID{})
		if m := d.lookup(away.Device.ID()); m.Status != wire.StatusNotFound || m.Object != nil {
			t.Errorf("an unknown device: %+v", m)
		}
		version := func(n uint64) []byte {
			t.Helper()
			d, err := away.Device.Update(away.Secret, identity.DeviceBody{Updated: n})
			if err != nil {
				t.Fatal(err)
			}
			return d.Bytes()
		}
		// Anybody may bring what its owner has signed; newest wins.
		newest := version(3000)
		for _, step := range []struct {
			what   string
			object []byte
			want   wire.Status
		}{
			{"first version", away.Device.Bytes(), wire.StatusOK},
			{"a newer one", newest, wire.StatusOK},
			{"the same", newest, wire.StatusOK},
			{"an older one", version(2000), wire.StatusTooOld},
			{"a changed one", append(append([]byte(nil), newest[:len(newest)-1]...), newest[len(newest)-1]^1), wire.StatusMalformed},
			{"nonsense", []byte("nonsense"), wire.StatusMalformed},
			{"nothing", nil, wire.StatusMalformed},
		} {
			if s := d.publish(step.object); s != step.want {
				t.Errorf("publishing %s: %v, want %v", step.what, s, step.want)
			}
		}
		if m := other.lookup(away.Device.ID()); string(m.Object) != string(newest) {
			t.Errorf("looked up %+v", m)
		}
	})
}

func TestPublishedVersionWinsOverTheRegistered(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d, other := r.online(1), r.online(2)
		newer, err := d.local.Device().Update(d.secret, identity.DeviceBody{Updated: 5000})
		if err != nil {
			t.Fatal(err)
		}
		if s := other.publish(newer.Bytes()); s != wire.StatusOK {
			t.Fatalf("publish: %v", s)
		}
		if ans := other.call(wire.Call{Callee: d.id()}); string(ans.Device) != string(newer.Bytes()) {
			t.Error("callers get the older version")
		}
		if s := other.publish(d.local.Device().Bytes()); s != wire.StatusTooOld {
			t.Errorf("rolling back a registered device's descriptor: %v", s)
		}

		// The same when it was published while the device was away.
		away := r.dev(3)
		n, err := away.local.Device().Update(away.secret, identity.DeviceBody{Updated: 5000})
		if err != nil {
			t.Fatal(err)
		}
		other.publish(n.Bytes())
		away.shake()
		away.register(wire.VisibleEveryone)
		if m := other.lookup(away.id()); string(m.Object) != string(n.Bytes()) {
			t.Error("registering brought an older version back")
		}
		if n := r.s.Stats().Objects; n != 0 {
			t.Errorf("%d objects kept beside the registered devices'", n)
		}
	})
}

func TestObjectsExpire(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d := r.online(1)
		away := newLocal(t, 50, identity.ID{}).Device
		d.publish(away.Bytes())
		rest := func(total time.Duration) {
			for end := time.Now().Add(total); time.Now().Before(end); {
				time.Sleep(min(200*time.Second, time.Until(end)))
				d.ping(0)
			}
		}
		rest(20 * time.Hour)
		d.publish(away.Bytes())
		rest(20 * time.Hour)
		if m := d.lookup(away.ID()); m.Status != wire.StatusOK {
			t.Fatalf("20 hours after its last Publish: %v", m.Status)
		}
		rest(4 * time.Hour)
		if m := d.lookup(away.ID()); m.Status != wire.StatusNotFound {
			t.Errorf("24 hours after its last Publish: %v", m.Status)
		}
		rest(time.Minute)
		if n := r.s.Stats().Objects; n != 0 {
			t.Errorf("%d objects", n)
		}
	})
}

func TestLookupsAreLimited(t *testing.T) {
	inBubble(t, Limits{Directory: Rate{PerSecond: 5, Burst: 10}}, func(t *testing.T, r *rig) {
		d := r.online(1)
		ok := 0
		for range 30 {
			if m := d.lookup(d.id()); m.Status == wire.StatusOK {
				ok++
			} else if m.Status != wire.StatusTooMany {
				t.Fatalf("status %v", m.Status)
			}
		}
		if ok != 9 { // burst 10, of which the register used one
			t.Errorf("%d of 30 lookups, want 9", ok)
		}
	})
}

func TestTooLargeAnObject(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d := r.online(1)
		id := newLocal(t, 50, identity.ID{}).Device.ID()
		// Not by Publish, which is bounded, but an embedder could.
		r.s.objects.put(id, object{1, make([]byte, wire.MaxObject+1)}, 1, time.Since(r.s.start))
		if m := d.lookup(id); m.Status != wire.StatusTooLarge || m.Object != nil {
			t.Errorf("found %+v", m)
		}
	})
}

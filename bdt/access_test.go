package bdt_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
)

// A zone is an owner and the power to make members.
type zone struct {
	t      testing.TB
	secret *identity.Secret
	people *identity.People
}

// newZone makes an owner whose object is valid for a time.
func newZone(t testing.TB, life time.Duration) *zone {
	t.Helper()
	secret := identity.GenerateSecret()
	now := time.Now()
	p, err := identity.NewPeople(secret, identity.PeopleDesc{}, identity.PeopleBody{
		Updated:    uint64(now.UnixMilli()),
		ValidUntil: uint64(now.Add(life).UnixMilli()),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &zone{t, secret, p}
}

// member makes a device of the zone.
func (z *zone) member(name string) *identity.LocalDevice {
	z.t.Helper()
	d := z.claimant(name)
	signature, err := z.people.SignMembership(z.secret, d.Device)
	if err != nil {
		z.t.Fatal(err)
	}
	joined, err := d.Device.Join(d.Secret, z.people, signature, 2)
	if err != nil {
		z.t.Fatal(err)
	}
	return &identity.LocalDevice{Secret: d.Secret, Device: joined}
}

// claimant makes a device that names the owner, who has not agreed.
func (z *zone) claimant(name string) *identity.LocalDevice {
	z.t.Helper()
	secret := identity.GenerateSecret()
	d, err := identity.NewDevice(secret,
		identity.DeviceDesc{Owner: z.people.ID()},
		identity.DeviceBody{Name: name, Updated: 1})
	if err != nil {
		z.t.Fatal(err)
	}
	return &identity.LocalDevice{Secret: secret, Device: d}
}

// revoking returns the owner's object with a device revoked.
func (z *zone) revoking(id identity.ID) *identity.People {
	z.t.Helper()
	body := z.people.Body()
	body.Updated++
	body.Revoked = append(body.Revoked, id)
	p, err := z.people.Update(z.secret, body)
	if err != nil {
		z.t.Fatal(err)
	}
	return p
}

// answer dials a service and returns what the first read says; nil: a byte came.
func answer(s *bdt.Stack, id identity.ID, service string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := s.Dial(ctx, id, service)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	_, err = io.ReadFull(c, make([]byte, 1))
	return err
}

// greet has a service say one byte to each caller.
func greet(t testing.TB, s *bdt.Stack, service string, access bdt.Access) *bdt.Listener {
	t.Helper()
	l, err := s.Listen(service, access)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "!")
			c.Close()
		}
	}()
	return l
}

func TestOwnZone(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		z, other := newZone(t, time.Hour), newZone(t, time.Hour)
		revoked := z.member("revoked")
		callers := []struct {
			name   string
			device *identity.LocalDevice
			in     bool
		}{
			{"member", z.member("member"), true},
			{"claimant", z.claimant("claimant"), false},
			{"revoked", revoked, false},
			{"stranger", newDevice(t, "stranger"), false},
			{"other zone's", other.member("other"), false},
		}
		server := w.open("server", w.public("server", time.Millisecond, "203.0.113.9"), func(c *bdt.Config) {
			c.Device, c.Owner = z.member("server"), z.revoking(revoked.Device.ID())
		})
		defer server.Close()
		greet(t, server, "zone", nil)
		greet(t, server, "everyone", bdt.Everyone)
		greet(t, server, "only", bdt.Only(callers[3].device.Device.ID()))

		check := func(s *bdt.Stack, name, service string, want error) {
			t.Helper()
			if err := answer(s, server.ID(), service); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%s at %q: %v, want %v", name, service, err, want)
			}
		}
		for _, c := range callers {
			s := w.open(c.name, w.public(c.name, time.Millisecond, freshAddr()), func(cfg *bdt.Config) { cfg.Device = c.device })
			zoneErr, missing, only := error(nil), bdt.ErrNoService, bdt.ErrDenied
			if !c.in {
				zoneErr, missing = bdt.ErrDenied, bdt.ErrDenied
			}
			check(s, c.name, "zone", zoneErr)
			check(s, c.name, "everyone", nil)
			check(s, c.name, "missing", missing)
			if c.name == "stranger" {
				only = nil
			}
			check(s, c.name, "only", only)
			s.Close()
		}
	})
}

// When the owner's object expires the zone is closed. What was opened before ends
// within a minute.
func TestOwnZoneExpires(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, time.Minute)
		server := w.open("server", w.public("server", time.Millisecond, "203.0.113.9"), func(c *bdt.Config) {
			c.Device, c.Owner = z.member("server"), z.people
		})
		defer server.Close()
		greet(t, server, "zone", bdt.OwnZone)
		s := w.open("member", w.public("member", time.Millisecond, "203.0.113.10"), func(c *bdt.Config) { c.Device = z.member("member") })
		defer s.Close()
		if err := answer(s, server.ID(), "zone"); err != nil {
			t.Fatalf("before: %v", err)
		}
		running, accepted := connect(t, s, listenFor(t, server, "long", bdt.OwnZone))
		time.Sleep(59 * time.Second)
		if err := accepted.SetDeadline(time.Time{}); err != nil {
			t.Errorf("the stream has ended before the owner's object: %v", err)
		}
		time.Sleep(61 * time.Second)
		wantOp(t, readByte(running), "read", bdt.ErrDenied)
		wantOp(t, readByte(accepted), "read", bdt.ErrRevoked)
		for _, service := range []string{"zone", "missing"} {
			if err := answer(s, server.ID(), service); !errors.Is(err, bdt.ErrDenied) {
				t.Errorf("%s after the owner's object expired: %v", service, err)
			}
		}
	})
}

// Every way of not knowing one's zone closes it, but not to oneself.
func TestOwnZoneFailsClosed(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		for name, change := range map[string]func(*zone, *bdt.Config){
			"no owner's object":   func(z *zone, c *bdt.Config) { c.Device = z.member("server") },
			"server not a member": func(z *zone, c *bdt.Config) { c.Device, c.Owner = z.claimant("server"), z.people },
			"server has no owner": func(*zone, *bdt.Config) {},
			"server itself revoked": func(z *zone, c *bdt.Config) {
				c.Device = z.member("server")
				c.Owner = z.revoking(c.Device.Device.ID())
			},
		} {
			z := newZone(t, time.Hour) // the SN learns of an owner from its devices
			client := w.open("client", w.public("client", time.Millisecond, freshAddr()), func(c *bdt.Config) { c.Device = z.member("client") })
			server := w.open("server", w.public("server", time.Millisecond, freshAddr()), func(c *bdt.Config) { change(z, c) })
			greet(t, server, "zone", bdt.OwnZone)
			if err := answer(client, server.ID(), "zone"); !errors.Is(err, bdt.ErrDenied) {
				t.Errorf("%s: %v", name, err)
			}
			closeAll(t, client, server)
		}
	})
}

// An Access is asked once for each stream, with the device that called.
func TestAccessSeesTheCaller(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		server := w.open("server", w.public("server", time.Millisecond, "203.0.113.9"))
		defer server.Close()
		asked := make(chan identity.ID, 16)
		greet(t, server, "s", func(c bdt.Caller) bdt.Rights {
			asked <- c.Device.ID()
			if c.Device.Name() == "alice" {
				return bdt.MayCall
			}
			return 0
		})
		for _, name := range []string{"alice", "bob"} {
			s := w.open(name, w.behind(name, netsim.FullCone, time.Millisecond, freshAddr()))
			err := answer(s, server.ID(), "s")
			if name == "alice" && err != nil || name == "bob" && !errors.Is(err, bdt.ErrDenied) {
				t.Errorf("%s: %v", name, err)
			}
			if got := <-asked; got != s.ID() {
				t.Errorf("policy was asked about %s, not %s", got.Short(), s.ID().Short())
			}
			s.Close()
		}
		if len(asked) != 0 {
			t.Errorf("policy was asked %d times too often", len(asked))
		}
	})
}

// An owner's object that is not of this device's owner is a mistake in the
// configuration, and so is a friend who is nobody.
func TestConfigNamesTheWrongPeople(t *testing.T) {
	z, other := newZone(t, time.Hour), newZone(t, time.Hour)
	for name, cfg := range map[string]bdt.Config{
		"another's owner": {Device: z.member("server"), Owner: other.people},
		"no owner":        {Device: newDevice(t, "server"), Owner: z.people},
	} {
		_, err := bdt.Open(cfg)
		wantOp(t, err, "open", identity.ErrWrongID)
		if !strings.Contains(err.Error(), cfg.Owner.ID().String()) {
			t.Errorf("%s: %v does not name the owner", name, err)
		}
	}
	if s, err := bdt.Open(bdt.Config{Friends: []identity.ID{chunk(t)}}); err == nil {
		s.Close()
		t.Error("a chunk is a friend")
	}
}

// A newer owner's object takes effect at once, an older one never.
func TestSetOwner(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		z, other := newZone(t, time.Hour), newZone(t, time.Hour)
		device := z.member("member")
		server := w.open("server", w.public("server", time.Millisecond, "203.0.113.9"), func(c *bdt.Config) {
			c.Device, c.Owner = z.member("server"), z.people
		})
		defer server.Close()
		greet(t, server, "zone", nil)
		s := w.open("member", w.public("member", time.Millisecond, "203.0.113.10"), func(c *bdt.Config) { c.Device = device })
		defer s.Close()
		if err := answer(s, server.ID(), "zone"); err != nil {
			t.Fatalf("before: %v", err)
		}
		revoking := z.revoking(device.Device.ID())
		if err := server.SetOwner(revoking); err != nil {
			t.Fatal(err)
		}
		wantOp(t, server.SetOwner(z.people), "set owner", identity.ErrRolledBack)
		wantOp(t, server.SetOwner(other.people), "set owner", identity.ErrWrongID)
		if err := server.SetOwner(revoking); err != nil {
			t.Errorf("the same again: %v", err)
		}
		if got := server.Owner(); got != revoking {
			t.Errorf("owner is %v", got)
		}
		if err := answer(s, server.ID(), "zone"); !errors.Is(err, bdt.ErrDenied) {
			t.Errorf("after: %v", err)
		}
	})
}

// Friends are devices; they change while the stack runs. What a caller was granted
// stands on its stream.
func TestFriends(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		device := newDevice(t, "friend")
		server := w.open("server", w.public("server", time.Millisecond, "203.0.113.9"), func(c *bdt.Config) {
			c.Friends = []identity.ID{device.Device.ID()}
		})
		defer server.Close()
		l, err := server.Listen("s", bdt.Access(bdt.Friends).Limit(bdt.MayRead))
		if err != nil {
			t.Fatal(err)
		}
		s := w.open("friend", w.public("friend", time.Millisecond, "203.0.113.10"), func(c *bdt.Config) { c.Device = device })
		defer s.Close()
		dialled, accepted := connect(t, s, l)
		if dialled.Rights() != bdt.AllRights || accepted.Rights() != bdt.MayRead {
			t.Errorf("rights are %v where dialled, %v where accepted", dialled.Rights(), accepted.Rights())
		}
		if c := accepted.Caller(); !c.IsFriend() || c.InOwnZone() || c.Device.ID() != s.ID() {
			t.Errorf("caller is %+v", c)
		}
		if err := server.SetFriends(chunk(t)); err == nil {
			t.Error("a chunk is a friend")
		}
		if err := server.SetFriends(); err != nil {
			t.Fatal(err)
		}
		if err := answer(s, server.ID(), "s"); !errors.Is(err, bdt.ErrDenied) {
			t.Errorf("no longer a friend: %v", err)
		}
	})
}

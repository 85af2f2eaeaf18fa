package bdt_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
)

// refreshLimit is the time within which a device that is online learns what its
// owner has published; reliedLimit the one in which it does while a device of the
// zone has a session with it.
const (
	refreshLimit = 75*time.Minute + 5*time.Second
	reliedLimit  = 2*time.Minute + 5*time.Second
)

// change returns the owner's object with its body changed.
func (z *zone) change(p *identity.People, change func(*identity.PeopleBody)) *identity.People {
	z.t.Helper()
	body := p.Body()
	body.Updated++
	change(&body)
	next, err := p.Update(z.secret, body)
	if err != nil {
		z.t.Fatal(err)
	}
	return next
}

// inZone has a stack be a member of a zone that knows its owner's object.
func inZone(z *zone, d *identity.LocalDevice) func(*bdt.Config) {
	return func(c *bdt.Config) { c.Device, c.Owner = d, z.people }
}

// until waits for a condition, and returns how long it took.
func until(t testing.TB, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(time.Second)
	}
	return time.Since(start)
}

// What an owner revokes takes effect at the devices of the zone in minutes where
// somebody relies on it, on streams that are open, too, and everywhere within the
// time between two looks.
func TestRevocationArrives(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, 1000*time.Hour)
		thief := z.member("thief")
		server := w.open("server", w.public("server", time.Millisecond, "203.0.113.9"), inZone(z, z.member("server")))
		admin := w.open("admin", w.public("admin", time.Millisecond, "203.0.113.10"), inZone(z, z.member("admin")))
		friend := w.open("friend", w.public("friend", time.Millisecond, "203.0.113.12"), inZone(z, z.member("friend")))
		stolen := w.open("stolen", w.public("stolen", time.Millisecond, "203.0.113.11"), inZone(z, thief))
		defer closeAll(t, server, admin, friend, stolen)
		greet(t, server, "everyone", bdt.Everyone)
		l := listenFor(t, server, "zone", bdt.OwnZone)
		theirs, here := connect(t, stolen, l)
		friends, _ := connect(t, friend, l)
		time.Sleep(10 * time.Minute)

		revoking := z.revoking(thief.Device.ID())
		if err := admin.SetOwner(revoking); err != nil {
			t.Fatal(err)
		}
		took := until(t, reliedLimit, "the revocation arrives", func() bool { return server.Owner().Updated() == revoking.Updated() })
		t.Logf("in force after %v", took)
		wantOp(t, readByte(here), "read", bdt.ErrRevoked)
		wantOp(t, readByte(theirs), "read", bdt.ErrDenied)
		if err := answer(stolen, server.ID(), "zone"); !errors.Is(err, bdt.ErrDenied) {
			t.Errorf("the revoked device: %v", err)
		}
		if err := answer(stolen, server.ID(), "everyone"); err != nil {
			t.Errorf("the revoked device is worse off than a stranger: %v", err)
		}
		until(t, refreshLimit, "all devices know", func() bool { return friend.Owner().Updated() == revoking.Updated() })
		friends.SetReadDeadline(time.Now().Add(time.Second))
		if err := readByte(friends); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("another device's stream: %v", err)
		}
	})
}

// Whom a device is about to rely on, it checks: a revocation that was published
// strikes a little after the first call.
func TestRevocationArrivesWithTheCall(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, 1000*time.Hour)
		thief := z.member("thief")
		server := w.open("server", w.public("server", time.Millisecond, "203.0.113.9"), inZone(z, z.member("server")))
		admin := w.open("admin", w.public("admin", time.Millisecond, "203.0.113.10"), inZone(z, z.member("admin")))
		stolen := w.open("stolen", w.public("stolen", time.Millisecond, "203.0.113.11"), inZone(z, thief))
		defer closeAll(t, server, admin, stolen)
		l := listenFor(t, server, "zone", bdt.OwnZone)
		time.Sleep(10 * time.Minute)
		if err := admin.SetOwner(z.revoking(thief.Device.ID())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		c, err := stolen.Dial(context.Background(), server.ID(), "zone")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		wantOp(t, readByte(c), "read", bdt.ErrDenied)
		if took := time.Since(start); took > time.Second {
			t.Errorf("denied after %v", took)
		}
		if p := server.Owner(); !p.Revoked(thief.Device.ID()) {
			t.Error("the server does not know it")
		}
		l.Close()
	})
}

// A stack that is online keeps its owner's object in the SN's directory, where it
// would be forgotten after a day, and an SN that has lost it gets it again.
func TestOwnerStaysPublished(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, 1000*time.Hour)
		member := w.open("member", w.public("member", time.Millisecond, "203.0.113.9"), inZone(z, z.member("member")))
		defer closeAll(t, member)
		ask := func(when string) {
			t.Helper()
			// One that holds no owner's object but the one that the SN has.
			s := w.open("fresh", w.public("fresh", time.Millisecond, freshAddr()), func(c *bdt.Config) { c.Device = z.member("fresh") })
			defer s.Close()
			time.Sleep(time.Second)
			if s.Owner() == nil {
				t.Errorf("%s: the SN does not have it", when)
			}
		}
		time.Sleep(time.Second)
		ask("at once")
		for range 5 {
			time.Sleep(17 * time.Hour)
			ask("later")
		}
		before := w.sn.Stats()
		time.Sleep(24 * time.Hour)
		after := w.sn.Stats()
		lookups, publishes := after.Lookups-before.Lookups, after.Publishes-before.Publishes
		t.Logf("a day takes %d lookups, %d publishes", lookups, publishes)
		if lookups > 32 || publishes > 4 {
			t.Errorf("a day takes %d lookups, %d publishes", lookups, publishes)
		}
		w.restartSN()
		time.Sleep(2 * time.Minute)
		ask("after a restart of the SN")
	})
}

// Of two SNs one has an old version and one the new: the device takes the new one,
// and mends the other SN.
func TestOldVersionAtAnSN(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		second, ref := w.secondSN("203.0.113.2")
		defer second.Close()
		z := newZone(t, 1000*time.Hour)
		thief := z.member("thief")
		old := w.open("old", w.public("old", time.Millisecond, "203.0.113.9"), inZone(z, z.member("old")),
			func(c *bdt.Config) { c.SNs = []identity.Ref{ref} })
		newer := w.open("new", w.public("new", time.Millisecond, "203.0.113.10"), inZone(z, z.member("new")))
		defer closeAll(t, old, newer)
		if err := newer.SetOwner(z.revoking(thief.Device.ID())); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		both := w.open("both", w.public("both", time.Millisecond, "203.0.113.11"), inZone(z, z.member("both")),
			func(c *bdt.Config) { c.SNs = []identity.Ref{ref, w.ref} })
		defer closeAll(t, both)
		time.Sleep(3 * time.Second)
		if !both.Owner().Revoked(thief.Device.ID()) {
			t.Error("the device believes the older version")
		}
		until(t, refreshLimit, "the other SN's device learns", func() bool { return old.Owner().Revoked(thief.Device.ID()) })
		wantOp(t, both.SetOwner(z.people), "set owner", identity.ErrRolledBack)
	})
}

// What was learned about revocations stands after a restart, though the stack is
// started with an older version.
func TestOwnerFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "owner")
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, 1000*time.Hour)
		device, thief := z.member("server"), z.member("thief")
		open := func(change ...func(*bdt.Config)) *bdt.Stack {
			return w.open("server", w.public("server", time.Millisecond, freshAddr()),
				append([]func(*bdt.Config){inZone(z, device), func(c *bdt.Config) { c.OwnerFile = file }}, change...)...)
		}
		server := open()
		revoking := z.revoking(thief.Device.ID())
		if err := server.SetOwner(revoking); err != nil {
			t.Fatal(err)
		}
		server.Close()
		w.sn.Close() // which would tell, too
		noSN := func(c *bdt.Config) { c.SNs = nil }
		for name, owner := range map[string]*identity.People{"an old one": z.people, "none": nil, "the same": revoking} {
			server = open(noSN, func(c *bdt.Config) { c.Owner = owner })
			if !server.Owner().Revoked(thief.Device.ID()) {
				t.Errorf("started with %s: the revocation is forgotten", name)
			}
			server.Close()
		}
		newer := z.change(revoking, func(b *identity.PeopleBody) { b.Name = "newer" })
		server = open(noSN, func(c *bdt.Config) { c.Owner = newer })
		server.Close()
		if o, err := identity.LoadPublic(file); err != nil || o.Updated() != newer.Updated() {
			t.Errorf("file holds %v, %v", o, err)
		}

		// What is wrong with the file stops the start: it may be what a thief wants.
		other := newZone(t, time.Hour)
		for name, text := range map[string][]byte{
			"nonsense":        []byte("x"),
			"empty":           nil,
			"a device":        identity.MarshalPublic(device.Device),
			"another's owner": identity.MarshalPublic(other.people),
		} {
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := bdt.Open(bdt.Config{Device: device, Owner: newer, OwnerFile: file, Network: w.public("x", time.Millisecond, freshAddr())})
			if err == nil {
				s.Close()
			}
			wantOp(t, err, "open", bdt.ErrOwnerFile)
			if !strings.Contains(fmt.Sprint(err), file) {
				t.Errorf("%s in the file: %v", name, err)
			}
		}
	})
}

// A friend may be an owner: its object is found at the SN, kept up with, and its
// devices are let in and out accordingly.
func TestFriendsOwner(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, 1000*time.Hour)
		friends := w.open("friend", w.public("friend", time.Millisecond, "203.0.113.11"), inZone(z, z.member("friend")))
		admin := w.open("admin", w.public("admin", time.Millisecond, "203.0.113.12"), inZone(z, z.member("admin")))
		time.Sleep(time.Second)
		server := w.open("server", w.public("server", time.Millisecond, "203.0.113.9"),
			func(c *bdt.Config) { c.Friends = []identity.ID{z.people.ID()} })
		defer closeAll(t, server, friends, admin)
		greet(t, server, "friends", bdt.Friends)
		greet(t, server, "only", bdt.Only(z.people.ID()))
		l := listenFor(t, server, "long", bdt.Friends)
		for _, service := range []string{"friends", "only"} {
			if err := answer(friends, server.ID(), service); err != nil {
				t.Errorf("a friend's device at %s: %v", service, err)
			}
		}
		claimant := w.open("claimant", w.public("claimant", time.Millisecond, "203.0.113.13"),
			func(c *bdt.Config) { c.Device = z.claimant("claimant") })
		defer closeAll(t, claimant)
		if err := answer(claimant, server.ID(), "friends"); !errors.Is(err, bdt.ErrDenied) {
			t.Errorf("one who says so himself: %v", err)
		}
		theirs, _ := connect(t, friends, l)
		if err := admin.SetOwner(z.revoking(friends.ID())); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		wantOp(t, readByte(theirs), "read", bdt.ErrDenied)
		t.Logf("a friend's revocation is in force after %v", time.Since(start))
		if time.Since(start) > reliedLimit {
			t.Errorf("a friend's revocation is in force after %v", time.Since(start))
		}
		if err := answer(friends, server.ID(), "friends"); !errors.Is(err, bdt.ErrDenied) {
			t.Errorf("after its revocation: %v", err)
		}
	})
}

// An owner nobody here knows is looked up when a policy names it.
func TestOwnerIsLookedUpAtNeed(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, 1000*time.Hour)
		server := w.open("server", w.public("server", time.Millisecond, "203.0.113.9"))
		defer closeAll(t, server)
		greet(t, server, "only", bdt.Only(z.people.ID()))
		early := w.open("early", w.public("early", time.Millisecond, "203.0.113.10"), func(c *bdt.Config) { c.Device = z.member("early") })
		defer closeAll(t, early)
		if err := answer(early, server.ID(), "only"); !errors.Is(err, bdt.ErrDenied) {
			t.Errorf("while nobody knows the owner: %v", err)
		}
		member := w.open("member", w.public("member", time.Millisecond, "203.0.113.11"), inZone(z, z.member("member")))
		defer closeAll(t, member)
		time.Sleep(time.Minute) // that the owner was not found is remembered
		if err := answer(early, server.ID(), "only"); err != nil {
			t.Errorf("when the SN knows it: %v", err)
		}
	})
}

// Who is refused learns nothing: a service that there is not is denied in the same
// words and after the same time as one whose policy refuses, whatever the caller
// claims to be.
func TestDenialTellsNothing(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		z, named, unknown := newZone(t, time.Hour), newZone(t, time.Hour), newZone(t, time.Hour)
		revoked := z.member("revoked")
		for name, device := range map[string]*identity.LocalDevice{
			"stranger":             newDevice(t, "stranger"),
			"claims our zone":      z.claimant("claimant"),
			"revoked":              revoked,
			"of a zone we name":    named.claimant("named"),
			"of a zone none knows": unknown.member("unknown"),
		} {
			type result struct {
				text string
				took time.Duration
			}
			got := map[string]result{}
			for _, service := range []string{"zone", "friends", "only", "nobody", "missing"} {
				// A server for each: what one has looked up is known at the next call.
				server := w.open("server", w.public("server", time.Millisecond, freshAddr()), func(c *bdt.Config) {
					c.Device, c.Owner = z.member("server"), z.revoking(revoked.Device.ID())
				})
				listenFor(t, server, "zone", bdt.OwnZone)
				listenFor(t, server, "friends", bdt.Friends)
				listenFor(t, server, "only", bdt.Only(named.people.ID(), unknown.people.ID()))
				listenFor(t, server, "nobody", bdt.Nobody)
				caller := w.open("caller", w.public("caller", time.Millisecond, freshAddr()), func(c *bdt.Config) { c.Device = device })
				server.ServeEcho()
				ask(t, caller, server.ID()) // the session is open
				start := time.Now()
				err := answer(caller, server.ID(), service)
				got[service] = result{err.Error(), time.Since(start)}
				if !errors.Is(err, bdt.ErrDenied) {
					t.Errorf("%s at %s: %v", name, service, err)
				}
				closeAll(t, caller, server)
			}
			for service, r := range got {
				if d := (r.took - got["missing"].took).Abs(); d > time.Millisecond {
					t.Errorf("%s: %s is denied after %v, a missing service after %v", name, service, r.took, got["missing"].took)
				}
			}
			t.Logf("%s: denied after %v", name, got["missing"].took)
		}
	})
}

// Devices whose owners nobody knows do not make the stack ask without end, nor
// remember without end.
func TestStrangersOwnersAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 5,000 devices")
	}
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		server := w.open("server", w.public("server", time.Millisecond, "203.0.113.9"))
		defer closeAll(t, server)
		listenFor(t, server, "s", func(c bdt.Caller) bdt.Rights {
			if c.MemberOf(c.Device.Owner()) {
				return bdt.AllRights
			}
			return 0
		})
		before, start := w.sn.Stats().Lookups, time.Now()
		const strangers, pause = 5000, 100 * time.Millisecond
		for range strangers {
			caller := server.CallerWith(newZone(t, time.Hour).claimant("stranger").Device)
			if caller.MemberOf(caller.Device.Owner()) {
				t.Fatal("is a member")
			}
			time.Sleep(pause)
		}
		asked, held := w.sn.Stats().Lookups-before, server.Owners()
		t.Logf("%d strangers in %v: %d lookups, %d owners held", strangers, time.Since(start), asked, held)
		if limit := 4*time.Since(start)/time.Second + 16; asked > uint64(limit) || asked < 1500 {
			t.Errorf("%d lookups", asked)
		}
		if held > 1025 {
			t.Errorf("%d owners held", held)
		}
	})
}

// A device that only its zone may see is seen by its zone, once the SN knows the
// owner; not by others.
func TestVisibleToZone(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, time.Hour)
		bob := w.open("bob", w.behind("bob", netsim.PortRestricted, time.Millisecond, "198.51.100.2"), inZone(z, z.member("bob")),
			func(c *bdt.Config) { c.Visibility = bdt.VisibleToZone })
		alice := w.open("alice", w.behind("alice", netsim.PortRestricted, time.Millisecond, "198.51.100.1"),
			func(c *bdt.Config) { c.Device = z.member("alice") })
		eve := w.open("eve", w.behind("eve", netsim.PortRestricted, time.Millisecond, "198.51.100.3"),
			func(c *bdt.Config) { c.Device = z.claimant("eve") })
		defer closeAll(t, bob, alice, eve)
		time.Sleep(time.Second)
		w.cutter("bob")(true) // the SN alone tells where it is
		for _, c := range []struct {
			stack *bdt.Stack
			sees  bool
		}{{alice, true}, {eve, false}} {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if _, err := c.stack.Dial(ctx, bob.ID(), "s"); err == nil {
				t.Fatal("dialled what is cut off")
			}
			cancel()
			e, _ := c.stack.Explain(bob.ID())
			if saw := len(e.Paths) > 0; saw != c.sees {
				t.Errorf("%s: the SN told of %d paths", c.stack.Device().Name(), len(e.Paths))
			}
		}
	})
}

// Any device may bring an owner's object to the SNs, and fetch it from there.
func TestPublishAndFindOwner(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		second, ref := w.secondSN("203.0.113.2")
		defer second.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		z := newZone(t, time.Hour)
		newer := z.change(z.people, func(b *identity.PeopleBody) { b.Name = "newer" })
		s := w.open("s", w.public("s", time.Millisecond, "203.0.113.9"), func(c *bdt.Config) { c.SNs = []identity.Ref{w.ref, ref} })
		other := w.open("other", w.public("other", time.Millisecond, "203.0.113.10"), func(c *bdt.Config) { c.SNs = []identity.Ref{ref} })
		lone := w.open("lone", w.public("lone", time.Millisecond, "203.0.113.11"), noSN)
		defer closeAll(t, s, other, lone)
		_, err := s.FindOwner(ctx, z.people.ID())
		wantOp(t, err, "find owner", bdt.ErrOwnerNotFound)
		_, err = s.FindOwner(ctx, s.ID())
		wantOp(t, err, "find owner", nil)
		wantOp(t, lone.PublishOwner(ctx, z.people), "publish owner", bdt.ErrNoRoute)
		wantOp(t, lone.PublishOwner(ctx, nil), "publish owner", nil)
		wantOp(t, lone.SetOwner(nil), "set owner", nil)
		if err := s.PublishOwner(ctx, z.people); err != nil {
			t.Fatal(err)
		}
		if err := other.PublishOwner(ctx, newer); err != nil {
			t.Fatal(err)
		}
		// One SN has the older version, the other the newer.
		if p, err := s.FindOwner(ctx, z.people.ID()); err != nil || p.Name() != "newer" {
			t.Errorf("found %v, %v", p, err)
		}
		err = s.PublishOwner(ctx, z.people)
		wantOp(t, err, "publish owner", identity.ErrRolledBack)
		if !strings.Contains(err.Error(), ref.ID.Short()) || strings.Contains(err.Error(), w.ref.ID.Short()) {
			t.Errorf("%v names the wrong super node", err)
		}
		second.Close()
		if p, err := s.FindOwner(ctx, z.people.ID()); err != nil || p.Name() != "newer" {
			t.Errorf("with one SN gone: %v, %v", p, err)
		}
		short, stop := context.WithTimeout(context.Background(), time.Second)
		defer stop()
		_, err = other.FindOwner(short, newZone(t, time.Hour).people.ID())
		wantOp(t, err, "find owner", context.DeadlineExceeded)
	})
}

// A membership that was relied on ends with the owner's word though the book has
// had to forget the owner, and not before.
func TestMembershipOfAForgottenOwner(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, 20*time.Minute)
		member := w.open("member", w.public("member", time.Millisecond, "203.0.113.11"), inZone(z, z.member("member")))
		server := w.open("server", w.public("server", time.Millisecond, "203.0.113.9"))
		defer closeAll(t, server, member)
		time.Sleep(time.Second)
		theirs, _ := connect(t, member, listenFor(t, server, "s", bdt.Only(z.people.ID())))
		time.Sleep(time.Second)
		server.ForgetOwner(z.people.ID())
		start := time.Now()
		wantOp(t, readByte(theirs), "read", bdt.ErrDenied)
		if took := time.Since(start); took < 19*time.Minute || took > 21*time.Minute {
			t.Errorf("ended after %v", took)
		}
	})
}

// An owner with all that it may say, which takes several messages to publish, works
// as any other.
func TestFullOwner(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, 1000*time.Hour)
		lost, home := z.member("lost"), z.member("home")
		z.people = z.change(z.people, func(b *identity.PeopleBody) {
			b.Name = strings.Repeat("x", identity.MaxName)
			b.Revoked = append(b.Revoked, lost.Device.ID())
			for i := range identity.MaxRevoked - 1 {
				b.Revoked = append(b.Revoked, fakeDevice(i))
			}
			b.OODs = append(b.OODs, home.Device.ID())
			for i := range identity.MaxOODs - 1 {
				b.OODs = append(b.OODs, fakeDevice(1000+i))
			}
		})
		t.Logf("%d bytes", len(z.people.Bytes()))
		server := w.open("home", w.public("home", time.Millisecond, "203.0.113.9"), inZone(z, home))
		server.ServeEcho()
		greet(t, server, "zone", bdt.OwnZone)
		time.Sleep(2 * time.Second)
		fresh := w.open("fresh", w.public("fresh", time.Millisecond, "203.0.113.10"), func(c *bdt.Config) { c.Device = z.member("fresh") })
		revoked := w.open("lost", w.public("lost", time.Millisecond, "203.0.113.11"), func(c *bdt.Config) { c.Device = lost })
		defer closeAll(t, server, fresh, revoked)
		who, took := dialled(t, fresh, z.people.ID())
		t.Logf("dialled by the owner's id after %v", took)
		if who != server.ID() {
			t.Errorf("%s answers", who.Short())
		}
		if err := answer(fresh, server.ID(), "zone"); err != nil {
			t.Error(err)
		}
		if err := answer(revoked, server.ID(), "zone"); !errors.Is(err, bdt.ErrDenied) {
			t.Errorf("the lost device: %v", err)
		}
		if p := revoked.Owner(); p == nil || !p.Revoked(lost.Device.ID()) {
			t.Error("the lost device has not learned it")
		}
	})
}

// fakeDevice returns an id of a device that there is not.
func fakeDevice(i int) identity.ID {
	id, err := identity.NewID(identity.TypeDevice, identity.Area{}, fmt.Append(nil, "fake", i))
	if err != nil {
		panic(err)
	}
	return id
}

// However many callers name an owner that an SN does not tell about, few of them
// wait, and none for long.
func TestWaitingForAnOwnerIsBounded(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		server := w.open("server", w.public("server", time.Millisecond, "203.0.113.9"))
		defer closeAll(t, server)
		time.Sleep(time.Second)
		w.cutter("server")(true)
		caller := server.CallerWith(newZone(t, time.Hour).claimant("stranger").Device)
		const callers = 3000
		took := make(chan time.Duration, callers)
		for range callers {
			go func() {
				took <- elapsed(func() { caller.MemberOf(caller.Device.Owner()) })
			}()
		}
		waited := 0
		for range callers {
			d := <-took
			if d > 0 {
				waited++
			}
			if d > 3*time.Second {
				t.Errorf("a caller waited %v", d)
			}
		}
		if waited != 1024 {
			t.Errorf("%d callers waited", waited)
		}
	})
}

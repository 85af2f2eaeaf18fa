package bdt_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
)

// answering returns the owner's object with devices that answer for it.
func (z *zone) answering(oods ...identity.ID) *identity.People {
	return z.change(z.people, func(b *identity.PeopleBody) { b.OODs = oods })
}

// dialled dials a service of a device or an owner, and returns who has answered.
func dialled(t testing.TB, s *bdt.Stack, id identity.ID) (who identity.ID, took time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	start := time.Now()
	c, err := s.Dial(ctx, id, bdt.EchoService)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	return c.Peer().ID(), time.Since(start)
}

// An owner is dialled by its id: its first device answers, or the second if that
// is dead, and the first again when it is back.
func TestDialOwner(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, 1000*time.Hour)
		home, away := z.member("home"), z.member("away")
		z.people = z.answering(home.Device.ID(), away.Device.ID())
		first := w.open("home", w.behind("home", netsim.PortRestricted, 5*time.Millisecond, "198.51.100.1"), inZone(z, home))
		second := w.open("away", w.behind("away", netsim.PortRestricted, 5*time.Millisecond, "198.51.100.2"), inZone(z, away))
		stranger := w.open("stranger", w.behind("stranger", netsim.PortRestricted, 5*time.Millisecond, "198.51.100.3"))
		defer closeAll(t, first, second, stranger)
		first.ServeEcho()
		second.ServeEcho()
		time.Sleep(time.Second)
		other := w.open("other", w.behind("other", netsim.PortRestricted, 5*time.Millisecond, "198.51.100.4"))
		_, plain := dialled(t, other, first.ID())
		other.Close()

		who, took := dialled(t, stranger, z.people.ID())
		t.Logf("by the owner's id after %v, by the device's after %v", took, plain)
		if who != first.ID() {
			t.Errorf("%s answers, not the first", who.Short())
		}
		// The owner's object comes first, in one round trip to the SN.
		if rtt := 30 * time.Millisecond; took > plain+rtt+time.Millisecond {
			t.Errorf("dialled after %v, by the device's id after %v", took, plain)
		}
		if rtt, err := stranger.Ping(t.Context(), z.people.ID()); err != nil || rtt > 50*time.Millisecond {
			t.Errorf("ping: %v, %v", rtt, err)
		}

		w.cutter("home")(true)
		late := w.open("late", w.behind("late", netsim.PortRestricted, 5*time.Millisecond, "198.51.100.5"))
		defer closeAll(t, late)
		who, took = dialled(t, late, z.people.ID())
		t.Logf("with the first device dead after %v", took)
		if who != second.ID() || took > plain+30*time.Millisecond+250*time.Millisecond+time.Millisecond {
			t.Errorf("%s answers after %v", who.Short(), took)
		}
		if who, took = dialled(t, late, z.people.ID()); who != second.ID() || took > time.Millisecond {
			t.Errorf("%s answers after %v, the second has a session", who.Short(), took)
		}
		w.cutter("home")(false)
		until(t, 5*time.Minute, "the first device answers again", func() bool {
			who, took := dialled(t, late, z.people.ID())
			if took > time.Millisecond {
				t.Errorf("dialled after %v", took)
			}
			return who == first.ID()
		})
	})
}

// Whatever keeps an owner from being dialled has its error.
func TestDialOwnerErrors(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, 1000*time.Hour)
		caller := w.open("caller", w.public("caller", time.Millisecond, "203.0.113.9"))
		lone := w.open("lone", w.public("lone", time.Millisecond, "203.0.113.10"), noSN)
		member := w.open("member", w.public("member", time.Millisecond, "203.0.113.11"), inZone(z, z.member("member")))
		defer closeAll(t, caller, lone, member)
		dial := func(s *bdt.Stack, cause error) string {
			t.Helper()
			_, err := s.Dial(context.Background(), z.people.ID(), "s")
			wantOp(t, err, "dial", cause)
			if err == nil || !strings.Contains(err.Error(), z.people.ID().Short()) {
				t.Errorf("%v does not name the owner", err)
				return ""
			}
			return err.Error()
		}
		unknown := newZone(t, time.Hour).people.ID()
		if _, err := caller.Dial(context.Background(), unknown, "s"); !errors.Is(err, bdt.ErrOwnerNotFound) {
			t.Errorf("an owner nobody knows: %v", err)
		}
		dial(lone, bdt.ErrNoRoute)
		time.Sleep(time.Second)
		dial(caller, bdt.ErrNoOOD)

		ghosts := []identity.ID{z.claimant("ghost").Device.ID(), z.claimant("ghost").Device.ID()}
		z.people = z.answering(ghosts...)
		if err := member.SetOwner(z.people); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		text := dial(caller, bdt.ErrNotFound)
		for _, id := range ghosts {
			if !strings.Contains(text, id.Short()) {
				t.Errorf("%q does not name %s", text, id.Short())
			}
		}
		// A device that is known, but cut off, takes all the time there is.
		w.cutter("member")(true)
		off := w.open("off", w.public("off", time.Millisecond, "203.0.113.12"), func(c *bdt.Config) { c.DialTimeout = 3 * time.Second })
		z.people = z.answering(member.ID(), ghosts[0])
		if err := off.Learn(identity.Ticket{ID: member.ID(), Device: member.Device()}); err != nil {
			t.Fatal(err)
		}
		w.cutter("member")(false)
		if err := member.SetOwner(z.people); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		w.cutter("member")(true)
		start := time.Now()
		_, err := off.Dial(context.Background(), z.people.ID(), "s")
		wantOp(t, err, "dial", bdt.ErrUnreachable)
		wantOp(t, err, "dial", bdt.ErrNotFound)
		if took := time.Since(start); took > 3*time.Second || !strings.Contains(err.Error(), member.ID().Short()) {
			t.Errorf("after %v: %v", took, err)
		}
		off.Close()
		w.cutter("member")(false)
		time.Sleep(time.Minute)

		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		_, err = caller.Dial(ctx, z.people.ID(), "s")
		cancel()
		wantOp(t, err, "dial", context.DeadlineExceeded)

		z.people = z.answering(member.ID())
		if err := member.SetOwner(z.people); err != nil {
			t.Fatal(err)
		}
		if text := dial(member, nil); !strings.Contains(text, "this device") {
			t.Errorf("dialling oneself: %s", text)
		}
		if _, err := caller.Dial(context.Background(), chunk(t), "s"); err == nil || !strings.Contains(err.Error(), "an owner") {
			t.Errorf("dialling a chunk: %v", err)
		}
		if err := caller.Learn(identity.Ticket{ID: chunk(t)}); err == nil {
			t.Error("learned to reach a chunk")
		}
		w.sn.Close()
		time.Sleep(time.Minute)
		if _, err := caller.Dial(context.Background(), unknown, "s"); !errors.Is(err, bdt.ErrOffline) {
			t.Errorf("without an SN: %v", err)
		}
	})
}

// The devices of an owner have been exchanged since its object was looked up; and
// that it has expired does not matter for dialling.
func TestDialOwnerAfterAChange(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, time.Minute)
		was, is := z.member("was"), z.member("is")
		z.people = z.answering(was.Device.ID())
		first := w.open("was", w.public("was", time.Millisecond, "203.0.113.11"), inZone(z, was))
		first.ServeEcho()
		caller := w.open("caller", w.public("caller", time.Millisecond, "203.0.113.9"))
		defer closeAll(t, caller)
		time.Sleep(time.Second)
		dialled(t, caller, z.people.ID())
		time.Sleep(time.Hour)
		if who, _ := dialled(t, caller, z.people.ID()); who != first.ID() {
			t.Error("the owner has expired, and its device does not answer")
		}
		first.Close()
		z.people = z.answering(is.Device.ID())
		second := w.open("is", w.public("is", time.Millisecond, "203.0.113.12"), inZone(z, is))
		defer closeAll(t, second)
		second.ServeEcho()
		time.Sleep(time.Second)
		who, took := dialled(t, caller, z.people.ID())
		t.Logf("after %v", took)
		if who != second.ID() {
			t.Errorf("%s answers", who.Short())
		}
	})
}

// A ticket leads to an owner at an SN that the caller does not use.
func TestOwnersTicket(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		second, ref := w.secondSN("203.0.113.2")
		defer second.Close()
		z := newZone(t, time.Hour)
		device := z.member("bob")
		z.people = z.answering(device.Device.ID())
		bob := w.open("bob", w.behind("bob", netsim.PortRestricted, time.Millisecond, "198.51.100.2"), inZone(z, device),
			func(c *bdt.Config) { c.SNs = []identity.Ref{ref} })
		alice := w.open("alice", w.behind("alice", netsim.PortRestricted, time.Millisecond, "198.51.100.1"))
		lone := w.open("lone", w.behind("lone", netsim.PortRestricted, time.Millisecond, "198.51.100.3"), noSN)
		defer closeAll(t, alice, bob, lone)
		bob.ServeEcho()
		time.Sleep(time.Second)
		if _, err := alice.Ping(context.Background(), z.people.ID()); !errors.Is(err, bdt.ErrOwnerNotFound) {
			t.Errorf("without a ticket: %v", err)
		}
		ticket, err := identity.ParseTicket(identity.Ticket{ID: z.people.ID(), SNs: []identity.Ref{ref}}.String())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*bdt.Stack{alice, lone} {
			if err := s.Learn(ticket); err != nil {
				t.Fatal(err)
			}
			if who, _ := dialled(t, s, z.people.ID()); who != bob.ID() {
				t.Errorf("%s answers", who.Short())
			}
		}
	})
}

// Dials of one owner at once cost one look-up, and one session.
func TestDialOwnerAtOnce(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, time.Hour)
		device := z.member("bob")
		z.people = z.answering(device.Device.ID())
		bob := w.open("bob", w.public("bob", time.Millisecond, "203.0.113.12"), inZone(z, device))
		alice := w.open("alice", w.public("alice", time.Millisecond, "203.0.113.9"))
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		time.Sleep(time.Second)
		before := w.sn.Stats().Lookups
		errs := make(chan error, 50)
		for range cap(errs) {
			go func() {
				_, err := alice.Ping(context.Background(), z.people.ID())
				errs <- err
			}()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if n := w.sn.Stats().Lookups - before; n != 1 {
			t.Errorf("%d lookups", n)
		}
		if n := sessionsOpened(alice); n != 1 {
			t.Errorf("%d sessions", n)
		}
		if ids := slices.Collect(func(yield func(identity.ID) bool) {
			for _, p := range alice.Peers() {
				yield(p.ID)
			}
		}); !slices.Equal(ids, []identity.ID{bob.ID()}) {
			t.Errorf("peers %v", ids)
		}
	})
}

// An owner cannot name another's device: what is meant for one of his would be done
// there, with the rights that the caller has.
func TestDialOwnerOfAnother(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, time.Hour)
		member, claimant := z.member("member"), z.claimant("claimant")
		bob := w.open("bob", w.public("bob", time.Millisecond, "203.0.113.12"))
		mallory := w.open("mallory", w.public("mallory", time.Millisecond, "203.0.113.13"), inZone(z, member))
		other := w.open("claimant", w.public("claimant", time.Millisecond, "203.0.113.14"), inZone(z, claimant))
		defer closeAll(t, bob, mallory, other)
		var c counted
		c.serve(t, bob, "s")
		for _, s := range []*bdt.Stack{bob, mallory, other} {
			s.ServeEcho()
		}
		for _, tt := range []struct {
			oods []identity.ID
			want identity.ID // zero: nobody
		}{
			{[]identity.ID{bob.ID()}, identity.ID{}},
			{[]identity.ID{bob.ID(), mallory.ID()}, mallory.ID()},
			{[]identity.ID{other.ID()}, other.ID()}, // a membership is not needed
		} {
			z.people = z.answering(tt.oods...)
			if err := mallory.SetOwner(z.people); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute)
			for _, known := range []bool{false, true} {
				alice := w.open("alice", w.public("alice", time.Millisecond, freshAddr()))
				if known {
					ask(t, alice, bob.ID())
				}
				if _, err := alice.Call(context.Background(), z.people.ID(), "s", []byte("delete all")); tt.want.IsZero() {
					wantOp(t, err, "call", bdt.ErrNotOOD)
				} else if who, _ := dialled(t, alice, z.people.ID()); who != tt.want {
					t.Errorf("%s answers, with a session: %v", who.Short(), known)
				}
				closeAll(t, alice)
			}
		}
		if n := c.all.Load(); n != 0 {
			t.Errorf("ran %d times at another's device", n)
		}
	})
}

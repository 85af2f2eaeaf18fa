package snclient_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/sn"
)

func TestCallTakesOneRoundTrip(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms).start()
		b := w.newNode(2, "198.51.100.2", 40*ms).start()
		time.Sleep(time.Second) // both have pinged: their round trips are known
		for _, c := range []struct {
			caller, callee *node
			initiation     bool
		}{{a, b, false}, {a, b, true}, {b, a, false}, {b, a, true}} {
			o := snclient.CallOptions{Candidates: []wire.Candidate{{Kind: wire.CandidateHost, Addr: netip.MustParseAddrPort("192.0.2.1:1")}}}
			if c.initiation {
				i, err := c.caller.local.Initiate(c.callee.local.Device(), noise.Offer{Index: 9, Stamp: 1})
				if err != nil {
					t.Fatal(err)
				}
				o.Initiation = i.Packet()
			}
			began, before := time.Now(), len(c.callee.calls())
			r, err := c.caller.client.Call(context.Background(), c.callee.id(), o)
			if err != nil {
				t.Fatal(err)
			}
			replied := time.Now()
			if took, rtt := replied.Sub(began), c.caller.client.RTT(); took != rtt {
				t.Errorf("reply after %v, round trip %v", took, rtt)
			}
			if r.Device.ID() != c.callee.id() || len(r.Candidates) != 1 || r.Candidates[0].Addr != c.callee.addr() {
				t.Errorf("reply %+v", r)
			}
			time.Sleep(time.Second)
			calls := c.callee.calls()[before:]
			if len(calls) != 1 {
				t.Fatalf("called %d times", len(calls))
			}
			m := calls[0].m
			if took := calls[0].at.Sub(began); took != 55*ms {
				t.Errorf("called after %v, want half of both round trips, 55ms", took)
			}
			if m.Caller != c.caller.id() || m.Candidates[0].Addr != c.caller.addr() || len(m.Candidates) != 2 ||
				string(m.Initiation) != string(o.Initiation) || c.initiation == (m.Device != nil) {
				t.Errorf("called %+v", m)
			}
			// Both first punches leave at the same moment.
			if one, other := replied.Add(r.Wait), calls[0].at.Add(m.Wait); !one.Equal(other) {
				t.Errorf("punches are %v apart", one.Sub(other))
			}
			if r.Wait+m.Wait != 25*ms {
				t.Errorf("waits %v and %v, want 25ms for the nearer", r.Wait, m.Wait)
			}
		}
	})
}

func TestCallErrors(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms).start()
		nobody := newDevice(t, 99).Device.ID()
		_, err := a.client.Call(context.Background(), nobody, snclient.CallOptions{})
		var status *snclient.StatusError
		if !errors.Is(err, snclient.ErrNotFound) || !errors.As(err, &status) || status.Object != nobody || status.SN != w.snID.Device.ID() {
			t.Errorf("calling nobody: %v", err)
		}
		if _, err := a.client.Call(context.Background(), a.id(), snclient.CallOptions{}); !errors.Is(err, snclient.ErrNotAllowed) {
			t.Errorf("calling itself: %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*ms)
		defer cancel()
		w.snLink.SetDown(true)
		if _, err := a.client.Call(ctx, nobody, snclient.CallOptions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("calling for 100ms: %v", err)
		}
		began := time.Now()
		if _, err := a.client.Call(context.Background(), nobody, snclient.CallOptions{}); !errors.Is(err, snclient.ErrOffline) || time.Since(began) > 2500*ms {
			t.Errorf("calling without an answer: %v after %v", err, time.Since(began))
		}
		if s := a.client.State(); s != snclient.Offline {
			t.Errorf("%v at a server that does not answer", s)
		}
	})
}

// Each Call is lost but the last; then each answer.
func TestCallIsRepeated(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms).start()
		b := w.newNode(2, "198.51.100.2", 15*ms).start()
		time.Sleep(time.Second)
		for _, up := range []bool{true, false} {
			var seen int
			a.link.SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
				// Calls and answers are the longest there are now.
				if up == (p.Src == a.addr()) && len(p.Data) > 60 {
					if seen++; seen < 4 {
						return
					}
				}
				emit(p, 0)
			})
			before := len(b.calls())
			began := time.Now()
			if _, err := a.client.Call(context.Background(), b.id(), snclient.CallOptions{}); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != 3500*ms+30*ms {
				t.Errorf("answer after %v, want the fourth Call's", took)
			}
			time.Sleep(5 * time.Second)
			if n := len(b.calls()) - before; n != 1 {
				t.Errorf("callee acted %d times", n)
			}
		}
	})
}

// Of 10 calls over links that lose 30 % some may fail, none may be acted on twice.
func TestCallsUnderLoss(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms).start()
		b := w.newNode(2, "198.51.100.2", 15*ms).start()
		a.link.SetLoss(0.3)
		b.link.SetLoss(0.3)
		ok, online := 0, 0
		const calls = 40
		for range calls {
			_, err := a.client.Call(context.Background(), b.id(), snclient.CallOptions{})
			switch {
			case err == nil:
				ok++
			case errors.Is(err, snclient.ErrOffline), errors.Is(err, snclient.ErrNotFound):
				time.Sleep(10 * time.Second)
				continue
			case !errors.Is(err, snclient.ErrTimeout):
				t.Fatal(err)
			}
			online++
			time.Sleep(10 * time.Second)
		}
		// A try succeeds with 0.7² = 0.49, so one of four does with 0.93.
		if ok < online*7/10 || online < calls/2 {
			t.Errorf("%d of %d calls were answered", ok, online)
		}
		seen := map[uint64]bool{}
		for _, c := range b.calls() {
			if seen[c.m.Call] {
				t.Errorf("call %d was acted on twice", c.m.Call)
			}
			seen[c.m.Call] = true
		}
		if made := int(w.sn.Stats().CallsMade); len(seen) < made*9/10 || len(seen) > made {
			t.Errorf("callee saw %d of %d calls", len(seen), made)
		}
	})
}

// The network delivers everything three times.
func TestDuplicates(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		w.snLink.SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
			emit(p, 0)
			emit(p, 0)
			emit(p, 70*ms)
		})
		a := w.newNode(1, "198.51.100.1", 15*ms).start()
		b := w.newNode(2, "198.51.100.2", 15*ms).start()
		if _, err := a.client.Call(context.Background(), b.id(), snclient.CallOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := a.client.Signal(b.id(), signalPacket); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if len(b.calls()) != 1 || len(b.signals()) != 1 {
			t.Errorf("%d calls, %d signals", len(b.calls()), len(b.signals()))
		}
		if s := w.sn.Stats(); s.CallsMade != 1 || s.Registers != 2 || s.Handshakes != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

// signalPacket is some control packet.
var signalPacket = func() []byte {
	m := wire.Response{Sender: 1, Receiver: 2, Noise: make([]byte, 48)}
	return m.Append(nil)
}()

func TestSignal(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms).start()
		b := w.newNode(2, "198.51.100.2", 15*ms)
		// The callee answers from within the handler, as a stack does.
		b.onCalled = func(c *snclient.Client, m wire.Called) { c.Signal(m.Caller, signalPacket) }
		b.start()
		began := time.Now()
		if _, err := a.client.Call(context.Background(), b.id(), snclient.CallOptions{}); err != nil {
			t.Fatal(err)
		}
		for len(a.signals()) == 0 && time.Since(began) < time.Second {
			time.Sleep(ms)
			synctest.Wait()
		}
		// There and back, through the SN: two round trips of 30 ms.
		if took := time.Since(began); took != 60*ms {
			t.Errorf("answer after %v, want 60ms", took)
		}
		if got := a.signals(); !slices.Equal(got, []signalled{{b.id(), string(signalPacket)}}) {
			t.Errorf("signals %v", got)
		}
		if err := a.client.Signal(b.id(), make([]byte, wire.MaxSignal+1)); !errors.Is(err, wire.ErrCount) {
			t.Errorf("signal that is too long: %v", err)
		}
	})
}

func TestLookupAndPublish(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		ctx := context.Background()
		a := w.newNode(1, "198.51.100.1", 15*ms).start()
		b := w.newNode(2, "198.51.100.2", 15*ms).start()
		o, err := a.client.Lookup(ctx, b.id())
		if err != nil || o.ID() != b.id() || o.Updated() != 1000 {
			t.Errorf("found %v, %v", o, err)
		}
		secret := identity.SecretFromSeed([32]byte{1, 2, 3})
		people, err := identity.NewPeople(secret, identity.PeopleDesc{}, identity.PeopleBody{Updated: 5, ValidUntil: 6})
		if err != nil {
			t.Fatal(err)
		}
		newer, err := people.Update(secret, identity.PeopleBody{Updated: 7, ValidUntil: 8})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.client.Lookup(ctx, people.ID()); !errors.Is(err, snclient.ErrNotFound) {
			t.Errorf("looking up what nobody published: %v", err)
		}
		for _, p := range []*identity.People{people, newer, newer} {
			if err := a.client.Publish(ctx, p); err != nil {
				t.Error(err)
			}
		}
		if err := b.client.Publish(ctx, people); !errors.Is(err, snclient.ErrTooOld) {
			t.Errorf("rolling back: %v", err)
		}
		if o, err := b.client.Lookup(ctx, people.ID()); err != nil || o.Updated() != 7 {
			t.Errorf("found %v, %v", o, err)
		}
	})
}

// An owner with all lists full takes parts, which are lost, repeated and mixed with
// others of the same device, and comes back whole.
func TestObjectInParts(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms).start()
		b := w.newNode(2, "198.51.100.2", 15*ms).start()
		a.link.SetLoss(0.2)
		var ids []identity.ID
		for i := range identity.MaxRevoked + identity.MaxOODs {
			secret := identity.SecretFromSeed([32]byte{byte(i), byte(i >> 8), 7})
			d, err := identity.NewDevice(secret, identity.DeviceDesc{}, identity.DeviceBody{Updated: 1})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, d.ID())
		}
		var people []*identity.People
		for i := range byte(3) {
			p, err := identity.NewPeople(identity.SecretFromSeed([32]byte{9, i}), identity.PeopleDesc{}, identity.PeopleBody{
				Updated: 5, ValidUntil: 6, OODs: ids[:identity.MaxOODs], Revoked: ids[identity.MaxOODs:],
			})
			if err != nil {
				t.Fatal(err)
			}
			people = append(people, p)
		}
		t.Logf("%d bytes", len(people[0].Bytes()))
		errs := make(chan error, len(people))
		for _, p := range people {
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
				defer cancel()
				for {
					err := a.client.Publish(ctx, p)
					// A part is lost for good now and then, and the client must come back.
					if errors.Is(err, snclient.ErrTimeout) || errors.Is(err, snclient.ErrOffline) || errors.Is(err, snclient.ErrTooMany) {
						time.Sleep(5 * time.Second)
						continue
					}
					errs <- err
					return
				}
			}()
		}
		for range people {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		for _, p := range people {
			began := time.Now()
			if o, err := b.client.Lookup(context.Background(), p.ID()); err != nil || !bytes.Equal(o.Bytes(), p.Bytes()) {
				t.Errorf("found %v, %v", o, err)
			}
			// The answer that it is too large, and 9 parts.
			if took := time.Since(began); took != 10*30*ms {
				t.Errorf("found after %v, want 10 round trips", took)
			}
		}
	})
}

package noise

import (
	"errors"
	"math"
	"testing"
	"time"
)

// restore returns the association as another process would have it.
func restore(tb testing.TB, a *Association) *Association {
	tb.Helper()
	r, err := RestoreAssociation(a.AppendState(nil))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestRestoredAssociationGoesOn(t *testing.T) {
	device, server := associate(t, newLocal(t, 1), newLocal(t, 2))
	for range 3 {
		open(t, server, seal(t, device, "ping", start), "ping", start)
		open(t, device, seal(t, server, "pong", start), "pong", start)
	}
	kept := server.AppendState(nil)
	late := seal(t, device, "late", start)
	for range 100 { // sealed after the state was kept
		seal(t, server, "lost", start)
	}
	r, err := RestoreAssociation(kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Advance(1<<32, 0); err != nil {
		t.Fatal(err)
	}
	if r.Remote() != server.Remote() || r.Binding() != server.Binding() || r.SessionID() != server.SessionID() ||
		r.LocalIndex() != server.LocalIndex() || r.RemoteIndex() != server.RemoteIndex() ||
		r.Initiator() || r.Client() != server.Client() || r.GoesOn() || !r.Confirmed() {
		t.Errorf("restored: %v", r)
	}
	open(t, device, seal(t, r, "hello", start), "hello", start)
	if n, _ := r.Counters(); n != 1<<32+1 {
		t.Errorf("next counter is %d", n)
	}
	open(t, r, late, "late", start)
	refuse(t, r, late, ErrReplay, start)
}

// What was seen before the state was kept stays seen.
func TestRestoredAssociationRefusesReplays(t *testing.T) {
	device, server := associate(t, newLocal(t, 1), newLocal(t, 2))
	var pkts [][]byte
	for range 10 {
		pkts = append(pkts, seal(t, device, "ping", start))
	}
	for _, p := range pkts[5:] {
		open(t, server, p, "ping", start)
	}
	r := restore(t, server)
	for _, p := range pkts { // those that were not seen are too old to tell
		refuse(t, r, p, ErrReplay, start)
	}
	open(t, r, seal(t, device, "ping", start), "ping", start)
}

// The device leads, so that a responder that was kept one epoch ago follows; and
// the jump of counters makes it lead.
func TestRestoredAssociationFollowsEpochs(t *testing.T) {
	device, server := associate(t, newLocal(t, 1), newLocal(t, 2))
	now := start
	open(t, server, seal(t, device, "a", now), "a", now)
	open(t, device, seal(t, server, "b", now), "b", now)
	kept := server.AppendState(nil)
	now = now.Add(epochTime)
	open(t, server, seal(t, device, "c", now), "c", now)
	open(t, device, seal(t, server, "d", now), "d", now)
	if server.Epoch() != 1 {
		t.Fatalf("epoch %d", server.Epoch())
	}
	r, err := RestoreAssociation(kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Advance(1<<32, 0); err != nil {
		t.Fatal(err)
	}
	now = now.Add(epochGrace - time.Second)
	open(t, device, seal(t, r, "called", now), "called", now) // within the grace
	r = restore(t, server)
	if err := r.Advance(1<<33, 0); err != nil {
		t.Fatal(err)
	}
	open(t, device, seal(t, r, "called", now), "called", now)
	pkt := seal(t, device, "ack", now)
	if epochOf(pkt) != 2 {
		t.Errorf("epoch %d after a jump of counters, want 2", epochOf(pkt))
	}
	open(t, r, pkt, "ack", now)
	open(t, device, seal(t, r, "pong", now), "pong", now)
}

// The remote device may count up to the last counter there is: its association is
// kept like any other.
func TestRestoredAssociationOfHighCounters(t *testing.T) {
	device, server := associate(t, newLocal(t, 1), newLocal(t, 2))
	now := time.Now()
	device.counter = counterLimit - 1
	open(t, server, seal(t, device, "the last", now), "the last", now)
	r, err := RestoreAssociation(server.AppendState(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, next := r.Counters(); next != counterLimit {
		t.Errorf("next is %d, want %d", next, uint64(counterLimit))
	}
}

func TestRestoreRefuses(t *testing.T) {
	_, server := associate(t, newLocal(t, 1), newLocal(t, 2))
	good := server.AppendState(nil)
	for n := range good {
		if _, err := RestoreAssociation(good[:n]); !errors.Is(err, ErrState) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := RestoreAssociation(append(good, 0)); !errors.Is(err, ErrState) {
		t.Errorf("a byte more: %v", err)
	}
	if _, err := RestoreAssociation(flip(good, 0)); !errors.Is(err, ErrState) {
		t.Errorf("another version: %v", err)
	}
	r := restore(t, server)
	if err := r.Advance(math.MaxInt64+1, 0); !errors.Is(err, ErrState) {
		t.Errorf("counter beyond the limit: %v", err)
	}
	if err := r.Advance(0, counterLimit+1); !errors.Is(err, ErrState) {
		t.Errorf("window beyond the limit: %v", err)
	}
}

func FuzzRestoreAssociation(f *testing.F) {
	_, server := associate(f, newLocal(f, 1), newLocal(f, 2))
	f.Add(server.AppendState(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := RestoreAssociation(b)
		if err != nil {
			return
		}
		again := a.AppendState(nil)
		if b[1] &= 15; string(again) != string(b) { // other flags are left out
			t.Errorf("%x became %x", b, again)
		}
		if _, err := a.Seal(nil, []byte("x"), start); err != nil {
			t.Errorf("seal: %v", err)
		}
	})
}

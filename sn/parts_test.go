package sn

import (
	"bytes"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

func deviceNumber(i int) identity.ID { return identity.ID{0x44, byte(i), byte(i >> 8)} }

// Parts make up an object in their order; a repeated one does no harm; what does
// not fit finds nothing to belong to, and spoils nothing.
func TestUploads(t *testing.T) {
	object := bytes.Repeat([]byte("0123456789"), 250)
	u := newUploads()
	device := deviceNumber(1)
	at := func(offset int) wire.Part { return wire.PartOf(object, offset) }
	foreign := at(wire.MaxObject)
	foreign.Bytes = bytes.Repeat([]byte{1}, wire.MaxObject)
	longer := at(wire.MaxObject)
	longer.Total++
	for i, step := range []struct {
		device identity.ID
		part   wire.Part
		after  time.Duration
		status wire.Status
		whole  bool
	}{
		{device, at(wire.MaxObject), 0, wire.StatusNotFound, false}, // no beginning
		{device, at(0), 0, wire.StatusOK, false},
		{device, at(2 * wire.MaxObject), 0, wire.StatusNotFound, false}, // one is missing
		{device, longer, 0, wire.StatusNotFound, false},
		{deviceNumber(2), at(wire.MaxObject), 0, wire.StatusNotFound, false}, // another's
		{device, at(wire.MaxObject), uploadLife, wire.StatusOK, false},
		{device, at(wire.MaxObject), 0, wire.StatusOK, false}, // repeated
		{device, foreign, 0, wire.StatusNotFound, false},      // not what was there
		{device, at(2 * wire.MaxObject), 0, wire.StatusOK, true},
		{device, at(2 * wire.MaxObject), 0, wire.StatusNotFound, false}, // it is over
		{device, at(0), 0, wire.StatusOK, false},
		{device, at(wire.MaxObject), uploadLife + 1, wire.StatusNotFound, false}, // too late
		{device, at(0), 0, wire.StatusOK, false},                                 // starts over
		{device, at(wire.MaxObject), 0, wire.StatusOK, false},
		{device, at(2 * wire.MaxObject), 0, wire.StatusOK, true},
	} {
		now := time.Duration(i)
		if step.after > 0 {
			u.mu.Lock()
			u.m[step.device].at = now - step.after
			u.mu.Unlock()
		}
		whole, status := u.add(step.device, step.part, 1, now)
		if status != step.status || (whole != nil) != step.whole {
			t.Errorf("step %d: status %v, whole %v", i, status, whole != nil)
		}
		if step.whole && !bytes.Equal(whole, object) {
			t.Errorf("step %d: put together wrong", i)
		}
	}
	if len(u.m) != 0 {
		t.Errorf("%d uploads left", len(u.m))
	}
}

// Whoever begins uploads and does not end them keeps others of his network out, for
// 30 s at most, and nobody of another.
func TestUploadsAreBounded(t *testing.T) {
	u := newUploads()
	first := wire.Part{Total: wire.MaxStored, Bytes: make([]byte, wire.MaxObject)}
	add := func(i int, from network, now time.Duration, want wire.Status) {
		t.Helper()
		if _, status := u.add(deviceNumber(i), first, from, now); status != want {
			t.Errorf("upload %d of network %d: %v", i, from, status)
		}
	}
	for i := range networkUploads {
		add(i, 1, 0, wire.StatusOK)
	}
	add(networkUploads, 1, uploadLife, wire.StatusTooMany)
	add(networkUploads, 2, uploadLife, wire.StatusOK)
	add(0, 1, uploadLife, wire.StatusOK) // starts over
	add(networkUploads+1, 1, uploadLife+1, wire.StatusOK)
	if len(u.m) != 3 || u.quota.Len() != 3 {
		t.Errorf("%d uploads, %d places", len(u.m), u.quota.Len())
	}
	u = newUploads()
	for i := range 4 * maxUploads {
		u.add(deviceNumber(i), first, network(i%100), 0)
	}
	if len(u.m) > maxUploads || len(u.m) != u.quota.Len() || len(u.m) < maxUploads/2 {
		t.Errorf("%d uploads, %d places, of %d", len(u.m), u.quota.Len(), maxUploads)
	}
}

// A large object takes the places of several small ones.
func TestDirectoryCountsPlaces(t *testing.T) {
	const limit = 24 * directoryShards
	d := newDirectory(limit)
	small, large := object{1, make([]byte, 100)}, object{2, make([]byte, wire.MaxStored)}
	check := func(when string) {
		t.Helper()
		total := 0
		for i := range d.shards {
			sh := &d.shards[i]
			used := 0
			for _, e := range sh.m {
				used += e.places()
			}
			if used != sh.used || used > 24 {
				t.Fatalf("%s: shard of %d places counts %d", when, used, sh.used)
			}
			total += used
		}
		t.Logf("%s: %d objects in %d of %d places", when, d.len(), total, limit)
	}
	for i := range 4 * limit {
		d.put(deviceNumber(i), small, 1, 0)
	}
	check("small ones")
	for i := range 4 * limit {
		d.put(deviceNumber(i), large, 1, 1)
	}
	check("large ones in their place")
	for i := range 4 * limit {
		d.put(deviceNumber(i), object{3, make([]byte, 100)}, 1, 2)
	}
	check("small ones again")
	for i := range limit {
		d.take(deviceNumber(i), 3)
	}
	for i := range directoryShards {
		d.sweep(i, 100*objectLife)
	}
	check("none")
	if d.len() != 0 || d.quota.Len() != 0 {
		t.Errorf("%d objects left, %d places", d.len(), d.quota.Len())
	}
}

package snclient

import (
	"slices"
	"testing"
	"time"
)

func TestRetry(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		r    retry
		want []time.Duration
	}{
		{retry{first: 500 * ms, limit: 5000 * ms, total: 5000 * ms}, []time.Duration{0, 500 * ms, 1500 * ms, 3500 * ms}},
		{
			retry{first: 250 * ms, limit: 4000 * ms, total: 13000 * ms},
			[]time.Duration{0, 250 * ms, 750 * ms, 1750 * ms, 3750 * ms, 7750 * ms, 11750 * ms},
		},
	} {
		start := time.Unix(1000, 0)
		r := c.r
		if r.active() || r.send(start) || !r.due().IsZero() {
			t.Error("active before it was started")
		}
		r.start(start)
		var sent []time.Duration
		now := start
		for !r.expired(now) {
			if r.send(now) {
				sent = append(sent, now.Sub(start))
			}
			due := r.due()
			if !due.After(now) {
				t.Fatalf("at %v: due at %v", now.Sub(start), due.Sub(start))
			}
			now = due
		}
		if !slices.Equal(sent, c.want) || now.Sub(start) != c.r.total {
			t.Errorf("sent at %v and ended at %v, want %v", sent, now.Sub(start), c.want)
		}
		if r.active() || r.send(now) {
			t.Error("goes on after its end")
		}
		r.start(now)
		if !r.send(now) {
			t.Error("does not start again")
		}
		r.hurry(now)
		if !r.send(now) {
			t.Error("does not hurry")
		}
		r.stop()
		if r.active() || !r.due().IsZero() {
			t.Error("goes on after stop")
		}
		if r.hurry(now); r.send(now) {
			t.Error("hurry starts it")
		}
	}
}

func TestCallLog(t *testing.T) {
	var l callLog
	for i := range uint64(3 * callLogSize) {
		if !l.add(i) {
			t.Fatalf("call %d is taken for a repeat", i)
		}
		if l.add(i) {
			t.Fatalf("repeat of call %d is taken for new", i)
		}
		if i >= 100 && l.add(i-100) {
			t.Fatalf("repeat of call %d is taken for new after a hundred others", i-100)
		}
	}
	if len(l.ring) != callLogSize || len(l.seen) != callLogSize {
		t.Errorf("%d and %d calls are remembered, want %d", len(l.ring), len(l.seen), callLogSize)
	}
}

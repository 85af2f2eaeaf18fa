package retry

import (
	"slices"
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		r    Schedule
		want []time.Duration
	}{
		{Schedule{First: 500 * ms, Limit: 5000 * ms, Total: 5000 * ms}, []time.Duration{0, 500 * ms, 1500 * ms, 3500 * ms}},
		{
			Schedule{First: 250 * ms, Limit: 4000 * ms, Total: 13000 * ms},
			[]time.Duration{0, 250 * ms, 750 * ms, 1750 * ms, 3750 * ms, 7750 * ms, 11750 * ms},
		},
	} {
		start := time.Unix(1000, 0)
		r := c.r
		if r.Active() || r.Send(start) || !r.Due().IsZero() {
			t.Error("active before it was started")
		}
		r.Start(start)
		var sent []time.Duration
		now := start
		for !r.Expired(now) {
			if r.Send(now) {
				sent = append(sent, now.Sub(start))
			}
			due := r.Due()
			if !due.After(now) {
				t.Fatalf("at %v: due at %v", now.Sub(start), due.Sub(start))
			}
			now = due
		}
		if !slices.Equal(sent, c.want) || now.Sub(start) != c.r.Total {
			t.Errorf("sent at %v and ended at %v, want %v", sent, now.Sub(start), c.want)
		}
		if r.Active() || r.Send(now) {
			t.Error("goes on after its end")
		}
		r.Start(now)
		if !r.Send(now) {
			t.Error("does not start again")
		}
		r.Hurry(now)
		if !r.Send(now) {
			t.Error("does not hurry")
		}
		r.Stop()
		if r.Active() || !r.Due().IsZero() {
			t.Error("goes on after stop")
		}
		if r.Hurry(now); r.Send(now) {
			t.Error("hurry starts it")
		}
	}
}

package sn

import (
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	r := Rate{PerSecond: 10, Burst: 20}
	var b bucket
	take := func(now time.Duration) (n int) {
		for b.take(r, now) {
			n++
		}
		return n
	}
	now := time.Hour
	for _, c := range []struct {
		after time.Duration
		want  int
	}{
		{0, 20}, {0, 0}, {99 * time.Millisecond, 0}, {time.Millisecond, 1}, {time.Second, 10}, {time.Minute, 20},
	} {
		now += c.after
		if got := take(now); got != c.want {
			t.Errorf("after %v more: %d tokens, want %d", c.after, got, c.want)
		}
	}
	if b.full(now + 1999*time.Millisecond) {
		t.Error("full too soon")
	}
	if !b.full(now + 2*time.Second) {
		t.Error("not full after burst/rate")
	}
	for range 1000 {
		if !b.take(Rate{PerSecond: -1}, now) {
			t.Fatal("no rate, and yet limited")
		}
	}
}

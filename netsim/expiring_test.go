package netsim

import (
	"slices"
	"testing"
	"time"
)

func TestExpiring(t *testing.T) {
	var gone []string
	x := newExpiring[int](10, 3, func(v string) { gone = append(gone, v) })
	x.put(1, "one", 0)
	x.put(2, "two", 3)
	x.put(3, "three", 5)
	if x.put(4, "four", 6) {
		t.Fatal("a full table takes a fourth")
	}
	if !x.put(1, "one", 7) {
		t.Fatal("a full table does not refresh")
	}
	if _, ok := x.get(2, 12); !ok || gone != nil {
		t.Fatal("expired too early")
	}
	if _, ok := x.get(2, 13); ok {
		t.Fatal("expired too late, or get refreshes")
	}
	if !x.put(4, "four", 14) {
		t.Fatal("no room after expiry")
	}
	if v, ok := x.get(1, 16); !ok || v != "one" {
		t.Fatalf("refreshed, but %q, %t", v, ok)
	}
	x.expire(100)
	if want := []string{"two", "three", "one", "four"}; !slices.Equal(gone, want) || len(x.entries) != 0 || len(x.rings) != 1 {
		t.Fatalf("expired %v, want %v", gone, want)
	}
}

// Entries of different lives expire each in its time, whatever the order in which they were
// touched, and one whose life changes goes by the new one alone.
func TestExpiringLives(t *testing.T) {
	const short, long = 10, 100
	var gone []string
	x := newExpiring[string](short, 4, func(v string) { gone = append(gone, v) })
	put := func(k string, now, life time.Duration) {
		if !x.putFor(k, k, now, life) {
			t.Fatalf("no room for %s at %d", k, now)
		}
	}
	put("long", 0, long)
	put("short", 1, short)
	put("shortened", 2, long)
	put("lengthened", 3, short)
	put("shortened", 5, short)
	put("lengthened", 6, long)
	if x.putFor("fifth", "fifth", 10, long) {
		t.Fatal("a full table takes a fifth")
	}
	for _, c := range []struct {
		now  time.Duration
		want []string
	}{
		{10, nil},
		{11, []string{"short"}},
		{14, []string{"short"}},
		{15, []string{"short", "shortened"}},
		{99, []string{"short", "shortened"}},
		{100, []string{"short", "shortened", "long"}},
		{105, []string{"short", "shortened", "long"}},
		{106, []string{"short", "shortened", "long", "lengthened"}},
	} {
		if x.expire(c.now); !slices.Equal(gone, c.want) {
			t.Fatalf("at %d: expired %v, want %v", c.now, gone, c.want)
		}
	}
	if len(x.entries) != 0 || len(x.rings) != 2 {
		t.Fatalf("%d entries and %d rings are left", len(x.entries), len(x.rings))
	}
}

// A table forgets all at once, of whatever life, and goes on.
func TestExpiringClear(t *testing.T) {
	gone := 0
	x := newExpiring[int](10, 3, func(int) { gone++ })
	x.put(1, 1, 5)
	x.putFor(2, 2, 5, 100)
	x.putFor(3, 3, 5, 7)
	x.clear()
	if gone != 3 || len(x.entries) != 0 {
		t.Fatalf("%d of 3 are gone", gone)
	}
	if !x.put(1, 1, 6) || !x.putFor(2, 2, 6, 100) {
		t.Fatal("a cleared table takes nothing")
	}
	if x.expire(16); gone != 4 {
		t.Fatalf("%d expired, want one more", gone-3)
	}
}

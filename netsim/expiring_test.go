package netsim

import (
	"slices"
	"testing"
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

package sn

import (
	"net/netip"
	"testing"
)

func TestTable(t *testing.T) {
	tb := newTable[int, int](640)
	inc := func(v int) int { return v + 1 }
	refused := 0
	for k := range 2000 {
		if !tb.update(k, inc) {
			refused++
		}
	}
	n := tb.len()
	if n != 640 || refused != 2000-640 {
		t.Errorf("%d keys, %d refused", n, refused)
	}
	// A full table still serves the keys that are in it.
	served := 0
	for k := range 2000 {
		before := tb.get(k)
		if tb.update(k, inc) {
			served++
			if tb.get(k) != before+1 || before == 0 {
				t.Fatalf("key %d went from %d to %d", k, before, tb.get(k))
			}
		}
	}
	if served != n {
		t.Errorf("%d keys served of %d", served, n)
	}
	for i := range tableShards {
		tb.sweep(i, func(v int) bool { return v == 2 })
	}
	if !tb.update(5000, inc) || tb.get(5000) != 1 {
		t.Error("no room after a sweep")
	}
}

func TestPairs(t *testing.T) {
	p := newPairs(100)
	a, b := numberedID(1), numberedID(2)
	p.allow(b, a, 1, 5)
	if !p.allowed(a, b, 5) || !p.allowed(b, a, 4+pairLife) {
		t.Error("a pair that called may not signal")
	}
	if p.allowed(a, b, 5+pairLife) || p.allowed(a, numberedID(3), 5) || p.allowed(a, a, 5) {
		t.Error("a pair that did not call may signal")
	}
}

func TestNetworkOf(t *testing.T) {
	for in, want := range map[string]network{
		"198.51.100.77":           1<<63 | 0xc63364,
		"::ffff:198.51.100.7":     1<<63 | 0xc63364,
		"2001:db8:1:2ff:3::4":     0x20010db8000102,
		"2001:db8:1:200:ffff::ff": 0x20010db8000102,
	} {
		if got := networkOf(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s counts as %x, want %x", in, got, want)
		}
	}
}

func TestSameSite(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"198.51.100.7", "198.51.100.7", true},
		{"198.51.100.7", "198.51.100.8", false},
		{"2001:db8::1", "2001:db8::2", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"2001:db8::1", "198.51.100.7", false},
	} {
		if got := sameSite(netip.MustParseAddr(c.a), netip.MustParseAddr(c.b)); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}

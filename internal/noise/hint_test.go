package noise

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// sourceNumber returns the address 198.18.0.0 + n.
func sourceNumber(n int) netip.AddrPort {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 198<<24|18<<16+uint32(n))
	return netip.AddrPortFrom(netip.AddrFrom4(b), 1000)
}

func TestHintLimiter(t *testing.T) {
	h := NewHintLimiter()
	if !h.Allow(start, sourceNumber(1)) || h.Allow(start, sourceNumber(1)) {
		t.Error("not one hint for a source")
	}
	other := netip.AddrPortFrom(sourceNumber(1).Addr(), 2)
	if h.Allow(start.Add(hintInterval-1), other) {
		t.Error("another port is another source")
	}
	if !h.Allow(start.Add(hintInterval), sourceNumber(1)) {
		t.Error("no hint after a second")
	}
	v6 := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	if !h.Allow(start, v6("[2001:db8::1]:1")) || h.Allow(start, v6("[2001:db8::2]:1")) || !h.Allow(start, v6("[2001:db8:0:1::1]:1")) {
		t.Error("an IPv6 source is not a /64")
	}
	h.Allow(start, netip.AddrPort{})
	if h.Allow(start, netip.AddrPort{}) {
		t.Error("two hints to nowhere")
	}
}

func TestHintLimiterTotal(t *testing.T) {
	h := NewHintLimiter()
	allowed := 0
	for n := range 100_000 { // in 10 s
		if h.Allow(start.Add(time.Duration(n)*100*time.Microsecond), sourceNumber(n)) {
			allowed++
		}
	}
	if want := hintRate * 11; allowed > want || allowed < want-1 {
		t.Errorf("%d hints in 10 s, want %d", allowed, want)
	}
	if n := len(h.last.young) + len(h.last.old); n > hintSources {
		t.Errorf("%d sources remembered", n)
	}
}

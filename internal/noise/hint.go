package noise

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How many hints are sent (spec §8).
const (
	hintRate     = 1000 // a second, in all: 8 bytes each; what forged sources use up, true ones lack
	hintInterval = time.Second
	hintSources  = 4096 // remembered, for one hint an interval each
)

// A HintLimiter says when a Sealed packet for an unknown index may be answered by
// a Hint. It is safe for concurrent use.
type HintLimiter struct {
	all *rate.Limiter

	mu   sync.Mutex
	last recent[netip.Addr, time.Time]
}

// NewHintLimiter returns a HintLimiter that has allowed none yet.
func NewHintLimiter() *HintLimiter {
	return &HintLimiter{
		all:  rate.NewLimiter(hintRate, hintRate),
		last: newRecent[netip.Addr, time.Time](hintSources),
	}
}

// Allow reports whether a hint may be sent to from now, and counts it.
func (h *HintLimiter) Allow(now time.Time, from netip.AddrPort) bool {
	source := sourcePrefix(from.Addr())
	h.mu.Lock()
	defer h.mu.Unlock()
	if last, ok := h.last.get(source); ok && now.Sub(last) < hintInterval {
		return false
	}
	if !h.all.AllowN(now, 1) {
		return false
	}
	h.last.put(source, now)
	return true
}

// sourcePrefix returns what one attacker is taken to hold: an IPv4 address, or a
// /64 of IPv6.
func sourcePrefix(a netip.Addr) netip.Addr { return prefixOf(a, 32, 64) }

// networkPrefix returns what one party is taken to hold of the internet: a /24 of
// IPv4, a /56 of IPv6.
func networkPrefix(a netip.Addr) netip.Addr { return prefixOf(a, 24, 56) }

// prefixOf returns the first address of the network of so many bits, by the family.
func prefixOf(a netip.Addr, bits4, bits6 int) netip.Addr {
	a = a.Unmap().WithZone("")
	bits := bits6
	if a.Is4() {
		bits = bits4
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return a // the zero Addr
	}
	return p.Addr()
}

package netsim

import (
	"slices"
	"time"
)

// A policer lets so many bits a second pass and drops the rest, without a queue.
type policer struct {
	full time.Duration // when the rate will have passed what has passed
}

const (
	policerDepth = 100 * time.Millisecond // what may pass at once, of the rate
	policerLeast = 4 << 10                // bytes that always may
)

// pass reports whether size bytes may pass now at rate bits a second.
func (p *policer) pass(now time.Duration, size int, rate int64) bool {
	took := func(bytes int) time.Duration { return time.Duration(float64(bytes) * 8e9 / float64(rate)) }
	full := max(p.full, now) + took(size)
	if full-now > max(policerDepth, took(policerLeast)) {
		return false
	}
	p.full = full
	return true
}

// police says whether a packet may pass the box at all, whatever it translates; if not, its
// fate. up is from below.
func (t *NAT) police(p *packet, up bool) (Fate, bool) {
	c := &t.cfg
	if p.Proto == ICMP {
		return 0, true // it passes with what it is about
	}
	if up && c.AllowPorts != [4]uint16{} && !slices.Contains(c.AllowPorts[:], p.Dst.Port()) {
		return DropFilter, false
	}
	if p.Proto != UDP {
		return 0, true
	}
	way := &t.policers[1]
	if up {
		way = &t.policers[0]
	}
	switch {
	case c.BlockUDP:
		return DropFilter, false
	case c.UDPRate > 0 && !way.pass(t.net.at, p.Size(), c.UDPRate):
		return DropRate, false
	}
	return 0, true
}

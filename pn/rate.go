package pn

import (
	"sync/atomic"
	"time"
)

// A rate is the shape of a token bucket of bytes.
type rate struct {
	perSecond int64 // negative: no limit
	burst     time.Duration
}

// longestRun is the most bytes in one run of packets: that of one IP packet.
const longestRun = 64 << 10

// rateOf returns a rate whose burst is what comes in half a second, but two runs at
// least: a run is taken whole.
func rateOf(perSecond int64) rate {
	r := rate{perSecond: perSecond, burst: time.Second / 2}
	if perSecond > 0 {
		r.burst = max(r.burst, r.cost(2*longestRun))
	}
	return r
}

// cost returns how long it takes to gain n tokens.
func (r rate) cost(n int) time.Duration {
	return time.Duration(int64(n) * int64(time.Second) / r.perSecond)
}

// A bucket is a token bucket in one number: the time, since the server's start, at
// which it will be full again. (That is the virtual scheduling form of the generic cell
// rate algorithm, ITU-T I.371.) The zero bucket is full. It may be used concurrently.
type bucket struct{ full atomic.Int64 }

// take takes n tokens of a rate at time now, and reports whether they were there.
func (b *bucket) take(r rate, n int, now time.Duration) bool {
	if r.perSecond < 0 {
		return true
	}
	cost := r.cost(n)
	for {
		held := b.full.Load()
		full := max(time.Duration(held), now) + cost
		if full-now > r.burst {
			return false
		}
		if b.full.CompareAndSwap(held, int64(full)) {
			return true
		}
	}
}

// give gives n tokens back that were taken.
func (b *bucket) give(r rate, n int) {
	if r.perSecond > 0 {
		b.full.Add(-int64(r.cost(n)))
	}
}

// wait returns how long after now n tokens will be there.
func (b *bucket) wait(r rate, n int, now time.Duration) time.Duration {
	return max(0, max(time.Duration(b.full.Load()), now)+r.cost(n)-r.burst-now)
}

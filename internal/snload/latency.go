package snload

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// A Latency is how long something took.
type Latency struct {
	Min, Mean, P50, P99, Max time.Duration // 0 if nothing happened
}

const (
	// Buckets are 1/16 of a power of two wide: a percentile is off by at most 1/16.
	subBits    = 4
	subBuckets = 1 << subBits
	numBuckets = (64 - subBits) * subBuckets
)

// A histogram counts durations. It may be used concurrently, takes 8 KiB however many
// there are, and must not be copied.
type histogram struct {
	counts [numBuckets]atomic.Uint64
	count  atomic.Uint64
	sum    atomic.Int64
	min    atomic.Int64 // minus 1; so that zero is none
	max    atomic.Int64
}

// add counts a duration of at least 0.
func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(d)].Add(1)
	h.sum.Add(int64(d))
	for {
		old := h.min.Load()
		if old != 0 && old <= int64(d)+1 || h.min.CompareAndSwap(old, int64(d)+1) {
			break
		}
	}
	for {
		old := h.max.Load()
		if old >= int64(d) || h.max.CompareAndSwap(old, int64(d)) {
			break
		}
	}
	h.count.Add(1)
}

// bucketOf returns the bucket of a duration: its highest bit, and the subBits
// after that.
func bucketOf(d time.Duration) int {
	n := uint64(d)
	if n < subBuckets {
		return int(n)
	}
	exp := bits.Len64(n) - 1 - subBits
	return exp*subBuckets + int(n>>exp)
}

// middle returns the duration in the middle of a bucket.
func middle(bucket int) time.Duration {
	if bucket < 2*subBuckets {
		return time.Duration(bucket)
	}
	exp := bucket/subBuckets - 1
	low := uint64(subBuckets+bucket%subBuckets) << exp
	return time.Duration(low + 1<<exp/2)
}

// latency returns what was counted. Nothing may be added meanwhile.
func (h *histogram) latency() Latency {
	n := h.count.Load()
	if n == 0 {
		return Latency{}
	}
	l := Latency{
		Min:  time.Duration(h.min.Load() - 1),
		Mean: time.Duration(h.sum.Load() / int64(n)),
		Max:  time.Duration(h.max.Load()),
	}
	l.P50, l.P99 = h.percentile(n, 50, l), h.percentile(n, 99, l)
	return l
}

// percentile returns the least duration that p per cent of n are not above.
func (h *histogram) percentile(n, p uint64, l Latency) time.Duration {
	rank := max((n*p+99)/100, 1)
	var seen uint64
	for i := range h.counts {
		if seen += h.counts[i].Load(); seen >= rank {
			return min(max(middle(i), l.Min), l.Max)
		}
	}
	return l.Max
}

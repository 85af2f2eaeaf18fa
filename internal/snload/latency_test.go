package snload

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestBuckets(t *testing.T) {
	last := -1
	for _, d := range []time.Duration{0, 1, 15, 16, 17, 31, 32, 33, 34, 1000, time.Second, time.Hour, math.MaxInt64} {
		b := bucketOf(d)
		if b < last || b >= numBuckets {
			t.Errorf("%d is in bucket %d, after %d", d, b, last)
		}
		last = b
		if off := math.Abs(float64(middle(b)-d)) / max(float64(d), 1); off > 1.0/subBuckets {
			t.Errorf("%d is taken for %d", d, middle(b))
		}
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	if h.latency() != (Latency{}) {
		t.Error("nothing took some time")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	var sum time.Duration
	for range 10_000 {
		d := time.Duration(rng.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		sum += d
	}
	var adding sync.WaitGroup
	for part := range slices.Chunk(all, 1000) {
		adding.Go(func() {
			for _, d := range part {
				h.add(d)
			}
		})
	}
	adding.Wait()
	slices.Sort(all)
	l := h.latency()
	if l.Min != all[0] || l.Max != all[len(all)-1] || l.Mean != sum/10_000 {
		t.Errorf("%+v, want min %v, mean %v, max %v", l, all[0], sum/10_000, all[len(all)-1])
	}
	for _, c := range []struct{ got, want time.Duration }{{l.P50, all[4999]}, {l.P99, all[9899]}} {
		if off := math.Abs(float64(c.got-c.want)) / float64(c.want); off > 1.0/subBuckets {
			t.Errorf("%v, want %v", c.got, c.want)
		}
	}
	var one histogram
	one.add(0)
	one.add(-5)
	if l := one.latency(); l != (Latency{}) {
		t.Errorf("%+v", l)
	}
}

package path

import (
	"testing"
	"time"
)

// The values follow from RFC 9002 §5.3 by hand.
func TestRTT(t *testing.T) {
	var r rtt
	steps := []struct{ sample, min, smoothed, variance time.Duration }{
		{80 * ms, 80 * ms, 80 * ms, 40 * ms},
		{160 * ms, 80 * ms, 90 * ms, 50 * ms},    // (3·40+80)/4, (7·80+160)/8
		{10 * ms, 10 * ms, 80 * ms, 57500 * 1e3}, // (3·50+80)/4, (7·90+10)/8
	}
	for _, st := range steps {
		r.add(st.sample)
		if r.latest != st.sample || r.min != st.min || r.smoothed != st.smoothed || r.variance != st.variance {
			t.Errorf("after %v: %+v, want %+v", st.sample, r, st)
		}
	}
}

// Cut to takeover, half a round trip of packets already on their way included, stays
// within max(3 RTT, 1 s) for every RTT and variance.
func TestRTTWaits(t *testing.T) {
	for d := time.Millisecond; d < 3*time.Second; d += ms {
		for _, v := range []time.Duration{0, d / 8, d / 2, 2 * d} {
			r := rtt{smoothed: d, variance: v}
			if got, limit := d/2+r.silence()+r.verdict(), max(3*d, time.Second); got > limit {
				t.Fatalf("RTT %v ± %v: %v > %v", d, v, got, limit)
			}
			if r.silence() < d {
				t.Fatalf("RTT %v ± %v: suspect after %v, before a reply can come", d, v, r.silence())
			}
			if r.repeat()+d > r.verdict() {
				t.Fatalf("RTT %v: the answer to the second probe comes after the verdict", d)
			}
			if r.death() < r.verdict() || r.miss() < d {
				t.Fatalf("RTT %v ± %v: death %v, verdict %v, miss %v", d, v, r.death(), r.verdict(), r.miss())
			}
		}
	}
}

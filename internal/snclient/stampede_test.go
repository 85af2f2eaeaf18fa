package snclient

import (
	"math/rand/v2"
	"testing"
	"time"
)

// 1,000 clients whose SN dies, and is back after a while, do not come back as one: the
// pings at which they miss it are spread over an interval, and their tries over the back-off.
func TestNoStampede(t *testing.T) {
	const clients = 1000
	for _, outage := range []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, 3 * time.Hour} {
		perSecond := map[int]int{}
		last := time.Duration(0)
		for range clients {
			b := newBench(t)
			start := b.now
			// When the SN dies the next ping is due at some time within the interval.
			b.now = b.now.Add(rand.N(defaultInterval) + pingTotal)
			for {
				b.o.fail(b.now, "test")
				b.now = b.o.backoff
				if since := b.now.Sub(start) - outage; since >= 0 {
					perSecond[int(since/time.Second)]++
					last = max(last, since)
					break
				}
				b.now = b.now.Add(describeTotal) // no answer to the handshake either
			}
		}
		most := 0
		for _, n := range perSecond {
			most = max(most, n)
		}
		t.Logf("out for %v: at most %d of %d come back in one second, the last after %v", outage, most, clients, last.Round(time.Second))
		if most > clients/8 {
			t.Errorf("out for %v: %d come back in one second", outage, most)
		}
		if limit := backoffBase*3/2 + describeTotal; last > limit {
			t.Errorf("out for %v: the last is back after %v, limit %v", outage, last, limit)
		}
	}
}

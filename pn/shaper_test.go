package pn

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/underlay"
)

// delays keeps how long packets have waited.
type delays struct {
	noMetrics
	mu   sync.Mutex
	list []time.Duration
}

func (d *delays) QueueDelay(waited time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, waited)
}

// reset returns the list, and forgets it.
func (d *delays) reset() []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.list
	d.list = nil
	return list
}

// percentile returns what so many hundredths do not exceed.
func percentile(list []time.Duration, hundredths int) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[min(len(list)-1, len(list)*hundredths/100)]
}

// A contest is polite pairs and a greedy one that share a bandwidth.
type contest struct {
	share  int // the fair share of each, in bytes a second
	polite int // bytes a second that a polite pair offers
	greedy int // bytes a second that the greedy one offers
	run    int // packets in each of its runs

	gotPolite []int // bytes a second that each has got
	gotGreedy int
	offered   int // by each polite one, in fact
	waited    []time.Duration
}

const contestPacket = 1220

// hold holds a contest of a greedy pair against 99 polite ones for a while: 100 Mbit/s in all.
// settle waits until the shaper has nothing to do now.
func (c *contest) hold(t testing.TB, seconds int, settle func()) {
	const bandwidth, pairs = 12_500_000, 100
	c.share = bandwidth / pairs
	r := newRig(t, Limits{Pair: -1, Payer: -1, Bandwidth: bandwidth, Handshakes: -1})
	d := new(delays)
	r.s.cfg.Metrics = d
	sources := make([]*dev, pairs)
	sinks := make([]*dev, pairs)
	tags := make([]wire.Tag, pairs)
	for i := range pairs {
		sources[i], sinks[i], tags[i] = r.pair(i)
	}
	r.conn.keep = false
	send := func(i, packets int) {
		run := slices.Repeat(relayed(tags[i], contestPacket), packets)
		r.w.handle([]underlay.Datagram{{Data: run, Addr: sources[i].addr, SegmentSize: contestPacket}})
	}
	// Polite ones send a packet at a time, evenly; the greedy one runs.
	const tick = time.Millisecond
	owed := make([]int, pairs)
	for i := range pairs {
		owed[i] = i * contestPacket / pairs // not all at once
	}
	start := time.Now()
	const warmUp = 1000 // ticks, until what waits is as it stays
	for k := range warmUp + seconds*int(time.Second/tick) {
		if k == warmUp {
			r.conn.mu.Lock()
			clear(r.conn.bytes)
			r.conn.mu.Unlock()
			c.offered = 0
			d.reset()
		}
		for i := range pairs {
			rate, packets := c.polite, 1
			if i == 0 {
				rate, packets = c.greedy, c.run
			}
			owed[i] += rate / int(time.Second/tick)
			for owed[i] >= packets*contestPacket {
				owed[i] -= packets * contestPacket
				if i == 1 {
					c.offered += contestPacket
				}
				send(i, packets)
			}
		}
		time.Sleep(time.Until(start.Add(time.Duration(k+1) * tick)))
		settle()
	}
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	for i := range pairs {
		got := r.conn.bytes[sinks[i].addr] / seconds
		if i == 0 {
			c.gotGreedy = got
		} else {
			c.gotPolite = append(c.gotPolite, got)
		}
	}
	c.offered /= seconds
	c.waited = d.reset()
}

// TestFairness: however much one offers, those who keep to their share lose nothing; and what
// they do not use is the greedy one's.
func TestFairness(t *testing.T) {
	cases := []contest{
		{polite: 100_000, greedy: 50_000_000, run: 40},
		{polite: 100_000, greedy: 50_000_000, run: 1},
		{polite: 10_000, greedy: 50_000_000, run: 14},
	}
	seconds := 4
	if testing.Short() {
		cases, seconds = cases[:1], 1
	}
	for _, c := range cases {
		synctest.Test(t, func(t *testing.T) {
			c.hold(t, seconds, synctest.Wait)
			for i, got := range c.gotPolite {
				if got < c.offered*98/100 {
					t.Errorf("run %d: polite pair %d got %d bytes a second of %d", c.run, i, got, c.offered)
				}
			}
			// The rest is the greedy one's.
			rest := 12_500_000 - 99*c.offered
			if c.gotGreedy < rest*95/100 || c.gotGreedy > rest*105/100 {
				t.Errorf("run %d: the greedy pair got %d bytes a second, the rest is %d", c.run, c.gotGreedy, rest)
			}
		})
	}
	if testing.Short() {
		return
	}
	// All of them greedy: each gets its share.
	synctest.Test(t, func(t *testing.T) {
		c := contest{polite: 250_000, greedy: 50_000_000, run: 40}
		c.hold(t, 4, synctest.Wait)
		for i, got := range append(c.gotPolite, c.gotGreedy) {
			if got < c.share*95/100 || got > c.share*105/100 {
				t.Errorf("pair %d got %d bytes a second of a share of %d", i, got, c.share)
			}
		}
	})
}

// BenchmarkFairness prints what a pair that offers 400 Mbit/s gets of 100 Mbit/s beside 99
// that offer 0.8 Mbit/s each, 80 % of their share, and what those lose and wait.
func BenchmarkFairness(b *testing.B) {
	var c contest
	for b.Loop() {
		c = contest{polite: 100_000, greedy: 50_000_000, run: 14}
		c.hold(b, 3, func() {})
	}
	worst := slices.Min(c.gotPolite)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(100*float64(c.gotGreedy)/12_500_000, "%greedy-got")
	b.ReportMetric(100*float64(12_500_000-99*c.offered)/12_500_000, "%left-over")
	b.ReportMetric(100*(1-float64(worst)/float64(c.offered)), "%worst-polite-lost")
	b.ReportMetric(float64(percentile(c.waited, 50).Microseconds()), "µs-wait-p50")
	b.ReportMetric(float64(percentile(c.waited, 99).Microseconds()), "µs-wait-p99")
}

package netsim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

// kilobyte is a link on which a packet of 1,000 bytes takes a millisecond.
var kilobyte = LinkConfig{Rate: 8e6}

// An arrival is when a packet of a numbered burst arrived, in milliseconds.
type arrival struct {
	number int
	at     float64
	ecn    uint8
}

// arrivals returns what arrives at z, of less than a thousand packets, until f has
// returned and all has settled.
func arrivals(p pair, f func()) (got []arrival) {
	n := p.link.net
	start := n.Now()
	var times []float64
	n.Trace(func(e Event) {
		if e.Fate == Delivered && e.Node == "z" {
			times = append(times, float64(e.Time-start)/float64(time.Millisecond))
		}
	})
	f()
	settle()
	n.Trace(nil)
	for i, d := range p.z.drain() {
		var number int
		fmt.Sscanf(string(d.Data), "%d", &number)
		got = append(got, arrival{number, times[i], d.ECN})
	}
	return got
}

// burst sends packets of 1,000 bytes, numbered from first on.
func (p pair) burst(first, count int, ecn uint8) {
	p.a.t.Helper()
	for i := range count {
		p.a.write(underlay.Datagram{Addr: p.z.conn.LocalAddr(), Data: fmt.Appendf(nil, "%-972d", first+i), ECN: ecn})
	}
}

func TestQueueOfPackets(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		cfg := kilobyte
		cfg.QueuePackets = 3
		p := newPair(t, n, cfg)
		got := arrivals(p, func() {
			p.burst(0, 10, 0) // one is sent, three wait
			time.Sleep(2500 * time.Microsecond)
			p.burst(10, 5, 0) // 2 is being sent, 3 waits
		})
		want := []arrival{{0, 1, 0}, {1, 2, 0}, {2, 3, 0}, {3, 4, 0}, {10, 5, 0}, {11, 6, 0}}
		if !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
		if up, _ := p.link.Stats(); up.Packets[DropQueue] != 9 {
			t.Errorf("%d dropped", up.Packets[DropQueue])
		}
	})
}

// TestQueueOfBoth: either limit holds.
func TestQueueOfBoth(t *testing.T) {
	for _, c := range []struct{ bytes, packets, arrive int }{{2500, 0, 2}, {2500, 1, 2}, {3000, 5, 3}, {9000, 2, 3}, {0, 4, 5}} {
		simulate(t, func(t *testing.T, n *Network) {
			cfg := kilobyte
			cfg.Queue, cfg.QueuePackets = c.bytes, c.packets
			p := newPair(t, n, cfg)
			if got := arrivals(p, func() { p.burst(0, 9, 0) }); len(got) != c.arrive {
				t.Errorf("%d bytes, %d packets: %v", c.bytes, c.packets, got)
			}
		})
	}
}

// TestRateChanges changes the rate while packets wait for it.
func TestRateChanges(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, kilobyte)
		set := func(rate int64) {
			t.Helper()
			if err := p.link.Set(LinkConfig{Rate: rate}); err != nil {
				t.Fatal(err)
			}
		}
		got := arrivals(p, func() {
			p.burst(0, 5, 0)
			time.Sleep(1500 * time.Microsecond)
			set(4e6) // 1 is being sent
			time.Sleep(3 * time.Millisecond)
			set(0)
			p.burst(5, 1, 0) // does not overtake
			time.Sleep(10 * time.Millisecond)
			p.burst(6, 1, 0)
		})
		want := []arrival{{0, 1, 0}, {1, 2, 0}, {2, 4, 0}, {3, 6, 0}, {4, 6, 0}, {5, 6, 0}, {6, 14.5, 0}}
		if !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
	})
}

// TestCutQueue cuts a link while packets wait: those whose turn comes then are lost.
func TestCutQueue(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, kilobyte)
		got := arrivals(p, func() {
			p.burst(0, 6, 0)
			time.Sleep(1500 * time.Microsecond)
			p.link.SetDown(true)
			time.Sleep(2 * time.Millisecond)
			p.link.SetDown(false)
		})
		if want := []arrival{{0, 1, 0}, {3, 4, 0}, {4, 5, 0}, {5, 6, 0}}; !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
		if p.link.up.inFlight != 0 || p.link.up.tx.bytes != 0 || p.link.up.tx.packets != 0 {
			t.Errorf("left: %+v", p.link.up)
		}
	})
}

// TestCoDel follows the algorithm with a queue that is filled at once: the k-th packet
// has waited k ms when its turn comes. The wait passes 5 ms at 5 ms, so that dropping
// may start at 105 ms; the next drops follow at 205 ms, and then 100 ms / √count later:
// 275.7, 333.4, 383.4, 428.2 ms. What has its turn next after that is dropped; each drop
// moves those behind up by one.
func TestCoDel(t *testing.T) {
	for _, c := range []struct {
		ecn    uint8
		chosen []int
	}{
		{0, []int{105, 206, 278, 337, 388, 434}},
		{2, []int{105, 205, 276, 334, 384, 429}}, // nothing moves up
		{1, []int{105, 205, 276, 334, 384, 429}},
	} {
		simulate(t, func(t *testing.T, n *Network) {
			cfg := kilobyte
			cfg.CoDel = true
			p := newPair(t, n, cfg)
			got := arrivals(p, func() { p.burst(0, 450, c.ecn) })
			var chosen []int
			next := 0
			for _, a := range got {
				for ; next < a.number; next++ {
					chosen = append(chosen, next) // missing
				}
				if a.ecn == ce {
					chosen = append(chosen, a.number)
				} else if a.ecn != c.ecn {
					t.Fatalf("packet %d has ECN %d", a.number, a.ecn)
				}
				next = a.number + 1
			}
			if !slices.Equal(chosen, c.chosen) {
				t.Errorf("ECN %d: chose %v", c.ecn, chosen)
			}
			up, _ := p.link.Stats()
			fate, other := DropCoDel, Marked
			if c.ecn != 0 {
				fate, other = Marked, DropCoDel
			}
			if up.Packets[fate] != 6 || up.Packets[other] != 0 || up.Packets[DropQueue] != 0 {
				t.Errorf("stats %v", up.Packets)
			}
			if last := got[len(got)-1].at; last != float64(len(got)) {
				t.Errorf("the last came at %v ms: the link was idle meanwhile", last)
			}
		})
	}
}

// TestCoDelResumes: when the queue stands again within 16 intervals, dropping goes on
// at the rate that it had: six drops, the first of which was the start, make a count of
// 5, so that the next follow after 44.7 and 40.8 ms. Much later it starts anew.
func TestCoDelResumes(t *testing.T) {
	for _, c := range []struct {
		pause time.Duration
		want  []int // 105, 149.7, 190.5 ms; or 105, 205 ms
	}{{10 * time.Millisecond, []int{105, 151, 193}}, {2 * time.Second, []int{105, 206}}} {
		simulate(t, func(t *testing.T, n *Network) {
			cfg := kilobyte
			cfg.CoDel = true
			p := newPair(t, n, cfg)
			got := arrivals(p, func() {
				p.burst(0, 450, 0)
				time.Sleep(450*time.Millisecond + c.pause)
				p.burst(1000, 220, 0)
			})
			var dropped []int
			for k := range 220 {
				if !slices.ContainsFunc(got, func(a arrival) bool { return a.number == 1000+k }) {
					dropped = append(dropped, k)
				}
			}
			if !slices.Equal(dropped, c.want) {
				t.Errorf("after %v: dropped %v", c.pause, dropped)
			}
		})
	}
}

// TestCoDelLetsBurstsPass: what is gone within an interval is no standing queue, and a
// full queue still drops.
func TestCoDelLetsBurstsPass(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		cfg := kilobyte
		cfg.CoDel = true
		p := newPair(t, n, cfg)
		if got := arrivals(p, func() { p.burst(0, 100, 0) }); len(got) != 100 {
			t.Errorf("%d of 100 arrived", len(got))
		}
		p.burst(0, 1002, 0)
		if up, _ := p.link.Stats(); up.Packets[DropQueue] != 0 {
			t.Errorf("stats %v", up.Packets)
		}
		time.Sleep(time.Nanosecond) // they have reached the queue: one is sent, 1,000 wait
		if up, _ := p.link.Stats(); up.Packets[DropQueue] != 1 {
			t.Errorf("stats %v", up.Packets)
		}
	})
}

package netsim

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

// pair is two hosts on one link: a below, z above.
type pair struct {
	link *Link
	a, z *peer
}

func newPair(t *testing.T, n *Network, cfg LinkConfig) pair {
	t.Helper()
	a, z := n.Host("a"), n.Host("z")
	l := Must(n.Connect(a, z, cfg, "198.51.100.1/24"))
	if err := z.AddAddr(l, "198.51.100.2/24"); err != nil {
		t.Fatal(err)
	}
	return pair{l, listen(t, a, "198.51.100.1:1"), listen(t, z, "198.51.100.2:2")}
}

func (p pair) up(data string) { p.a.t.Helper(); p.a.send(p.z.conn.LocalAddr(), data) }

func TestDelay(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{Delay: 10 * time.Millisecond})
		arrival := func() time.Duration {
			start := time.Now()
			p.up("x")
			<-p.z.got
			return time.Since(start)
		}
		if d := arrival(); d != 10*time.Millisecond {
			t.Fatalf("took %v", d)
		}
		p.link.SetDelay(40 * time.Millisecond)
		if d := arrival(); d != 40*time.Millisecond {
			t.Fatalf("took %v", d)
		}
		// A shorter delay does not let later packets overtake.
		p.up("first")
		p.link.SetDelay(time.Millisecond)
		p.up("second")
		p.z.want("first")
		p.z.want("second")
		if d := arrival(); d != time.Millisecond {
			t.Fatalf("took %v", d)
		}
	})
}

func TestOrderKept(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{Delay: time.Millisecond, Rate: 1e9, Queue: 1 << 20})
		for i := range 500 {
			p.up(fmt.Sprint(i))
			if i%7 == 0 {
				time.Sleep(time.Microsecond)
			}
		}
		settle()
		for i, d := range p.z.drain() {
			if string(d.Data) != fmt.Sprint(i) {
				t.Fatalf("packet %d is %q", i, d.Data)
			}
		}
	})
}

func TestJitter(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{Delay: 10 * time.Millisecond, Jitter: 20 * time.Millisecond})
		var sum, least, most time.Duration
		least = time.Hour
		const count = 2000
		for range count {
			start := time.Now()
			p.up("x")
			<-p.z.got
			d := time.Since(start)
			sum, least, most = sum+d, min(least, d), max(most, d)
		}
		if least < 10*time.Millisecond || least > 10100*time.Microsecond || most < 29900*time.Microsecond || most >= 30*time.Millisecond {
			t.Fatalf("between %v and %v", least, most)
		}
		// Uniform: mean 20 ms; its deviation is 20 ms / sqrt(12 * 2000) = 0.13 ms.
		if mean := sum / count; mean < 19500*time.Microsecond || mean > 20500*time.Microsecond {
			t.Fatalf("mean %v", mean)
		}

		// Loss prefers neither the early nor the late.
		p.link.SetLoss(0.5)
		var early, late int
		for range 200 {
			p.up("x")
			time.Sleep(20 * time.Millisecond)
			early += len(p.z.drain())
			time.Sleep(20 * time.Millisecond)
			late += len(p.z.drain())
		}
		p.link.SetLoss(0)
		if early < 30 || late < 30 { // 50 expected of each, deviation 6
			t.Fatalf("%d early, %d late", early, late)
		}

		for i := range 100 {
			p.up(fmt.Sprintf("%03d", i))
		}
		settle()
		var order []string
		for _, d := range p.z.drain() {
			order = append(order, string(d.Data))
		}
		if len(order) != 100 || slices.IsSorted(order) {
			t.Fatalf("jitter did not reorder: %v", order)
		}
	})
}

// received sends count packets a millisecond apart over a lossy link and
// returns the indices of those that arrived. Between them other flows send.
func received(t *testing.T, seed uint64, loss float64, count, others int) (got []int) {
	simulate(t, func(t *testing.T, n *Network) {
		n.cfg.Seed = seed
		p := newPair(t, n, LinkConfig{Delay: time.Millisecond, Loss: loss})
		other := listen(t, p.a.conn.(*socket).host, "198.51.100.1:9")
		for i := range count {
			p.up(fmt.Sprint(i))
			for range others {
				other.send(p.z.conn.LocalAddr(), "other")
			}
			time.Sleep(2 * time.Millisecond)
			for _, d := range p.z.drain() {
				if string(d.Data) != "other" {
					var k int
					fmt.Sscan(string(d.Data), &k)
					got = append(got, k)
				}
			}
		}
		up, _ := p.link.Stats()
		if lost := up.Packets[DropLoss]; others == 0 && int(lost) != count-len(got) {
			t.Fatalf("%d counted as lost, %d missing", lost, count-len(got))
		}
	})
	return got
}

func TestLossFollowsSeed(t *testing.T) {
	const count = 400
	alone := received(t, 1, 0.3, count, 0)
	if again := received(t, 1, 0.3, count, 0); !slices.Equal(alone, again) {
		t.Fatal("the same seed gives another fate")
	}
	if beside := received(t, 1, 0.3, count, 2); !slices.Equal(alone, beside) {
		t.Fatal("another flow changes the fate")
	}
	if other := received(t, 2, 0.3, count, 0); slices.Equal(alone, other) {
		t.Fatal("another seed gives the same fate")
	}
}

// TestFlowIsOfTheLink: two hosts with one private address are two flows on the
// link that their NATs share, and do not change each other's fates.
func TestFlowIsOfTheLink(t *testing.T) {
	run := func(both bool) (got []string) {
		simulate(t, func(t *testing.T, n *Network) {
			core, s := n.Router("core"), n.Host("s")
			Must(n.Connect(s, core, LinkConfig{Loss: 0.5}, s1Addr))
			ps := listen(t, s, "0.0.0.0:1")
			var from []*peer
			for _, external := range []string{"198.51.100.1", "198.51.100.2"} {
				nat, h := n.NAT("nat", FullCone), n.Host("h")
				Must(n.Connect(nat, core, LinkConfig{}, external))
				Must(n.Connect(h, nat, LinkConfig{}, "198.18.1.2"))
				from = append(from, listen(t, h, "0.0.0.0:5000"))
			}
			for i := range 100 {
				if both {
					from[1].send(addr(s1Addr+":1"), "other")
				}
				from[0].send(addr(s1Addr+":1"), fmt.Sprint(i))
				settle()
			}
			for _, d := range ps.drain() {
				if string(d.Data) != "other" {
					got = append(got, string(d.Data))
				}
			}
		})
		return got
	}
	if alone, beside := run(false), run(true); len(alone) == 0 || !slices.Equal(alone, beside) {
		t.Fatalf("%v and %v", alone, beside)
	}
}

func TestLossRate(t *testing.T) {
	const count = 4000
	for _, loss := range []float64{0, 0.01, 0.2, 1} {
		got := float64(count - len(received(t, 7, loss, count, 0)))
		deviation := math.Sqrt(count * loss * (1 - loss))
		if math.Abs(got-count*loss) > 4*deviation {
			t.Errorf("loss %v: lost %v of %d", loss, got, count)
		}
	}
}

func TestSetLoss(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{})
		p.link.SetLoss(2)
		p.up("lost")
		p.z.wantNone()
		p.link.SetLoss(-1)
		p.up("safe")
		p.z.want("safe")
	})
}

func TestDown(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{Delay: 10 * time.Millisecond})
		p.up("in flight")
		time.Sleep(5 * time.Millisecond)
		p.link.SetDown(true)
		p.up("sent while down")
		time.Sleep(20 * time.Millisecond)
		p.up("too early")
		time.Sleep(5 * time.Millisecond)
		p.link.SetDown(false)
		p.z.wantNone()
		p.up("mended")
		p.z.want("mended")
		up, down := p.link.Stats()
		if up.Packets[DropDown] != 3 || up.Packets[Sent] != 2 || down != (Stats{}) {
			t.Fatalf("up %v, down %v", up, down)
		}
		if p.link.up.inFlight != 0 {
			t.Fatalf("%d bytes are still in flight", p.link.up.inFlight)
		}
	})
}

func TestMTU(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		core, a, z := n.Router("core"), n.Host("a"), n.Host("z")
		Must(n.Connect(a, core, LinkConfig{}, "198.51.100.1", "2001:db8::1"))
		narrow := Must(n.Connect(z, core, LinkConfig{MTU: 1280}, "198.51.100.2", "2001:db8::2"))
		for _, c := range []struct {
			a, z   string
			header int
		}{{"198.51.100.1:1", "198.51.100.2:1", 28}, {"[2001:db8::1]:1", "[2001:db8::2]:1", 48}} {
			pa, pz := listen(t, a, c.a), listen(t, z, c.z)
			fits := strings.Repeat("x", 1280-c.header)
			pa.send(addr(c.z), fits)
			pz.want(fits)
			pa.send(addr(c.z), fits+"x")
			pz.wantNone()
			// The host's own interface says so.
			d := []underlay.Datagram{{Addr: addr(c.a), Data: make([]byte, 1281-c.header)}}
			if n, err := pz.conn.WriteBatch(d); n != 0 || !errors.Is(err, syscall.EMSGSIZE) {
				t.Fatalf("wrote %d, %v", n, err)
			}
			pa.wantNone()
		}
		up, down := narrow.Stats()
		if up.Packets[DropMTU] != 2 || down.Packets[DropMTU] != 2 || down.Bytes[DropMTU] != 2*1281 {
			t.Fatalf("up %v, down %v", up, down)
		}
	})
}

// TestSetMTU: what is on the link when its MTU falls still arrives, and a host
// in front of it learns nothing unless the link is its own.
func TestSetMTU(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{Delay: 10 * time.Millisecond})
		big := strings.Repeat("x", 1400)
		p.up(big)
		p.link.SetMTU(1280)
		p.z.want(big)
		d := []underlay.Datagram{{Addr: p.z.conn.LocalAddr(), Data: []byte(big)}}
		if _, err := p.a.conn.WriteBatch(d); !errors.Is(err, syscall.EMSGSIZE) {
			t.Fatalf("written on its own link: %v", err)
		}
		p.up("small")
		p.z.want("small")
		p.link.SetMTU(1500)
		p.up(big)
		p.z.want(big)
		for mtu, want := range map[int]int{-1: 68, 0: 68, 1 << 20: 65535} {
			if p.link.SetMTU(mtu); p.link.up.cfg.MTU != want {
				t.Errorf("MTU %d became %d, want %d", mtu, p.link.up.cfg.MTU, want)
			}
		}
	})
}

// TestRate: at 8 Mbit/s a byte takes a microsecond.
func TestRate(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{Delay: 10 * time.Millisecond, Rate: 8e6, Queue: 10000})
		data := strings.Repeat("x", 972) // 1,000 bytes of IP packet
		start := time.Now()
		for range 15 {
			p.up(data)
		}
		for i := range 10 {
			<-p.z.got
			if d := time.Since(start); d != time.Duration(10+i+1)*time.Millisecond {
				t.Fatalf("packet %d took %v", i, d)
			}
		}
		p.z.wantNone()
		up, _ := p.link.Stats()
		if up.Packets[DropQueue] != 5 {
			t.Fatalf("%d dropped for the queue", up.Packets[DropQueue])
		}
		// The queue empties at the rate.
		for range 10 {
			p.up(data)
		}
		time.Sleep(10*time.Millisecond + 3*time.Millisecond) // the first has arrived, 3 have left
		for range 5 {
			p.up(data) // arrive when another 10 have left: room for all
		}
		settle()
		if got := len(p.z.drain()); got != 15 {
			t.Fatalf("%d arrived", got)
		}
	})
}

// TestRateIdle: an idle link sends what its queue could not hold.
func TestRateIdle(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{Rate: 8e6, Queue: 100})
		data := strings.Repeat("x", 972)
		p.up(data)
		p.up(data)
		p.z.want(data)
		p.z.wantNone()
	})
}

// TestSameInstant: what is sent at one instant shares a bottleneck in an order
// that does not depend on who was first.
func TestSameInstant(t *testing.T) {
	order := func(first, second int) (got []string) {
		simulate(t, func(t *testing.T, n *Network) {
			p := newPair(t, n, LinkConfig{Delay: time.Millisecond, Rate: 1e6})
			h := p.a.conn.(*socket).host
			from := []*peer{listen(t, h, "198.51.100.1:10"), listen(t, h, "198.51.100.1:11")}
			for _, i := range []int{first, second} {
				for k := range 3 {
					from[i].send(p.z.conn.LocalAddr(), fmt.Sprintf("%d.%d", i, k))
				}
			}
			settle()
			for _, d := range p.z.drain() {
				got = append(got, string(d.Data))
			}
		})
		return got
	}
	if a, b := order(0, 1), order(1, 0); len(a) != 6 || !slices.Equal(a, b) {
		t.Fatalf("%v and %v", a, b)
	}
}

func TestInFlightIsBounded(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{Delay: time.Second})
		run := []underlay.Datagram{{Addr: p.z.conn.LocalAddr(), Data: make([]byte, 1000*60), SegmentSize: 1000}}
		for range 2*maxInFlight/60000 + 1 {
			if _, err := p.a.conn.WriteBatch(run); err != nil {
				t.Fatal(err)
			}
		}
		up, _ := p.link.Stats()
		if want := uint64(maxInFlight / (1000 + packetOverhead)); up.Packets[Sent] != want || up.Packets[DropQueue] == 0 {
			t.Fatalf("%d sent, want %d", up.Packets[Sent], want)
		}
		p.link.SetDown(true)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if p.link.up.inFlight != 0 || len(n.queue) != 0 {
			t.Fatalf("%d bytes in flight, %d packets scheduled", p.link.up.inFlight, len(n.queue))
		}
	})
}

func TestTamper(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{Delay: 10 * time.Millisecond})
		p.link.SetTamper(func(q Packet, emit func(Packet, time.Duration)) {
			switch string(q.Data) {
			case "drop":
			case "duplicate":
				emit(q, 0)
				emit(q, 0)
			case "delay":
				emit(q, 30*time.Millisecond)
			case "truncate":
				q.Data = q.Data[:5]
				emit(q, 0)
			case "flip":
				emit(q, 0)
				q.Data[0] ^= 0x20 // emit has copied
				emit(q, 0)
			case "forge":
				q.Src = addr("203.0.113.66:666")
				q.ECN = 3
				emit(q, -time.Second) // is now
			case "grow":
				q.Data = make([]byte, 1<<20)
				emit(q, 0)
			default:
				emit(q, 0)
			}
		})
		p.up("plain")
		p.z.want("plain")
		p.up("drop")
		p.z.wantNone()
		p.up("duplicate")
		p.z.want("duplicate")
		p.z.want("duplicate")

		start := time.Now()
		p.up("delay")
		p.up("overtakes")
		if d := <-p.z.got; string(d.Data) != "overtakes" || time.Since(start) != 10*time.Millisecond {
			t.Fatalf("%q after %v", d.Data, time.Since(start))
		}
		if d := <-p.z.got; string(d.Data) != "delay" || time.Since(start) != 40*time.Millisecond {
			t.Fatalf("%q after %v", d.Data, time.Since(start))
		}
		p.up("truncate")
		p.z.want("trunc")
		p.up("flip")
		p.z.want("flip")
		p.z.want("Flip")
		p.up("forge")
		if d := p.z.want("forge"); d.Addr != addr("203.0.113.66:666") || d.ECN != 3 {
			t.Fatalf("%+v", d)
		}
		p.up("grow")
		p.z.wantNone()

		// Both directions pass the same function.
		p.link.SetTamper(func(Packet, func(Packet, time.Duration)) {})
		p.z.send(p.a.conn.LocalAddr(), "down")
		p.a.wantNone()
		if _, down := p.link.Stats(); down.Packets[Tampered] != 1 {
			t.Fatalf("%v", down.Packets)
		}
	})
}

// TestReplay emits a packet long after, under what then holds for the link.
func TestReplay(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{Delay: 10 * time.Millisecond})
		var kept Packet
		var again func(Packet, time.Duration)
		p.link.SetTamper(func(q Packet, emit func(Packet, time.Duration)) { kept, again = q, emit })
		p.up("keep")
		p.z.wantNone()
		p.link.SetTamper(nil)
		again(kept, 0)
		p.z.want("keep")
		p.link.SetLoss(1)
		again(kept, 0)
		p.z.wantNone()
		p.link.SetLoss(0)
		p.link.SetDown(true)
		again(kept, 0)
		p.z.wantNone()
		p.link.SetDown(false)
		n.Close()
		again(kept, 0) // has no effect
	})
}

func TestFlowsAreBounded(t *testing.T) {
	n := New(Config{})
	defer n.Close()
	pi := n.Host("h").lo.up
	first := pi.draw(0)
	for flow := range uint64(maxFlows) {
		pi.draw(flow)
	}
	if len(pi.flows) != maxFlows {
		t.Fatalf("%d flows", len(pi.flows))
	}
	pi.draw(maxFlows) // starts again
	if len(pi.flows) != 1 || pi.draw(0) == first {
		t.Fatalf("%d flows, or the fates repeat", len(pi.flows))
	}
}

func TestLinkConfig(t *testing.T) {
	for _, c := range []LinkConfig{
		{Delay: -1}, {Delay: 25 * time.Hour}, {Jitter: -1}, {Jitter: 25 * time.Hour}, {Loss: -0.1}, {Loss: 1.1}, {Loss: math.NaN()},
		{Rate: -1}, {Rate: maxRate + 1}, {Queue: -1}, {MTU: -1}, {MTU: 67}, {MTU: 65536},
	} {
		if _, err := c.normalize(); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	c, err := LinkConfig{Rate: 8e6}.normalize()
	if want := (LinkConfig{Rate: 8e6, Queue: 100_000, ReorderBy: 10 * time.Millisecond, MTU: 1500}); err != nil || c != want {
		t.Errorf("%+v, %v", c, err)
	}
	if c, _ = (LinkConfig{Rate: 64000}).normalize(); c.Queue != 32<<10 {
		t.Errorf("queue %d", c.Queue)
	}
}

package netsim

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

// BenchmarkHop measures a packet of 1,350 bytes through a chain of routers, in
// real time on links without delay: the cost is all computation.
func BenchmarkHop(b *testing.B) {
	for _, c := range []struct {
		routers int
		nat     bool
		segment int
	}{
		{routers: 1}, {routers: 1, segment: 1350}, {routers: 9, segment: 1350}, {routers: 1, nat: true, segment: 1350},
	} {
		b.Run(fmt.Sprintf("routers=%d/nat=%t/gso=%t", c.routers, c.nat, c.segment > 0), func(b *testing.B) {
			n := New(Config{})
			defer n.Close()
			var low Node = n.Host("a")
			a, hops := low.(*Host), c.routers+1
			addrs := []string{"198.18.0.1/24"}
			if c.nat {
				nat := n.NAT("nat", PortRestricted)
				Must(n.Connect(low, nat, LinkConfig{}, addrs...))
				low, addrs = nat, []string{"198.51.100.1"}
				hops++
			}
			for range c.routers {
				r := n.Router("r")
				Must(n.Connect(low, r, LinkConfig{}, addrs...))
				low, addrs = r, nil
			}
			z := n.Host("z")
			Must(n.Connect(z, low, LinkConfig{}, "203.0.113.1"))
			tx, _ := a.ListenUDP(addr("0.0.0.0:0"))
			rx, _ := z.ListenUDP(addr("0.0.0.0:9"))
			bulk(b, tx, rx, addr("203.0.113.1:9"), c.segment)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*hops), "ns/packet-hop")
		})
	}
}

// bulk sends b.N packets of 1,350 bytes with at most 1,024 of them unread.
func bulk(b *testing.B, tx, rx underlay.UDPConn, to netip.AddrPort, segment int) {
	read := make(chan int, 1024)
	go func() {
		ds := make([]underlay.Datagram, 64)
		bufs := make([]byte, 64*2048)
		for {
			for i := range ds {
				ds[i].Data = bufs[i*2048 : (i+1)*2048]
			}
			k, err := rx.ReadBatch(ds)
			if err != nil {
				close(read)
				return
			}
			read <- k
		}
	}()
	out := []underlay.Datagram{{Addr: to, Data: make([]byte, 1350*32), SegmentSize: segment}}
	b.SetBytes(1350)
	b.ReportAllocs()
	b.ResetTimer()
	for sent, got := 0, 0; got < b.N; {
		for sent < b.N && sent-got < 1024 {
			k := 1
			if segment > 0 {
				k = min(32, b.N-sent)
			}
			out[0].Data = out[0].Data[:1350*k]
			if _, err := tx.WriteBatch(out); err != nil {
				b.Fatal(err)
			}
			sent += k
		}
		got += <-read
	}
	b.StopTimer()
	rx.Close()
	for range read {
	}
}

// BenchmarkSchedule measures a push and a pop with many packets in motion.
func BenchmarkSchedule(b *testing.B) {
	for _, held := range []int{10, 1000, 100000} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			var s schedule
			p := &packet{pipe: &pipe{}}
			for i := range held {
				s.push(due{time.Duration(mix(uint64(i)) >> 2), p})
			}
			b.ResetTimer()
			for i := range b.N {
				s.pop()
				s.push(due{time.Duration(mix(uint64(held+i)) >> 2), p})
			}
		})
	}
}

// BenchmarkPackets measures what a simulated packet costs in all: 1,350 bytes, 1,000
// packets at most in flight, from a host through a NAT and three routers to another host, five links with
// delay, in virtual time. packets/s is of one core if the machine does nothing else:
// a network has one goroutine, and here one more sends and one receives, in turn with it.
func BenchmarkPackets(b *testing.B) {
	for _, c := range []struct {
		name string
		link LinkConfig
	}{
		{"delay", LinkConfig{Delay: time.Millisecond}},
		{"loss", LinkConfig{Delay: time.Millisecond, Loss: 0.001, Burst: &GilbertElliott{P: 0.001, R: 0.5, LossBad: 0.1}, Duplicate: 0.001, Corrupt: 0.001}},
		{"jitter", LinkConfig{Delay: time.Millisecond, Jitter: time.Millisecond}},
		{"rate", LinkConfig{Delay: time.Millisecond, Rate: 10e9, CoDel: true}},
		{"all", LinkConfig{Delay: time.Millisecond, Rate: 10e9, CoDel: true, Jitter: time.Microsecond, Loss: 0.001,
			Burst: &GilbertElliott{P: 0.001, R: 0.5, LossBad: 0.1}, Reorder: 0.001, Duplicate: 0.001, Corrupt: 0.001}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			inBubble(b, func() { // the benchmark's own clock is outside
				n := New(Config{Seed: 1})
				defer n.Close()
				a, nat, z := n.Host("a"), n.NAT("nat", PortRestricted), n.Host("z")
				Must(n.Connect(a, nat, c.link, "198.18.0.1/24"))
				var low Node = nat
				addrs := []string{"198.51.100.1"}
				for range 3 {
					r := n.Router("r")
					Must(n.Connect(low, r, c.link, addrs...))
					low, addrs = r, nil
				}
				Must(n.Connect(z, low, c.link, "203.0.113.1"))
				tx, rx := Must(a.ListenUDP(addr("0.0.0.0:0"))), Must(z.ListenUDP(addr("0.0.0.0:9")))
				stream(b, n, tx, rx, addr("203.0.113.1:9"))
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
		})
	}
}

// inBubble runs f in virtual time, which is there for tests only.
func inBubble(b *testing.B, f func()) {
	test := testing.InternalTest{Name: b.Name(), F: func(t *testing.T) { synctest.Test(t, func(*testing.T) { f() }) }}
	if !testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{test}) {
		b.Fail()
	}
}

// stream sends b.N packets of 1,350 bytes, 32 of them every 100 µs of virtual time, and
// reads what arrives.
func stream(b *testing.B, n *Network, tx, rx underlay.UDPConn, to netip.AddrPort) {
	var read sync.WaitGroup
	read.Go(func() {
		ds := make([]underlay.Datagram, 64)
		for i := range ds {
			ds[i].Data = make([]byte, 2048)
		}
		for {
			for i := range ds {
				ds[i].Data = ds[i].Data[:2048]
			}
			if _, err := rx.ReadBatch(ds); err != nil {
				return
			}
		}
	})
	data := make([]byte, 32*1350)
	for left := b.N; left > 0; left -= 32 {
		d := underlay.Datagram{Addr: to, Data: data[:1350*min(left, 32)], SegmentSize: 1350}
		if _, err := tx.WriteBatch([]underlay.Datagram{d}); err != nil {
			b.Error(err)
		}
		time.Sleep(100 * time.Microsecond)
	}
	time.Sleep(time.Second)
	rx.Close()
	read.Wait()
}

package netsim

import (
	"fmt"
	"net/netip"
	"testing"
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

package netsim

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/bdtnet/bdt/underlay"
)

func TestBind(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		h := n.Host("h")
		Must(n.Connect(h, n.Router("core"), LinkConfig{}, "198.51.100.1", "198.51.100.2"))
		for _, c := range []struct {
			laddr string
			err   error
		}{
			{"198.51.100.1:1", nil},
			{"198.51.100.1:1", syscall.EADDRINUSE},
			{"198.51.100.2:1", nil},
			{"0.0.0.0:1", syscall.EADDRINUSE},
			{"[::]:1", nil}, // IPv6 has its own ports
			{"[::1]:1", syscall.EADDRINUSE},
			{"0.0.0.0:2", nil},
			{"127.0.0.1:2", syscall.EADDRINUSE},
			{"198.51.100.3:3", syscall.EADDRNOTAVAIL},
			{"[::ffff:198.51.100.1]:3", syscall.EINVAL},
			{"[fe80::1%eth0]:3", syscall.EINVAL},
		} {
			if _, err := h.ListenUDP(addr(c.laddr)); !errors.Is(err, c.err) {
				t.Errorf("%s: %v, want %v", c.laddr, err, c.err)
			}
		}
	})
}

func TestDynamicPorts(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		h := n.Host("h")
		seen := map[uint16]bool{}
		var last underlay.UDPConn
		for range numDynamicPorts {
			c := Must(h.ListenUDP(addr("127.0.0.1:0")))
			p := c.LocalAddr().Port()
			if p < firstDynamicPort || p > 60999 || seen[p] {
				t.Fatalf("port %d", p)
			}
			seen[p], last = true, c
		}
		if _, err := h.ListenUDP(addr("0.0.0.0:0")); !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("with all ports taken: %v", err)
		}
		want := last.LocalAddr().Port()
		last.Close()
		if got := Must(h.ListenUDP(addr("0.0.0.0:0"))).LocalAddr().Port(); got != want {
			t.Fatalf("got port %d, free is %d", got, want)
		}
	})
}

func TestWriteErrors(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		h := n.Host("h")
		Must(n.Connect(h, n.Router("core"), LinkConfig{}, "198.51.100.1"))
		c := Must(h.ListenUDP(addr("0.0.0.0:1")))
		lo := Must(h.ListenUDP(addr("127.0.0.1:1000")))
		ok := addr("203.0.113.1:1")
		for _, x := range []struct {
			name string
			conn underlay.UDPConn
			d    underlay.Datagram
			want error
		}{
			{"no address", c, underlay.Datagram{}, syscall.EINVAL},
			{"port 0", c, underlay.Datagram{Addr: addr("203.0.113.1:0")}, syscall.EINVAL},
			{"unspecified", c, underlay.Datagram{Addr: addr("0.0.0.0:1")}, syscall.EINVAL},
			{"other family", c, underlay.Datagram{Addr: addr("[2001:db8::1]:1")}, syscall.EINVAL},
			{"mapped", c, underlay.Datagram{Addr: addr("[::ffff:203.0.113.1]:1")}, syscall.EINVAL},
			{"multicast", c, underlay.Datagram{Addr: addr("224.0.0.1:1")}, syscall.ENETUNREACH},
			{"source of another", c, underlay.Datagram{Addr: ok, Local: netip.MustParseAddr("198.51.100.2")}, syscall.EADDRNOTAVAIL},
			{"source of another to itself", c, underlay.Datagram{Addr: addr("127.0.0.1:1"), Local: netip.MustParseAddr("198.51.100.2")}, syscall.EADDRNOTAVAIL},
			{"source of other family", c, underlay.Datagram{Addr: ok, Local: netip.MustParseAddr("2001:db8::1")}, syscall.EINVAL},
			{"loopback to the world", lo, underlay.Datagram{Addr: ok}, syscall.EINVAL},
			{"negative segments", c, underlay.Datagram{Addr: ok, Data: make([]byte, 10), SegmentSize: -1}, syscall.EINVAL},
			{"too many segments", c, underlay.Datagram{Addr: ok, Data: make([]byte, 65), SegmentSize: 1}, syscall.EINVAL},
			{"too long", c, underlay.Datagram{Addr: ok, Data: make([]byte, 65508)}, syscall.EMSGSIZE},
			{"too long for the link", c, underlay.Datagram{Addr: ok, Data: make([]byte, 1473)}, syscall.EMSGSIZE},
		} {
			// The error names the entry; those before are sent.
			k, err := x.conn.WriteBatch([]underlay.Datagram{{Addr: addr("127.0.0.1:1000")}, x.d})
			if k != 1 || !errors.Is(err, x.want) {
				t.Errorf("%s: %d, %v, want %v", x.name, k, err, x.want)
			}
		}
		if got, err := c.WriteBatch([]underlay.Datagram{{Addr: ok, Data: make([]byte, 64), SegmentSize: 1}}); got != 1 || err != nil {
			t.Errorf("as many segments as may be: %d, %v", got, err)
		}
		alone := Must(n.Host("alone").ListenUDP(addr("0.0.0.0:1")))
		if _, err := alone.WriteBatch([]underlay.Datagram{{Addr: ok}}); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("without a route: %v", err)
		}
	})
}

// TestSegments: a run becomes a packet per segment, with all its marks.
func TestSegments(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{})
		data := []byte(strings.Repeat("a", 100) + strings.Repeat("b", 100) + "c")
		p.a.write(underlay.Datagram{Addr: p.z.conn.LocalAddr(), Data: data, SegmentSize: 100, ECN: 2})
		clear(data) // not retained
		for _, want := range []string{strings.Repeat("a", 100), strings.Repeat("b", 100), "c"} {
			if d := p.z.want(want); d.ECN != 2 || d.Addr != p.a.conn.LocalAddr() || d.SegmentSize != 0 {
				t.Fatalf("%+v", d)
			}
		}
		p.a.write(underlay.Datagram{Addr: p.z.conn.LocalAddr(), Data: []byte("short"), SegmentSize: 1000, ECN: 0xff})
		if d := p.z.want("short"); d.ECN != 3 {
			t.Fatalf("ECN %d", d.ECN)
		}
		p.a.write(underlay.Datagram{Addr: p.z.conn.LocalAddr()})
		p.z.want("") // an empty datagram is one
		p.z.wantNone()
	})
}

func TestReadBatch(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		h := n.Host("h")
		tx, rx := Must(h.ListenUDP(addr("127.0.0.1:1"))), Must(h.ListenUDP(addr("127.0.0.1:2")))
		var out []underlay.Datagram
		for i := range 10 {
			out = append(out, underlay.Datagram{Addr: rx.LocalAddr(), Data: fmt.Appendf(nil, "packet %d", i)})
		}
		if k, err := tx.WriteBatch(out); k != 10 || err != nil {
			t.Fatal(k, err)
		}
		synctest.Wait()
		if k, err := rx.ReadBatch(nil); k != 0 || err != nil {
			t.Fatalf("into nothing: %d, %v", k, err)
		}
		in := make([]underlay.Datagram, 4)
		var got []string
		for range 3 {
			for i := range in {
				in[i] = underlay.Datagram{Data: make([]byte, 8), ECN: 3, HopLimit: 9, SegmentSize: 1}
			}
			k, err := rx.ReadBatch(in)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range in[:k] {
				if d.ECN != 0 || d.HopLimit != 0 || d.SegmentSize != 0 {
					t.Fatalf("stale fields in %+v", d)
				}
				got = append(got, string(d.Data))
			}
		}
		if s := strings.Join(got, ","); s != "packet 0,packet 1,packet 2,packet 3,packet 4,packet 5,packet 6,packet 7,packet 8,packet 9" {
			t.Fatal(s)
		}
		tx.WriteBatch(out[:1])
		in[0].Data = make([]byte, 3)
		if k, err := rx.ReadBatch(in); k != 1 || err != nil || string(in[0].Data) != "pac" {
			t.Fatalf("%d, %v, %q: a short buffer keeps the start", k, err, in[0].Data)
		}
	})
}

func TestReceiveBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{ReceiveBuffer: 10 * (100 + packetOverhead)})
		defer n.Close()
		h := n.Host("h")
		tx, rx := Must(h.ListenUDP(addr("127.0.0.1:1"))), Must(h.ListenUDP(addr("127.0.0.1:2")))
		run := []underlay.Datagram{{Addr: rx.LocalAddr(), Data: make([]byte, 1300), SegmentSize: 100}}
		in := make([]underlay.Datagram, 64)
		for range 2 { // what is read makes room
			if _, err := tx.WriteBatch(run); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if k, err := rx.ReadBatch(in); k != 10 || err != nil {
				t.Fatalf("%d packets queued, %v", k, err)
			}
		}
		if s := h.Stats(); s.Packets[DropBuffer] != 6 || s.Packets[Delivered] != 20 || s.Bytes[DropBuffer] != 6*128 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestSocketClose(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		h := n.Host("h")
		c := Must(h.ListenUDP(addr("127.0.0.1:1")))
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				if _, err := c.ReadBatch(make([]underlay.Datagram, 1)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("read: %v", err)
				}
			})
		}
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		readers.Wait()
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second close: %v", err)
		}
		if _, err := c.WriteBatch([]underlay.Datagram{{Addr: addr("127.0.0.1:1")}}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write: %v", err)
		}
		Must(h.ListenUDP(addr("127.0.0.1:1"))) // the port is free
	})
}

// TestReaders: as many readers as packets each get one.
func TestReaders(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		c := Must(n.Host("h").ListenUDP(addr("127.0.0.1:1")))
		var readers sync.WaitGroup
		for range underlay.MaxSegments {
			readers.Go(func() {
				if k, err := c.ReadBatch(make([]underlay.Datagram, 1)); k != 1 || err != nil {
					t.Errorf("%d, %v", k, err)
				}
			})
		}
		synctest.Wait()
		run := []underlay.Datagram{{Addr: c.LocalAddr(), Data: make([]byte, underlay.MaxSegments), SegmentSize: 1}}
		if _, err := c.WriteBatch(run); err != nil {
			t.Fatal(err)
		}
		readers.Wait()
	})
}

// TestConcurrentUse has everything at once; it is for the race detector.
func TestConcurrentUse(t *testing.T) {
	n := New(Config{})
	x := newBehind(n, NATConfig{Hairpin: true, StealPorts: true})
	n.Trace(func(Event) {})
	s := Must(x.s1.ListenUDP(addr("0.0.0.0:1")))
	var echo, all sync.WaitGroup
	echo.Go(func() {
		in := make([]underlay.Datagram, 8)
		for {
			for i := range in {
				in[i].Data = make([]byte, 2000)
			}
			k, err := s.ReadBatch(in)
			if err != nil {
				return
			}
			for i := range in[:k] {
				in[i].Local = netip.Addr{}
			}
			s.WriteBatch(in[:k])
		}
	})
	want := bytes.Repeat([]byte("x"), 3000)
	for i := range 4 {
		all.Go(func() {
			c := Must([]*Host{x.a, x.b}[i%2].ListenUDP(addr("0.0.0.0:0")))
			defer c.Close()
			in := make([]underlay.Datagram, 8)
			for range 20 {
				c.WriteBatch([]underlay.Datagram{{Addr: addr(s1Addr + ":1"), Data: want, SegmentSize: 1000}})
				for got := 0; got < 3; {
					for i := range in {
						in[i].Data = make([]byte, 2000)
					}
					k, err := c.ReadBatch(in)
					if err != nil {
						t.Error(err)
						return
					}
					for _, d := range in[:k] {
						if !bytes.Equal(d.Data, want[:1000]) {
							t.Errorf("got %q", d.Data)
						}
					}
					got += k
				}
			}
		})
	}
	all.Go(func() {
		for range 100 {
			x.nat.uplink.SetLoss(0)
			x.nat.uplink.Stats()
			x.nat.Stats()
			x.a.Interfaces()
			n.SetName("x", x.a.Addrs()...)
			x.a.AddAddr(n.Host("y").lo, "192.0.2.1") // refused
		}
		s2 := Must(x.s2.ListenUDP(addr("0.0.0.0:0")))
		s2.Close()
	})
	all.Wait()
	n.Close()
	echo.Wait()
}

package netsim

import (
	"bytes"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"testing"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

// each sends count numbered packets a millisecond apart.
func (p pair) each(count int) {
	for i := range count {
		p.burst(i, 1, 0)
		time.Sleep(time.Millisecond)
	}
}

// TestReorder: what is held back arrives later by ReorderBy, all else in its time.
func TestReorder(t *testing.T) {
	for _, c := range []struct {
		by   time.Duration
		want float64
	}{{0, 10}, {3500 * time.Microsecond, 3.5}} {
		simulate(t, func(t *testing.T, n *Network) {
			p := newPair(t, n, LinkConfig{Delay: 20 * time.Millisecond, Reorder: 0.2, ReorderBy: c.by})
			got := arrivals(p, func() { p.each(200) })
			held, overtaken := 0, 0
			for i, a := range got {
				switch a.at - float64(a.number) - 20 {
				case 0:
				case c.want:
					held++
				default:
					t.Fatalf("packet %d arrived at %v ms", a.number, a.at)
				}
				if i > 0 && a.number < got[i-1].number {
					overtaken++
				}
			}
			up, _ := p.link.Stats()
			if len(got) != 200 || held != 43 || overtaken == 0 || up.Packets[Reordered] != 43 {
				t.Errorf("%d arrived, %d late, %d overtaken, %d counted", len(got), held, overtaken, up.Packets[Reordered])
			}
		})
	}
}

// TestDuplicate: a copy arrives right behind its packet.
func TestDuplicate(t *testing.T) {
	for _, c := range []struct {
		cfg  LinkConfig
		want int
	}{{LinkConfig{Duplicate: 1}, 200}, {LinkConfig{Duplicate: 0.3, Jitter: 100 * time.Microsecond}, 60}, {LinkConfig{Duplicate: 0.3, Rate: 8e6, MTU: 1000}, 60}} {
		simulate(t, func(t *testing.T, n *Network) {
			c.cfg.Delay = time.Millisecond
			p := newPair(t, n, c.cfg)
			got := arrivals(p, func() { p.each(200) })
			copies := 0
			for i := 1; i < len(got); i++ {
				switch {
				case got[i] == got[i-1]: // number and time
					copies++
				case got[i].number != got[i-1].number+1:
					t.Fatalf("%d comes after %d", got[i].number, got[i-1].number)
				}
			}
			up, down := p.link.Stats()
			if copies != c.want || len(got) != 200+copies || up.Packets[Duplicated] != uint64(copies) || down.Packets[Sent] != 0 {
				t.Errorf("%d copies in %d, %d counted", copies, len(got), up.Packets[Duplicated])
			}
			if p.link.up.inFlight != 0 {
				t.Errorf("%d bytes are left", p.link.up.inFlight)
			}
		})
	}
}

// TestCorrupt: what the checksum finds is dropped at the host, what it does not find
// has one other bit, at a place that does not depend on the content.
func TestCorrupt(t *testing.T) {
	place := func(undetected float64, content byte) (places []int, found uint64) {
		simulate(t, func(t *testing.T, n *Network) {
			p := newPair(t, n, LinkConfig{Corrupt: 0.5, CorruptUndetected: undetected})
			data := bytes.Repeat([]byte{content}, 100)
			for range 200 {
				p.up(string(data))
				settle()
				for _, d := range p.z.drain() {
					at := -1
					for i, b := range d.Data {
						if x := b ^ content; x != 0 {
							if at >= 0 || bits.OnesCount8(x) != 1 {
								t.Fatalf("more than one bit in %x", d.Data)
							}
							at = 8*i + bits.TrailingZeros8(x)
						}
					}
					if at >= 0 {
						places = append(places, at)
					}
				}
			}
			found = p.z.conn.(*socket).host.Stats().Packets[DropChecksum]
			if up, _ := p.link.Stats(); up.Packets[Corrupted] != found+uint64(len(places)) {
				t.Errorf("%d corrupted, %d dropped, %d passed", up.Packets[Corrupted], found, len(places))
			}
		})
		return places, found
	}
	if places, found := place(0, 0); len(places) != 0 || found != 96 {
		t.Errorf("all detected: %d passed, %d dropped", len(places), found)
	}
	places, found := place(1, 0x55)
	if len(places) != 96 || found != 0 || slices.Max(places) < 700 || slices.Min(places) > 100 {
		t.Errorf("none detected: %d dropped, %v", found, places)
	}
	if other, _ := place(1, 0xff); !slices.Equal(places, other) {
		t.Error("the content matters")
	}
	if places, found := place(0.25, 0); len(places)+int(found) != 96 || len(places) != 24 {
		t.Errorf("some detected: %d passed, %d dropped", len(places), found)
	}
}

// TestCorruptWithoutData: there is no bit of the data to turn over, so the checksum tells.
func TestCorruptWithoutData(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{Corrupt: 1, CorruptUndetected: 1})
		p.up("")
		p.z.wantNone()
		if s := p.z.conn.(*socket).host.Stats(); s.Packets[DropChecksum] != 1 {
			t.Errorf("stats %v", s.Packets)
		}
	})
}

// TestDamageTravels: neither a switch nor a NAT looks at the checksum, and who floods a
// damaged packet floods damaged ones.
func TestDamageTravels(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, FullCone)
		a, s := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.s1, s1Addr+":1")
		l := x.a.ifaces[0].out.link
		if err := l.Set(LinkConfig{Corrupt: 1}); err != nil {
			t.Fatal(err)
		}
		a.write(underlay.Datagram{Addr: s.conn.LocalAddr(), Data: []byte("hi")})
		s.wantNone()
		if got := x.s1.Stats().Packets; got[DropChecksum] != 1 {
			t.Errorf("stats %v", got)
		}
		if err := l.Set(LinkConfig{}); err != nil {
			t.Fatal(err)
		}
		a.send(s.conn.LocalAddr(), "hi")
		s.want("hi")
	})
	simulate(t, func(t *testing.T, n *Network) {
		sw, a := n.Switch("sw"), n.Host("a")
		Must(n.Connect(a, sw, LinkConfig{Corrupt: 1, MTU: 1500}, "198.18.0.1/24"))
		group := addr("224.0.0.251:5353")
		var hosts []*Host
		var members []*peer
		for i := range 2 {
			h := n.Host("h")
			Must(n.Connect(h, sw, LinkConfig{}, fmt.Sprintf("198.18.0.%d/24", 2+i)))
			members = append(members, reading(t, Must(h.ListenMulticast("eth0", group))))
			hosts = append(hosts, h)
		}
		tx := reading(t, Must(a.ListenMulticast("eth0", group)))
		tx.send(group, "all")
		for i, m := range members {
			m.wantNone()
			if s := hosts[i].Stats(); s.Packets[DropChecksum] != 1 {
				t.Errorf("member %d: %v", i, s.Packets)
			}
		}
	})
}

// TestTCPOverErrors transfers data intact over a link with every error that checksums
// find, held against what arrives.
func TestTCPOverErrors(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{Delay: 5 * time.Millisecond, Loss: 0.01, Reorder: 0.02, Duplicate: 0.05, Corrupt: 0.01, Rate: 50e6, CoDel: true,
			Burst: &GilbertElliott{P: 0.002, R: 0.3, LossBad: 0.5}})
		a, z := p.a.conn.(*socket).host, p.z.conn.(*socket).host
		ln := Must(z.Listen("tcp", "198.51.100.2:80"))
		sent := make([]byte, 1<<20)
		for i := range sent {
			sent[i] = byte(mix(uint64(i)))
		}
		got := make(chan []byte)
		go func() {
			conn, err := ln.Accept()
			if err != nil {
				close(got)
				return
			}
			data, _ := io.ReadAll(conn)
			got <- data
		}()
		conn := Must(a.DialContext(t.Context(), "tcp", "198.51.100.2:80"))
		if _, err := conn.Write(sent); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if !bytes.Equal(<-got, sent) {
			t.Error("what arrived is not what was sent")
		}
		up, _ := p.link.Stats()
		for _, f := range []Fate{DropLoss, Reordered, Duplicated, Corrupted} {
			if up.Packets[f] == 0 {
				t.Errorf("no packet was %v", f)
			}
		}
	})
}

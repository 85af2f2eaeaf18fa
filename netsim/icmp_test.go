package netsim

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

// A routed is two hosts with a router between them.
type routed struct {
	a, z   *Host
	core   *Router
	la, lz *Link
}

func newRouted(n *Network, addrA, addrZ string, cfg LinkConfig) routed {
	r := routed{a: n.Host("a"), z: n.Host("z"), core: n.Router("core")}
	r.la = Must(n.Connect(r.a, r.core, LinkConfig{Delay: time.Millisecond}, addrA))
	r.lz = Must(n.Connect(r.z, r.core, cfg, addrZ))
	return r
}

// icmp has every ICMP event written down.
func icmp(n *Network) *[]string {
	var got []string
	n.Trace(func(e Event) {
		if e.Proto == ICMP {
			got = append(got, e.String())
		}
	})
	return &got
}

// dialUDP opens a connected socket.
func dialUDP(t *testing.T, h *Host, to string) net.Conn {
	t.Helper()
	c, err := h.DialContext(context.Background(), "udp", to)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (h *Host) knows(dst string) int {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.net.at = h.net.now()
	return h.pathMTU(netip.Addr{}, netip.MustParseAddr(dst))
}

func TestPacketTooBig(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(routed)
		told bool
	}{
		{"told", func(routed) {}, true},
		{"quiet router", func(r routed) { r.core.SetQuiet(true) }, false},
		{"heard again", func(r routed) { r.core.SetQuiet(true); r.core.SetQuiet(false) }, true},
		{"black hole", func(r routed) {
			if err := r.lz.Set(LinkConfig{MTU: 1400, NoICMP: true}); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) {
				r := newRouted(n, "198.51.100.1", "203.0.113.1", LinkConfig{MTU: 1400})
				c.set(r)
				got := icmp(n)
				z := listen(t, r.z, "0.0.0.0:7")
				conn := dialUDP(t, r.a, "203.0.113.1:7")
				other := listen(t, r.a, "0.0.0.0:9")
				send := func(size int) error {
					_, err := conn.Write(make([]byte, size-28))
					settle()
					return err
				}
				if err := send(1401); err != nil { // it does not know yet
					t.Fatal(err)
				}
				z.wantNone()
				if !c.told {
					if len(*got) > 0 || r.a.knows("203.0.113.1") != 1500 {
						t.Fatalf("told: %v", *got)
					}
					return
				}
				want := "1ms core sent: icmp 192.0.0.8:0 > 198.51.100.1:0 ttl 64, 56 bytes\n" +
					"2ms a delivered: icmp 192.0.0.8:0 > 198.51.100.1:0 ttl 64, 56 bytes"
				if s := strings.Join(*got, "\n"); s != want {
					t.Errorf("got\n%s\nwant\n%s", s, want)
				}
				if mtu := r.a.knows("203.0.113.1"); mtu != 1400 {
					t.Errorf("path MTU is %d", mtu)
				}
				if err := send(1400); !errors.Is(err, syscall.EMSGSIZE) { // once
					t.Errorf("error %v", err)
				}
				if err := send(1400); err != nil {
					t.Error(err)
				}
				z.want(strings.Repeat("\x00", 1372))
				other.wantNone() // it is not connected
				time.Sleep(pmtuLife)
				if mtu := r.a.knows("203.0.113.1"); mtu != 1500 {
					t.Errorf("path MTU is still %d", mtu)
				}
			})
		})
	}
}

// TestPMTU tells a host of path MTUs that it takes and of some that it must not.
func TestPMTU(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		r := newRouted(n, "2001:db8:1::1", "2001:db8:2::1", LinkConfig{})
		if err := r.a.AddAddr(r.la, "198.51.100.1"); err != nil {
			t.Fatal(err)
		}
		tell := func(dst string, mtu int) int {
			n.mu.Lock()
			r.a.learnPMTU(netip.MustParseAddr(dst), mtu)
			n.mu.Unlock()
			return r.a.knows(dst)
		}
		for _, c := range []struct {
			dst       string
			mtu, want int
		}{
			{"2001:db8:2::1", 1400, 1400},
			{"2001:db8:2::1", 1450, 1400}, // never upwards
			{"2001:db8:2::1", 1279, 1400}, // below the least of IPv6
			{"2001:db8:2::1", 1280, 1280},
			{"2001:db8:2::2", 9000, 1500}, // no more than the link's
			{"203.0.113.1", 67, 1500},     // below the least of IPv4
			{"203.0.113.1", 68, 68},
		} {
			if got := tell(c.dst, c.mtu); got != c.want {
				t.Errorf("%s: %d after %d was told, want %d", c.dst, got, c.mtu, c.want)
			}
		}
		for i := range maxPMTUs + 10 {
			tell(netip.AddrFrom4([4]byte{203, 0, byte(113 + i>>8), byte(i)}).String(), 1000)
		}
		if len(r.a.pmtu.entries) != maxPMTUs {
			t.Errorf("%d entries", len(r.a.pmtu.entries))
		}
		if got := r.a.knows("2001:db8:2::1"); got != 1280 {
			t.Errorf("a flood of others changed it to %d", got)
		}
	})
}

// TestTimeExceeded has a router and hosts of either family tell what becomes of a
// packet whose hops are used up, and of what must not be told of.
func TestTimeExceeded(t *testing.T) {
	for _, c := range []struct{ a, z, router string }{
		{"198.51.100.1", "203.0.113.1", "192.0.0.8:0"},
		{"2001:db8:1::1", "2001:db8:2::1", "[2001:db8:ffff:ffff::3]:0"},
	} {
		simulate(t, func(t *testing.T, n *Network) {
			r := newRouted(n, c.a, c.z, LinkConfig{})
			var got []Event
			n.Trace(func(e Event) {
				if e.Proto == ICMP {
					got = append(got, e)
				}
			})
			a, z := listen(t, r.a, netip.AddrPortFrom(netip.MustParseAddr(c.a), 5).String()), netip.MustParseAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.z), 7).String())
			a.write(underlay.Datagram{Addr: z, Data: []byte("x"), HopLimit: 1})
			settle()
			if len(got) != 2 || got[0].Fate != Sent || got[1].Fate != Delivered || got[0].Src.String() != c.router || got[0].Dst.Addr().String() != c.a {
				t.Errorf("got %v", got)
			}
			if f := r.core.Stats().Packets; f[DropTTL] != 1 {
				t.Errorf("stats %v", f)
			}
			// An error about an error would never end.
			got = nil
			n.mu.Lock()
			p := newPacket(Packet{Proto: ICMP, Src: netip.AddrPortFrom(a.conn.LocalAddr().Addr(), 0), Dst: netip.AddrPortFrom(z.Addr(), 0), HopLimit: 1,
				ICMP: &ICMPMessage{Type: PortUnreachable, Quote: Quote{Src: z, Dst: a.conn.LocalAddr()}}})
			n.at = n.now()
			r.la.up.send(p)
			n.kick()
			n.mu.Unlock()
			settle()
			if len(got) != 2 || got[0].Fate != Sent || got[1].Fate != DropTTL {
				t.Errorf("about an error: %v", got)
			}
		})
	}
}

func TestPortUnreachable(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		r := newRouted(n, "198.51.100.1", "203.0.113.1", LinkConfig{Delay: time.Millisecond})
		got := icmp(n)
		conn := dialUDP(t, r.a, "203.0.113.1:7")
		unconnected := listen(t, r.a, "0.0.0.0:9")
		unconnected.send(addr("203.0.113.1:7"), "x")
		start := time.Now()
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		_, err := conn.Read(make([]byte, 9))
		if !errors.Is(err, syscall.ECONNREFUSED) || time.Since(start) != 4*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if want := "read udp 198.51.100.1:"; !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error is called %q", err)
		}
		unconnected.wantNone()
		if _, err := conn.Write([]byte("x")); err != nil { // it was told once
			t.Errorf("write: %v", err)
		}
		settle()
		if _, err := conn.Write([]byte("x")); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("write: %v", err)
		}
		settle()
		*got = nil
		r.z.SetQuiet(true)
		unconnected.send(addr("203.0.113.1:7"), "x")
		settle()
		if len(*got) > 0 {
			t.Errorf("a quiet host said %v", *got)
		}
	})
}

// TestTCPOverSmallMTU transfers data over a path with a narrow link in its middle,
// which a router tells of or does not.
func TestTCPOverSmallMTU(t *testing.T) {
	const size = 1 << 20
	for _, told := range []bool{true, false} {
		simulate(t, func(t *testing.T, n *Network) {
			r := newRouted(n, "198.51.100.1", "203.0.113.1", LinkConfig{})
			deep, far := n.Router("deep"), n.Host("far")
			Must(n.Connect(deep, r.core, LinkConfig{Delay: 5 * time.Millisecond, MTU: 1000, NoICMP: !told}, "192.0.2.0/24"))
			Must(n.Connect(far, deep, LinkConfig{Delay: time.Millisecond}, "192.0.2.1"))
			ln := Must(far.Listen("tcp", "192.0.2.1:80"))
			var got int64
			var took time.Duration
			start := time.Now()
			go func() {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				got, _ = io.Copy(io.Discard, conn)
				took = time.Since(start)
			}()
			conn := Must(r.a.DialContext(t.Context(), "tcp", "192.0.2.1:80"))
			if _, err := conn.Write(make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			conn.Close()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			// A round trip is 14 ms. One is lost to the discovery, none to a timeout of 200 ms;
			// about seven double the window from ten segments to all.
			if told && (got != size || took > 11*14*time.Millisecond) {
				t.Errorf("%d bytes in %v", got, took)
			}
			if !told && took > 0 {
				t.Errorf("%d bytes went through a black hole in %v", got, took)
			}
		})
	}
}

// TestTCPRefusedByICMP ends a connection attempt that is administratively prohibited.
func TestTCPRefusedByICMP(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		r := newRouted(n, "198.51.100.1", "203.0.113.1", LinkConfig{})
		r.la.SetTamper(func(p Packet, emit func(Packet, time.Duration)) {
			if p.Proto != TCP {
				emit(p, 0)
				return
			}
			m := &ICMPMessage{Type: AdminProhibited, Quote: Quote{Proto: TCP, Src: p.Src, Dst: p.Dst, Seq: p.TCP.Seq + 1}}
			n.mu.Lock()
			for range 2 { // the first is not about what was sent
				r.la.down.send(newPacket(Packet{Proto: ICMP, Src: addr("192.0.0.8:0"), Dst: netip.AddrPortFrom(p.Src.Addr(), 0), HopLimit: 9, ICMP: m}))
				m = &ICMPMessage{Type: AdminProhibited, Quote: Quote{Proto: TCP, Src: p.Src, Dst: p.Dst, Seq: p.TCP.Seq}}
			}
			n.mu.Unlock()
		})
		if _, err := r.a.DialContext(t.Context(), "tcp", "203.0.113.1:80"); !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("error %v", err)
		}
		if up, _ := r.la.Stats(); up.Packets[Sent] != 1 || r.a.Stats().Packets[Delivered] != 2 {
			t.Errorf("sent %v, heard %v", up, r.a.Stats())
		}
	})
}

// TestErrorsOfANAT: the box tells of its own links, to either side, with the addresses
// that each side knows, and of hops that are used up.
func TestErrorsOfANAT(t *testing.T) {
	type link struct{ wan, lan LinkConfig }
	narrow := LinkConfig{MTU: 1000}
	for name, links := range map[string]link{"outwards": {wan: narrow}, "inwards": {lan: narrow}} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) {
				core, nat, a, z := n.Router("core"), n.NAT("nat", Symmetric), n.Host("a"), n.Host("z")
				// The ends of the narrow link know it: only what the other side sends is too big.
				inner := n.Router("inner")
				Must(n.Connect(z, core, LinkConfig{}, "203.0.113.1"))
				Must(n.Connect(nat, core, links.wan, "198.51.100.7"))
				Must(n.Connect(inner, nat, links.lan, "198.18.0.0/24"))
				Must(n.Connect(a, inner, LinkConfig{}, "198.18.0.2/24"))
				pa, pz := listen(t, a, "0.0.0.0:5000"), listen(t, z, "0.0.0.0:7")
				pa.send(addr("203.0.113.1:7"), "open")
				outer := pz.want("open").Addr
				got := icmp(n)
				big := strings.Repeat("x", 1100)
				if name == "outwards" {
					pa.send(addr("203.0.113.1:7"), big)
					pz.wantNone()
					if mtu := a.knows("203.0.113.1"); mtu != 1000 {
						t.Errorf("path MTU is %d: %v", mtu, *got)
					}
				} else {
					pz.send(outer, big)
					pa.wantNone()
					if mtu := z.knows("198.51.100.7"); mtu != 1000 {
						t.Errorf("path MTU is %d: %v", mtu, *got)
					}
					if s := strings.Join(*got, "\n"); strings.Contains(s, "198.18.") {
						t.Errorf("what is behind the NAT shows: %s", s)
					}
				}
				// Two hops to the NAT from either side: it is the one to tell.
				for _, c := range []struct {
					from *peer
					to   netip.AddrPort
					h    *Host
				}{{pa, addr("203.0.113.1:7"), a}, {pz, outer, z}} {
					*got = nil
					c.from.write(underlay.Datagram{Addr: c.to, Data: []byte("x"), HopLimit: 2})
					settle()
					if s := strings.Join(*got, "\n"); !strings.Contains(s, "nat sent: icmp") || !strings.Contains(s, c.h.Name()+" delivered: icmp") {
						t.Errorf("of the hops: %q", s)
					}
				}
				if down := nat.Stats().Packets[DropTTL]; down != 2 {
					t.Errorf("%d without hops", down)
				}
			})
		})
	}
}

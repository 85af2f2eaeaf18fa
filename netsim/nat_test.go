package netsim

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

// behind is a NAT with two hosts behind it and two servers outside.
type behind struct {
	nat    *NAT
	a, b   *Host
	s1, s2 *Host
}

const (
	natAddr = "198.51.100.7"
	s1Addr  = "203.0.113.1"
	s2Addr  = "203.0.113.2"
)

func newBehind(n *Network, cfg NATConfig) behind {
	core := n.Router("core")
	x := behind{nat: n.NAT("nat", cfg), a: n.Host("a"), b: n.Host("b"), s1: n.Host("s1"), s2: n.Host("s2")}
	link := LinkConfig{Delay: 5 * time.Millisecond}
	Must(n.Connect(x.nat, core, link, natAddr))
	Must(n.Connect(x.a, x.nat, link, "198.18.1.2/24"))
	Must(n.Connect(x.b, x.nat, link, "198.18.1.3/24"))
	Must(n.Connect(x.s1, core, link, s1Addr))
	Must(n.Connect(x.s2, core, link, s2Addr))
	return x
}

var behaviors = []Behavior{EndpointIndependent, AddressDependent, AddressAndPortDependent}

// TestBehaviors is RFC 4787 §4.1 and §5, packet by packet, for every pair.
func TestBehaviors(t *testing.T) {
	for _, mapping := range behaviors {
		for _, filtering := range behaviors {
			t.Run(fmt.Sprintf("mapping=%d/filtering=%d", mapping, filtering), func(t *testing.T) {
				simulate(t, func(t *testing.T, n *Network) {
					testBehavior(t, newBehind(n, NATConfig{Mapping: mapping, Filtering: filtering}), mapping, filtering)
				})
			})
		}
	}
}

func testBehavior(t *testing.T, x behind, mapping, filtering Behavior) {
	a := listen(t, x.a, "198.18.1.2:5000")
	first := listen(t, x.s1, s1Addr+":1")
	samePort := listen(t, x.s2, s2Addr+":1")
	sameAddr := listen(t, x.s1, s1Addr+":2")

	a.send(first.conn.LocalAddr(), "hello")
	outer := first.want("hello").Addr
	if outer != addr(natAddr+":5000") {
		t.Fatalf("mapped to %v: the port is not preserved", outer)
	}

	// Filtering, while the mapping has sent to the first alone.
	for _, c := range []struct {
		from *peer
		in   bool
	}{
		{first, true},
		{sameAddr, filtering != AddressAndPortDependent},
		{samePort, filtering == EndpointIndependent},
	} {
		c.from.send(outer, "reply")
		if !c.in {
			a.wantNone()
			continue
		}
		if d := a.want("reply"); d.Addr != c.from.conn.LocalAddr() || d.Local != netip.MustParseAddr("198.18.1.2") {
			t.Fatalf("reply came from %v to %v", d.Addr, d.Local)
		}
	}
	if got := x.nat.Stats().Packets[DropFilter]; got != uint64(filtering) {
		t.Fatalf("%d packets filtered, want %d", got, filtering)
	}

	// Mapping, towards another port and another address.
	a.send(sameAddr.conn.LocalAddr(), "port")
	if got := sameAddr.want("port").Addr; (got == outer) != (mapping != AddressAndPortDependent) {
		t.Fatalf("towards another port mapped to %v after %v", got, outer)
	}
	a.send(samePort.conn.LocalAddr(), "address")
	other := samePort.want("address").Addr
	if (other == outer) != (mapping == EndpointIndependent) {
		t.Fatalf("towards another address mapped to %v after %v", other, outer)
	}
	if other.Addr() != outer.Addr() {
		t.Fatalf("mapped to address %v", other)
	}

	// What is asked for comes in, and the first mapping is as it was.
	samePort.send(other, "asked")
	a.want("asked")
	a.send(first.conn.LocalAddr(), "again")
	if got := first.want("again").Addr; got != outer {
		t.Fatalf("mapped to %v after %v", got, outer)
	}
}

func TestPortTaken(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, PortRestricted)
		s := listen(t, x.s1, s1Addr+":1")
		a, b := listen(t, x.a, "0.0.0.0:65535"), listen(t, x.b, "0.0.0.0:65535")
		a.send(s.conn.LocalAddr(), "a")
		if got := s.want("a").Addr.Port(); got != 65535 {
			t.Fatalf("first got port %d", got)
		}
		b.send(s.conn.LocalAddr(), "b")
		d := s.want("b")
		if d.Addr.Port() != 1024 {
			t.Fatalf("second got port %d, want the next, which is 1024", d.Addr.Port())
		}
		s.send(d.Addr, "to b")
		b.want("to b")
		a.wantNone()
	})
}

func TestRandomPort(t *testing.T) {
	ports := func(seed uint64) (ports []uint16) {
		simulate(t, func(t *testing.T, n *Network) {
			n.cfg.Seed = seed
			x := newBehind(n, Symmetric)
			a := listen(t, x.a, "0.0.0.0:5000")
			for i := range 20 {
				s := listen(t, x.s1, fmt.Sprintf("%s:%d", s1Addr, i+1))
				a.send(s.conn.LocalAddr(), "x")
				ports = append(ports, s.want("x").Addr.Port())
			}
		})
		return ports
	}
	one, again, two := ports(1), ports(1), ports(2)
	seen := map[uint16]bool{}
	for i, p := range one {
		if p < 1024 || seen[p] || i > 0 && p == one[i-1]+1 {
			t.Fatalf("ports %v are not random", one)
		}
		seen[p] = true
	}
	if fmt.Sprint(one) != fmt.Sprint(again) || fmt.Sprint(one) == fmt.Sprint(two) {
		t.Fatalf("ports do not follow the seed: %v, %v, %v", one, again, two)
	}
}

// A random port is not by chance the one that a NAT of the other kind would have
// chosen.
func TestRandomPortIsNotTheInternalOne(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, Symmetric)
		a, s := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.s1, s1Addr+":1")
		nat := x.a.ifaces[0].out.to.(*NAT)
		n.mu.Lock()
		n.at = 5 * time.Millisecond // when the packet gets there
		for nat.draw(UDP, addr("198.18.1.2:5000"), s.conn.LocalAddr()) != 5000 {
			n.cfg.Seed++ // one in 64,512 does it
		}
		n.at = 0
		n.mu.Unlock()
		a.send(s.conn.LocalAddr(), "x")
		if port := s.want("x").Addr.Port(); port != 5001 {
			t.Errorf("port %d for port 5000, want the next", port)
		}
	})
}

func TestMappingTimeout(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, PortRestricted)
		s := listen(t, x.s1, s1Addr+":1")
		a := listen(t, x.a, "0.0.0.0:5000")
		outer := addr(natAddr + ":5000")
		// A packet of s takes 10 ms to the NAT, one of a 5 ms.
		const behind = 5 * time.Millisecond

		a.send(s.conn.LocalAddr(), "open")
		time.Sleep(60 * time.Second)
		s.send(outer, "inbound does not refresh")
		a.want("inbound does not refresh")
		time.Sleep(59*time.Second - behind - 1)
		s.send(outer, "last")
		time.Sleep(time.Nanosecond)
		s.send(outer, "too late by 1 ns")
		a.want("last")
		a.wantNone()

		for range 3 { // outbound refreshes
			a.send(s.conn.LocalAddr(), "keepalive")
			time.Sleep(100 * time.Second)
		}
		s.send(outer, "alive")
		a.want("alive")
	})
}

// TestPinholeTimeout: a remote that is no longer sent to is shut out, though
// the mapping lives on by what is sent to another.
func TestPinholeTimeout(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, NATConfig{Filtering: AddressDependent, Timeout: 10 * time.Second})
		s1, s2 := listen(t, x.s1, s1Addr+":1"), listen(t, x.s2, s2Addr+":1")
		a := listen(t, x.a, "0.0.0.0:5000")
		a.send(s1.conn.LocalAddr(), "x")
		for range 3 {
			a.send(s2.conn.LocalAddr(), "x")
			time.Sleep(5 * time.Second)
		}
		s1.send(addr(natAddr+":5000"), "forgotten")
		a.wantNone()
		s2.send(addr(natAddr+":5000"), "fresh")
		a.want("fresh")
	})
}

func TestHairpin(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  NATConfig
		in   bool
	}{
		{"off", FullCone, false},
		{"full cone", NATConfig{Hairpin: true}, true},
		{"filtered", NATConfig{Hairpin: true, Filtering: AddressDependent, StealPorts: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) {
				x := newBehind(n, c.cfg)
				s := listen(t, x.s1, s1Addr+":1")
				a, b := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.b, "0.0.0.0:6000")
				a.send(s.conn.LocalAddr(), "map a")
				outer := s.want("map a").Addr
				b.write(underlay.Datagram{Addr: outer, Data: []byte("dies"), HopLimit: 1})
				a.wantNone()
				if got := len(x.nat.mappings.entries); got != 1 {
					t.Fatalf("%d mappings: one of a packet that did not pass", got)
				}
				b.send(outer, "hairpin")
				if !c.in {
					a.wantNone()
					// A punch from the other side opens the filter, if it turns around.
					a.send(addr(natAddr+":6000"), "punch")
					b.send(outer, "hairpin")
					if !c.cfg.Hairpin {
						a.wantNone()
						return
					}
				}
				if d := a.want("hairpin"); d.Addr != addr(natAddr+":6000") {
					t.Fatalf("hairpinned from %v, want the external endpoint (REQ-9a)", d.Addr)
				}
			})
		})
	}
}

// TestHairpinInner is what some routers do against REQ-9a: the receiver sees an endpoint of its
// own network, to which it answers straight, from where the sender does not expect it.
func TestHairpinInner(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, NATConfig{Hairpin: true, HairpinInner: true, Filtering: AddressAndPortDependent})
		a, b := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.b, "0.0.0.0:6000")
		a.send(addr(natAddr+":6000"), "punch")
		b.wantNone()
		b.send(addr(natAddr+":5000"), "around") // the filter knows b by its external endpoint
		d := a.want("around")
		if d.Addr != addr("198.18.1.3:6000") {
			t.Fatalf("from %v, want the internal endpoint", d.Addr)
		}
		a.send(d.Addr, "answer")
		if got := b.want("answer").Addr; got != addr("198.18.1.2:5000") {
			t.Fatalf("answered by %v", got)
		}
	})
}

// What the outer of two NATs turns around it may let in to the inner one, each of which filters
// by the endpoints that it sees: two homes behind a carrier's NAT reach each other by its address.
func TestHairpinOfACarrier(t *testing.T) {
	for _, hairpin := range []bool{true, false} {
		simulate(t, func(t *testing.T, n *Network) {
			core, s := n.Router("core"), n.Host("s")
			carrier := n.NAT("carrier", NATConfig{Filtering: AddressDependent, Ports: RandomPort, Hairpin: hairpin})
			Must(n.Connect(s, core, LinkConfig{}, s1Addr))
			Must(n.Connect(carrier, core, LinkConfig{}, natAddr))
			server := listen(t, s, "0.0.0.0:1")
			var peers [2]*peer
			var seen [2]netip.AddrPort
			for i := range peers {
				home, host := n.NAT(fmt.Sprint("home", i), PortRestricted), n.Host(fmt.Sprint("host", i))
				Must(n.Connect(home, carrier, LinkConfig{}, fmt.Sprintf("198.19.1.%d", 2+i)))
				Must(n.Connect(host, home, LinkConfig{}, "198.18.1.2/24")) // both have the same
				peers[i] = listen(t, host, "0.0.0.0:5000")
				peers[i].send(addr(s1Addr+":1"), "seen")
				seen[i] = server.want("seen").Addr
			}
			if seen[0].Addr() != seen[1].Addr() || seen[0] == seen[1] {
				t.Fatalf("seen at %v", seen)
			}
			peers[0].send(seen[1], "punch") // passes the carrier's filter or not, but not the home's
			peers[1].wantNone()
			peers[1].send(seen[0], "hello")
			if !hairpin {
				peers[0].wantNone()
				return
			}
			if got := peers[0].want("hello").Addr; got != seen[1] {
				t.Fatalf("from %v, want %v", got, seen[1])
			}
			peers[0].send(seen[1], "answer")
			if got := peers[1].want("answer").Addr; got != seen[0] {
				t.Fatalf("answered by %v, want %v", got, seen[0])
			}
		})
	}
}

func TestSameLANIsNotTranslated(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, Symmetric)
		a, b := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.b, "0.0.0.0:6000")
		a.send(addr("198.18.1.3:6000"), "local")
		if d := b.want("local"); d.Addr != addr("198.18.1.2:5000") {
			t.Fatalf("from %v", d.Addr)
		}
	})
}

// TestStealPorts replays what Linux does to a punch that comes too early: see
// NATConfig.StealPorts.
func TestStealPorts(t *testing.T) {
	for _, steal := range []bool{false, true} {
		t.Run(fmt.Sprint(steal), func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) {
				cfg := PortRestricted
				cfg.StealPorts = steal
				x := newBehind(n, cfg)
				s1, s2 := listen(t, x.s1, s1Addr+":1"), listen(t, x.s2, s2Addr+":1")
				a := listen(t, x.a, "0.0.0.0:5000")
				preserved := addr(natAddr + ":5000")

				s1.send(preserved, "early")
				a.wantNone()
				a.send(s2.conn.LocalAddr(), "to another")
				if got := s2.want("to another").Addr; got != preserved {
					t.Fatalf("towards another remote: %v", got)
				}
				for range 2 { // the session keeps its port
					a.send(s1.conn.LocalAddr(), "punch")
					got := s1.want("punch").Addr
					if steal != (got != preserved) {
						t.Fatalf("punch came from %v", got)
					}
					s1.send(got, "answer")
					a.want("answer")
				}
				s1.send(preserved, "to the stolen port")
				if steal {
					a.wantNone()
				} else {
					a.want("to the stolen port")
				}
				// All expire; the stolen port is the first to be free again.
				time.Sleep(200 * time.Second)
				a.send(s1.conn.LocalAddr(), "punch first")
				if got := s1.want("punch first").Addr; got != preserved {
					t.Fatalf("after the timeout: %v", got)
				}
			})
		})
	}
}

// TestStolenFromMapping: a tuple can also be stolen after the mapping exists,
// and is free 30 s after the thief's last packet.
func TestStolenFromMapping(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		cfg := PortRestricted
		cfg.StealPorts = true
		x := newBehind(n, cfg)
		s1, s2 := listen(t, x.s1, s1Addr+":1"), listen(t, x.s2, s2Addr+":1")
		a := listen(t, x.a, "0.0.0.0:5000")
		preserved := addr(natAddr + ":5000")
		a.send(s1.conn.LocalAddr(), "map")
		s1.want("map")
		s2.send(preserved, "steal")
		time.Sleep(20 * time.Second)
		s2.send(preserved, "steal again")
		time.Sleep(20 * time.Second)
		a.send(s2.conn.LocalAddr(), "x")
		if got := s2.want("x").Addr; got == preserved {
			t.Fatal("the stolen tuple was used")
		}
		s2.send(addr(natAddr+":7000"), "steal")
		time.Sleep(31 * time.Second)
		b := listen(t, x.b, "0.0.0.0:7000")
		b.send(s2.conn.LocalAddr(), "y")
		if got := s2.want("y").Addr; got != addr(natAddr+":7000") {
			t.Fatalf("31 s after the theft mapped to %v", got)
		}
	})
}

func TestMaxMappings(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		cfg := Symmetric
		cfg.MaxMappings = 2
		x := newBehind(n, cfg)
		s := [3]*peer{}
		for i := range s {
			s[i] = listen(t, x.s1, fmt.Sprintf("%s:%d", s1Addr, i+1))
		}
		a := listen(t, x.a, "0.0.0.0:5000")
		a.send(s[0].conn.LocalAddr(), "x")
		s[0].want("x")
		a.send(s[1].conn.LocalAddr(), "x")
		s[1].want("x")
		a.send(s[2].conn.LocalAddr(), "x")
		s[2].wantNone()
		if got := x.nat.Stats().Packets[DropFull]; got != 1 {
			t.Fatalf("%d packets dropped for want of a mapping", got)
		}
		time.Sleep(defaultTimeout)
		a.send(s[2].conn.LocalAddr(), "room")
		s[2].want("room")
	})
}

func TestPortsExhausted(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, Symmetric)
		s := listen(t, x.s1, s1Addr+":1")
		a := listen(t, x.a, "0.0.0.0:5000")
		external := netip.MustParseAddr(natAddr)
		n.mu.Lock()
		for port := range numNATPorts - 1 { // all but 65535
			x.nat.byOuter[endpoint{UDP, netip.AddrPortFrom(external, uint16(firstNATPort+port))}] = &mapping{}
		}
		n.mu.Unlock()
		a.send(s.conn.LocalAddr(), "last")
		if got := s.want("last").Addr.Port(); got != 65535 {
			t.Fatalf("got port %d", got)
		}
		a.send(addr(s2Addr+":1"), "none left")
		settle()
		if got := x.nat.Stats().Packets[DropFull]; got != 1 {
			t.Fatalf("%d packets dropped for want of a port", got)
		}
	})
}

// TestDoubleNAT stacks two NATs; each hides what is below it, in whatever order
// they are connected.
func TestDoubleNAT(t *testing.T) {
	for _, topDown := range []bool{true, false} {
		simulate(t, func(t *testing.T, n *Network) {
			core, cgn, home := n.Router("core"), n.NAT("cgn", Symmetric), n.NAT("home", PortRestricted)
			a, s := n.Host("a"), n.Host("s")
			steps := []func(){
				func() { Must(n.Connect(s, core, LinkConfig{}, s1Addr)) },
				func() { Must(n.Connect(cgn, core, LinkConfig{}, natAddr)) },
				func() { Must(n.Connect(home, cgn, LinkConfig{}, "198.18.64.2")) },
				func() { Must(n.Connect(a, home, LinkConfig{}, "198.18.1.2/24")) },
			}
			if !topDown {
				slices.Reverse(steps)
			}
			for _, step := range steps {
				step()
			}
			pa, ps := listen(t, a, "0.0.0.0:5000"), listen(t, s, "0.0.0.0:1")
			pa.send(addr(s1Addr+":1"), "up")
			d := ps.want("up")
			if d.Addr.Addr() != netip.MustParseAddr(natAddr) {
				t.Fatalf("from %v", d.Addr)
			}
			ps.send(d.Addr, "down")
			pa.want("down")
			for _, inner := range []string{"198.18.64.2:5000", "198.18.1.2:5000"} {
				ps.send(addr(inner), "straight in")
			}
			pa.wantNone()
			if got := core.Stats().Packets[DropNoRoute]; got != 2 {
				t.Fatalf("core had no route for %d packets, want 2", got)
			}
		})
	}
}

// TestFirewall: the same filtering, no translation: of IPv6 by any NAT, of
// IPv4 by a firewall.
func TestFirewall(t *testing.T) {
	for _, c := range []struct {
		name, below, a, s string
		cfg               NATConfig
	}{
		{"IPv6", "2001:db8:1::/64", "2001:db8:1::2", "2001:db8:2::1", PortRestricted},
		{"IPv6 symmetric", "2001:db8:1::/64", "2001:db8:1::2", "2001:db8:2::1", Symmetric},
		{"IPv4", "198.51.100.0/24", "198.51.100.2", s1Addr, Firewall},
	} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) {
				core, fw, a, s := n.Router("core"), n.NAT("fw", c.cfg), n.Host("a"), n.Host("s")
				Must(n.Connect(fw, core, LinkConfig{}, c.below))
				Must(n.Connect(a, fw, LinkConfig{}, c.a))
				Must(n.Connect(s, core, LinkConfig{}, c.s))
				local := func(s string, port uint16) string {
					return netip.AddrPortFrom(netip.MustParseAddr(s), port).String()
				}
				pa, ps, other := listen(t, a, local(c.a, 5000)), listen(t, s, local(c.s, 1)), listen(t, s, local(c.s, 2))
				ps.send(pa.conn.LocalAddr(), "unsolicited")
				pa.wantNone()
				pa.send(ps.conn.LocalAddr(), "out")
				if d := ps.want("out"); d.Addr != pa.conn.LocalAddr() {
					t.Fatalf("translated to %v", d.Addr)
				}
				other.send(pa.conn.LocalAddr(), "another")
				ps.send(pa.conn.LocalAddr(), "reply")
				pa.want("reply")
				pa.wantNone()
				time.Sleep(defaultTimeout / 2)
				pa.send(other.conn.LocalAddr(), "out")
				other.want("out")
				time.Sleep(defaultTimeout / 2) // the first has expired, this one not
				other.send(pa.conn.LocalAddr(), "now in")
				pa.want("now in")
				time.Sleep(defaultTimeout)
				ps.send(pa.conn.LocalAddr(), "expired")
				pa.wantNone()
			})
		})
	}
}

// TestLowTTLPunch: an opener that dies between the NATs opens its own and
// leaves the other untouched.
func TestLowTTLPunch(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, NATConfig{Filtering: AddressAndPortDependent, StealPorts: true})
		peerNAT, c := n.NAT("other", NATConfig{Filtering: AddressAndPortDependent, StealPorts: true}), n.Host("c")
		Must(n.Connect(peerNAT, x.nat.uplink.up.to, LinkConfig{}, "198.51.100.8"))
		Must(n.Connect(c, peerNAT, LinkConfig{}, "198.18.2.2"))
		a, pc := listen(t, x.a, "0.0.0.0:5000"), listen(t, c, "0.0.0.0:6000")

		a.write(underlay.Datagram{Addr: addr("198.51.100.8:6000"), Data: []byte("nat"), HopLimit: 1})
		settle()
		if s := x.nat.Stats().Packets; s[DropTTL] != 1 || s[Translated] != 0 || len(x.nat.mappings.entries) != 0 {
			t.Fatalf("hop limit 1 passed the NAT: %v", s)
		}
		a.write(underlay.Datagram{Addr: addr("198.51.100.8:6000"), Data: []byte("core"), HopLimit: 2})
		settle()
		if got := x.nat.uplink.up.to.Stats().Packets[DropTTL]; got != 1 {
			t.Fatalf("core dropped %d packets for their hop limit, want 1", got)
		}
		pc.send(addr(natAddr+":5000"), "punch")
		if d := a.want("punch"); d.Addr != addr("198.51.100.8:6000") {
			t.Fatalf("from %v: the opener reached the other NAT", d.Addr)
		}
		// Inbound too the last hop counts: the NAT is the third.
		pc.write(underlay.Datagram{Addr: addr(natAddr + ":5000"), Data: []byte("short"), HopLimit: 3})
		a.wantNone()
		pc.write(underlay.Datagram{Addr: addr(natAddr + ":5000"), Data: []byte("enough"), HopLimit: 4})
		a.want("enough")
	})
}

func TestNATWithoutWays(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		nat, core, a := n.NAT("nat", FullCone), n.Router("core"), n.Host("a")
		Must(n.Connect(a, nat, LinkConfig{}, "198.18.1.2"))
		pa := listen(t, a, "0.0.0.0:5000")
		pa.send(addr(s1Addr+":1"), "no uplink")
		settle()
		if got := nat.Stats().Packets[DropNoRoute]; got != 1 {
			t.Fatalf("without an uplink: %v", nat.Stats().Packets)
		}
		Must(n.Connect(nat, core, LinkConfig{}))
		pa.send(addr(s1Addr+":1"), "no external address")
		settle()
		if got := nat.Stats().Packets[DropFull]; got != 1 {
			t.Fatalf("without an address: %v", nat.Stats().Packets)
		}
	})
}

func TestMappedHostLeft(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, FullCone)
		s := listen(t, x.s1, s1Addr+":1")
		a := listen(t, x.a, "0.0.0.0:5000")
		a.send(s.conn.LocalAddr(), "x")
		outer := s.want("x").Addr
		if err := x.a.RemoveAddr(netip.MustParseAddr("198.18.1.2")); err != nil {
			t.Fatal(err)
		}
		s.send(outer, "to nobody")
		a.wantNone()
		if got := x.nat.Stats().Packets[DropNoRoute]; got != 1 {
			t.Fatalf("%v", x.nat.Stats().Packets)
		}
	})
}

package netsim

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// portsOf has host a send to so many ports of s1, 100 ms apart, and returns the external ports
// that s1 sees.
func portsOf(t *testing.T, x behind, from *peer, n, first int) (ports []uint16) {
	for i := range n {
		s := listen(t, x.s1, fmt.Sprintf("%s:%d", s1Addr, first+i))
		from.send(s.conn.LocalAddr(), "x")
		ports = append(ports, s.want("x").Addr.Port())
	}
	return ports
}

// Each new mapping is a step further, around at the end of the range; what is taken is passed over.
func TestSequentialPort(t *testing.T) {
	for _, c := range []struct {
		cfg  NATConfig
		want []uint16 // after the first
	}{
		{NATConfig{PortRange: PortRange{5000, 5009}}, []uint16{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{NATConfig{PortRange: PortRange{5000, 5009}, PortStep: 2}, []uint16{2, 4, 6, 8, 1, 3, 5, 7, 9}}, // once around, those between
		{NATConfig{PortRange: PortRange{5000, 5009}, PortStep: -1}, []uint16{9, 8, 7, 6}},
		{NATConfig{PortRange: PortRange{5000, 5009}, PortStep: 13}, []uint16{3, 6, 9, 2}},
		{NATConfig{PortRange: PortRange{5000, 5009}, PortStep: 20}, []uint16{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{NATConfig{PortRange: PortRange{5000, 5009}, PortStep: -5}, []uint16{5, 1, 6, 2, 7, 3, 8, 4, 9}},
		{NATConfig{PortRange: PortRange{5000, 5009}, PortStep: math.MinInt}, []uint16{2}},
	} {
		t.Run(fmt.Sprintf("step %d", c.cfg.PortStep), func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) {
				cfg := c.cfg
				cfg.Mapping, cfg.Filtering, cfg.Ports = AddressAndPortDependent, AddressAndPortDependent, SequentialPort
				x := newBehind(n, cfg)
				ports := portsOf(t, x, listen(t, x.a, "0.0.0.0:5000"), len(c.want)+1, 1)
				for i, want := range c.want {
					if got := (ports[i+1] + 10 - ports[0]) % 10; got != want || !c.cfg.PortRange.contains(ports[i+1]) {
						t.Errorf("ports %v: number %d is %d further than the first, want %d", ports, i+1, got, want)
					}
				}
			})
		})
	}
}

// Two hosts draw from one sequence, and other subscribers do, too: the gap that a prediction has
// to bridge is at most their number.
func TestContention(t *testing.T) {
	const most = 3
	gaps := make(map[int]int)
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, NATConfig{Mapping: AddressAndPortDependent, Ports: SequentialPort, Contention: most})
		a, b := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.b, "0.0.0.0:5000")
		last := portsOf(t, x, a, 1, 1)[0]
		for i := range 60 {
			from := a
			if i%2 == 0 {
				from = b
			}
			port := portsOf(t, x, from, 1, 100+i)[0]
			gaps[int(port)-int(last)]++
			last = port
		}
	})
	delete(gaps, 1-numNATPorts) // it may have gone around once
	for gap := range gaps {
		if gap < 1 || gap > most+1 {
			t.Errorf("a gap of %d ports", gap)
		}
	}
	if len(gaps) != most+1 {
		t.Errorf("60 gaps are %v, want all from 1 to %d", gaps, most+1)
	}
}

// A range bounds every policy; a port outside of it is not preserved.
func TestPortRange(t *testing.T) {
	for _, policy := range []PortPolicy{PreservePort, RandomPort, SequentialPort} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) {
				r := PortRange{20480, 20487}
				x := newBehind(n, NATConfig{Mapping: AddressAndPortDependent, Ports: policy, PortRange: r})
				a := listen(t, x.a, "0.0.0.0:20483")
				ports := portsOf(t, x, a, 7, 1) // a random port is never the internal one
				if policy == PreservePort && ports[0] != 20483 {
					t.Errorf("port 20483 became %d", ports[0])
				}
				slices.Sort(ports)
				if ports[0] < r.Low || ports[6] > r.High || len(slices.Compact(ports)) != 7 {
					t.Errorf("ports %v", ports)
				}
				if policy == RandomPort {
					return
				}
				portsOf(t, x, a, 1, 100)
				a.send(addr(s2Addr+":9"), "none is left")
				settle()
				if got := x.nat.Stats().Packets[DropFull]; got != 1 {
					t.Errorf("%d packets dropped for want of a port, want 1", got)
				}
			})
		})
	}
}

// Other subscribers hold a part of the ports, the same ones throughout: those that want
// them get others.
func TestPortsTaken(t *testing.T) {
	const tries = 400
	kept := 0
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, NATConfig{PortsTaken: 0.25})
		s := listen(t, x.s1, s1Addr+":1")
		for port := range tries {
			want := uint16(2000 + 10*port)
			a := listen(t, x.a, fmt.Sprintf("0.0.0.0:%d", want))
			a.send(s.conn.LocalAddr(), "x")
			switch got := s.want("x").Addr.Port(); {
			case got == want:
				kept++
			case got < want:
				t.Errorf("port %d became %d, want the next free one", want, got)
			}
		}
	})
	// Binomial: mean 300, standard deviation 8.7; five of them to either side.
	if dev := 5 * math.Sqrt(tries*0.25*0.75); math.Abs(float64(kept)-0.75*tries) > dev {
		t.Errorf("%d of %d ports were preserved, want 300 ± %.0f", kept, tries, dev)
	}
}

func TestAllPortsTaken(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, NATConfig{PortsTaken: 1})
		listen(t, x.a, "0.0.0.0:5000").send(addr(s1Addr+":1"), "x")
		settle()
		if got := x.nat.Stats().Packets[DropFull]; got != 1 {
			t.Errorf("%d packets dropped for want of a port, want 1", got)
		}
	})
}

// Protocols have ports of their own.
func TestPortsByProtocol(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, NATConfig{PortRange: PortRange{5000, 5000}})
		s := listen(t, x.s1, s1Addr+":1")
		l, err := x.s1.Listen("tcp4", s1Addr+":1")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		listen(t, x.a, "0.0.0.0:6000").send(s.conn.LocalAddr(), "x")
		if got := s.want("x").Addr.Port(); got != 5000 {
			t.Errorf("the datagram came from port %d", got)
		}
		c, err := x.a.DialContext(t.Context(), "tcp4", s1Addr+":1")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		in, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		if got := addr(in.RemoteAddr().String()); got != addr(natAddr+":5000") {
			t.Errorf("the connection came from %v", got)
		}
	})
}

func TestNATConfigErrors(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		core := n.Router("core")
		for i, cfg := range []NATConfig{
			{PortRange: PortRange{0, 10}},
			{PortRange: PortRange{20, 10}},
			{PortsTaken: -0.1},
			{PortsTaken: math.NaN()},
			{Contention: -1},
			{UDPRate: -1},
		} {
			if _, err := n.Connect(n.NAT("x", cfg), core, LinkConfig{}, natAddr); err == nil {
				t.Errorf("%d: %+v was taken", i, cfg)
			}
		}
	})
}

// A search for a port that ends in vain costs no more than the range is long.
func TestFloodOfAFullNAT(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, NATConfig{Mapping: AddressAndPortDependent, MaxMappings: 100})
		a := listen(t, x.a, "0.0.0.0:5000")
		for i := range 5000 {
			a.send(addr(fmt.Sprintf("%s:%d", s1Addr, 1+i)), "x")
		}
		settle()
		if got := x.nat.Stats().Packets[DropFull]; got != 4900 || len(x.nat.byOuter) != 100 || len(x.nat.pinholes.entries) != 100 {
			t.Errorf("%d dropped, %d ports, %d pinholes", got, len(x.nat.byOuter), len(x.nat.pinholes.entries))
		}
		time.Sleep(defaultTimeout)
		a.send(addr(s1Addr+":1"), "x")
		settle()
		if got := x.nat.Stats().Packets[DropFull]; got != 4900 || len(x.nat.byOuter) != 1 {
			t.Errorf("after the timeout %d dropped, %d ports", got, len(x.nat.byOuter))
		}
	})
}

// Hosts and other subscribers contend for the ports of a range to the last one, which is given
// out whatever the policy; nothing searches for one more until one is free again.
func TestLastPort(t *testing.T) {
	r := PortRange{20480, 20543}
	for _, cfg := range []NATConfig{
		{Ports: PreservePort},
		{Ports: RandomPort},
		{Ports: SequentialPort},
		{Ports: SequentialPort, PortStep: 16, Contention: 5},
	} {
		t.Run(fmt.Sprintf("policy %d step %d", cfg.Ports, cfg.PortStep), func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) {
				cfg.Mapping, cfg.PortRange, cfg.PortsTaken = AddressAndPortDependent, r, 0.5
				x := newBehind(n, cfg)
				free := 0
				for i := range r.size() {
					if !x.nat.isTaken(r.at(i)) {
						free++
					}
				}
				if free < 16 || free > 48 {
					t.Fatalf("%d of 64 ports are free", free)
				}
				flood := func(host *Host, first int) {
					from := listen(t, host, "0.0.0.0:5000")
					for i := range r.size() {
						from.send(addr(fmt.Sprintf("%s:%d", s1Addr, first+i)), "x")
					}
					settle()
				}
				flood(x.a, 1)
				flood(x.b, 1001)
				wantDropped := uint64(2*r.size() - free)
				if got := x.nat.Stats().Packets[DropFull]; got != wantDropped || len(x.nat.byOuter) != free || x.nat.used[UDP] != free {
					t.Errorf("%d dropped, want %d; %d ports are in use, %d by count, of %d", got, wantDropped, len(x.nat.byOuter), x.nat.used[UDP], free)
				}
				if !x.nat.exhausted(UDP) || x.nat.taken != r.size()-free {
					t.Errorf("it goes on searching: %d in use, %d taken", x.nat.used[UDP], x.nat.taken)
				}
				time.Sleep(defaultTimeout)
				c := listen(t, x.a, "0.0.0.0:5001")
				c.send(addr(s1Addr+":1"), "x")
				settle()
				if got := x.nat.Stats().Packets[DropFull]; got != wantDropped || x.nat.used[UDP] != 1 {
					t.Errorf("after the timeout %d dropped, %d ports in use", got-wantDropped, x.nat.used[UDP])
				}
				x.nat.Reset()
				if x.nat.used[UDP] != 0 || x.nat.exhausted(UDP) {
					t.Errorf("after a reset %d ports are in use", x.nat.used[UDP])
				}
			})
		})
	}
}

// A flood of packets that nobody has asked for takes no port, mapping or pinhole, and no more
// entries than the table has, for 30 s, where the NAT tracks them; those who are behind it
// lose their port towards such a sender alone.
func TestFloodOfUnsolicitedPackets(t *testing.T) {
	const limit, num = 100, 5000
	for _, steal := range []bool{false, true} {
		t.Run(fmt.Sprint(steal), func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) {
				cfg := PortRestricted
				cfg.StealPorts, cfg.MaxMappings = steal, limit
				x := newBehind(n, cfg)
				s2 := listen(t, x.s2, s2Addr+":1")
				a := listen(t, x.a, "0.0.0.0:5000")
				a.send(s2.conn.LocalAddr(), "before")
				preserved := s2.want("before").Addr
				flood := func(from, to int) {
					n.mu.Lock()
					n.at = n.now()
					for i := from; i < to; i++ {
						x.s1.ifaces[0].out.send(newPacket(Packet{
							Src: addr(fmt.Sprintf("%s:%d", s1Addr, 1+i)), Dst: preserved, HopLimit: 64,
						}))
					}
					n.kick()
					n.mu.Unlock()
					settle()
				}
				flood(0, limit)
				flood(limit, num)
				wantStolen := 0
				if steal {
					wantStolen = limit
				}
				if m, h, st := len(x.nat.mappings.entries), len(x.nat.pinholes.entries), len(x.nat.stolen.entries); m != 1 || h != 1 || st != wantStolen {
					t.Errorf("%d mappings, %d pinholes, %d stolen ports, want 1, 1 and %d", m, h, st, wantStolen)
				}
				if got := x.nat.Stats().Packets[DropFilter]; got != num {
					t.Errorf("%d dropped, want %d", got, num)
				}
				s2.send(preserved, "is let in as before")
				a.want("is let in as before")
				for _, c := range []struct {
					port   string
					stolen bool
				}{{":1", steal}, {":4000", false}} { // found the table full
					s := listen(t, x.s1, s1Addr+c.port)
					a.send(s.conn.LocalAddr(), "x")
					if got := s.want("x").Addr; (got != preserved) != c.stolen {
						t.Errorf("towards port %s seen at %v", c.port, got)
					}
				}
				time.Sleep(stealTimeout)
				n.mu.Lock()
				n.at = n.now()
				x.nat.stolen.expire(n.at)
				n.mu.Unlock()
				if left := len(x.nat.stolen.entries); left != 0 {
					t.Errorf("%d stolen ports after 30 s", left)
				}
			})
		})
	}
}

package netsim

import (
	"net"
	"testing"
	"time"
)

// A mapping that nobody has answered lives for UnrepliedTimeout, here 30 s, one that was answered
// for Timeout, here 120 s, since the first answer or the last packet out or, with
// InboundRefresh, in. Times are when packets are at the NAT, from the one packet out on.
func TestTimeouts(t *testing.T) {
	type packet struct {
		at     time.Duration
		passes bool
	}
	const s = time.Second
	for _, c := range []struct {
		name    string
		refresh bool
		in      []packet
	}{
		{"unanswered", false, []packet{{30 * s, false}}},
		{"answered", false, []packet{{30*s - 1, true}, {150*s - 2, true}, {150*s - 1, false}}},
		{"answered early", false, []packet{{20 * s, true}, {100 * s, true}, {140*s - 1, true}, {140 * s, false}}},
		{"inbound refresh", true, []packet{{20 * s, true}, {140*s - 1, true}, {260*s - 2, true}, {380*s - 2, false}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) {
				x := newBehind(n, NATConfig{
					Filtering: AddressAndPortDependent, UnrepliedTimeout: 30 * s, Timeout: 120 * s, InboundRefresh: c.refresh,
				})
				from, server := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.s1, s1Addr+":1")
				from.send(server.conn.LocalAddr(), "out")
				begin := time.Now().Add(5 * time.Millisecond) // from the host to the NAT
				for _, p := range c.in {
					time.Sleep(time.Until(begin.Add(p.at - 10*time.Millisecond))) // from the server to the NAT
					server.send(addr(natAddr+":5000"), "in")
					time.Sleep(15 * time.Millisecond)
					if got := len(from.drain()) == 1; got != p.passes {
						t.Errorf("at %v a packet passes: %t", p.at, got)
					}
				}
			})
		})
	}
}

// The life of a TCP connection at the NAT, on both sides of which an established one is idle for
// longer than a half-open or closed one may be.
func TestTCPTimeouts(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, NATConfig{Filtering: AddressAndPortDependent, TCPTimeout: 30 * time.Minute, TCPTransitory: time.Minute})
		l, err := x.s1.Listen("tcp4", s1Addr+":1")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		dial := func() (out, in net.Conn) {
			out, err := x.a.DialContext(t.Context(), "tcp4", s1Addr+":1")
			if err != nil {
				t.Fatal(err)
			}
			if in, err = l.Accept(); err != nil {
				t.Fatal(err)
			}
			return out, in
		}
		// passes reports whether a byte gets from one end to the other within 10 s.
		passes := func(from, to net.Conn) bool {
			from.Write([]byte("x"))
			to.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, err := to.Read(make([]byte, 1))
			return err == nil
		}
		tables := func() (int, int) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.at = n.now()
			x.nat.mappings.expire(n.at)
			x.nat.pinholes.expire(n.at)
			return len(x.nat.mappings.entries), len(x.nat.pinholes.entries)
		}

		out, in := dial()
		time.Sleep(29 * time.Minute)
		if !passes(in, out) {
			t.Error("after 29 minutes nothing comes in")
		}
		time.Sleep(29 * time.Minute)
		if !passes(in, out) {
			t.Error("what came in did not keep the connection")
		}
		out.Close()
		in.Close()
		time.Sleep(3 * time.Minute)
		if _, holes := tables(); holes != 0 {
			t.Errorf("%d pinholes of a closed connection after 3 minutes", holes)
		}

		out, in = dial()
		defer out.Close()
		defer in.Close()
		time.Sleep(31 * time.Minute)
		if mappings, holes := tables(); mappings != 0 || holes != 0 {
			t.Errorf("%d mappings, %d pinholes after 31 minutes", mappings, holes)
		}
		if passes(in, out) {
			t.Error("a connection that the NAT has forgotten is let in")
		}
	})
}

// A SYN to a NAT that nobody behind it has asked for is dropped in silence (RFC 5382 REQ-4), and
// the full cone takes it once the port is mapped.
func TestTCPFiltering(t *testing.T) {
	for _, filtering := range behaviors {
		simulate(t, func(t *testing.T, n *Network) {
			x := newBehind(n, NATConfig{Filtering: filtering})
			l, err := x.a.Listen("tcp4", "198.18.1.2:5000")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			// The host sends a segment from its listening port to s1's port 1.
			n.mu.Lock()
			n.at = n.now()
			x.a.ifaces[0].out.send(newPacket(Packet{
				Proto: TCP, Src: addr("198.18.1.2:5000"), Dst: addr(s1Addr + ":1"), HopLimit: 64, TCP: TCPHeader{Flags: SYN},
			}))
			n.kick()
			n.mu.Unlock()
			settle()
			for _, c := range []struct {
				from *Host
				port string
				in   bool
			}{
				{x.s1, s1Addr + ":1", true},
				{x.s1, s1Addr + ":2", filtering != AddressAndPortDependent},
				{x.s2, s2Addr + ":1", filtering == EndpointIndependent},
			} {
				before := x.nat.Stats().Packets[DropFilter]
				n.mu.Lock()
				n.at = n.now()
				c.from.ifaces[0].out.send(newPacket(Packet{
					Proto: TCP, Src: addr(c.port), Dst: addr(natAddr + ":5000"), HopLimit: 64, TCP: TCPHeader{Flags: SYN, Seq: 7},
				}))
				n.kick()
				n.mu.Unlock()
				settle()
				if dropped := x.nat.Stats().Packets[DropFilter] > before; dropped == c.in {
					t.Errorf("filtering %d: a SYN from %s: dropped %t", filtering, c.port, dropped)
				}
			}
		})
	}
}

// Two hosts behind NATs that dial each other at once get one connection (RFC 5382 §4.3, REQ-2), even
// if one SYN comes too early and is dropped, unless a NAT gives it a port that nobody expects.
func TestTCPPunch(t *testing.T) {
	for _, c := range []struct {
		name string
		b    NATConfig
		late time.Duration // how much later b dials
		ok   bool
	}{
		{"at once", PortRestricted, 0, true},
		{"one early", PortRestricted, 500 * time.Millisecond, true},
		{"firewall appliance", Symmetric, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) {
				core := n.Router("core")
				host := func(name string, cfg NATConfig, wan string) *Host {
					nat, h := n.NAT("nat "+name, cfg), n.Host(name)
					Must(n.Connect(nat, core, LinkConfig{Delay: 20 * time.Millisecond}, wan))
					Must(n.Connect(h, nat, LinkConfig{}, "198.18.1.2/24"))
					return h
				}
				a, b := host("a", PortRestricted, "198.51.100.7"), host("b", c.b, "198.51.100.8")
				dialled := make(chan net.Conn, 1)
				go func() {
					time.Sleep(c.late)
					conn, _ := b.DialFrom(within(t, 20*time.Second), "tcp4", addr("198.18.1.2:5000"), "198.51.100.7:5000")
					dialled <- conn
				}()
				conn, err := a.DialFrom(within(t, 20*time.Second), "tcp4", addr("198.18.1.2:5000"), "198.51.100.8:5000")
				other := <-dialled
				if (err == nil) != c.ok || (other != nil) != c.ok {
					t.Fatalf("%v, %v, want a connection: %t", err, other, c.ok)
				}
				if !c.ok {
					return
				}
				defer conn.Close()
				defer other.Close()
				conn.Write([]byte("x"))
				b1 := make([]byte, 1)
				if _, err := other.Read(b1); err != nil || b1[0] != 'x' {
					t.Errorf("%q, %v", b1, err)
				}
			})
		})
	}
}

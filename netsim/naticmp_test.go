package netsim

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

// An error about a packet that a NAT let out reaches who sent it, about the packet as he sent it
// (RFC 5508 §4.2), and keeps no mapping alive (RFC 4787 §9, REQ-10).
func TestICMPThroughNAT(t *testing.T) {
	for _, mapping := range []Behavior{EndpointIndependent, AddressAndPortDependent} {
		t.Run(fmt.Sprint(mapping), func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) {
				x := newBehind(n, NATConfig{Mapping: mapping, Filtering: AddressAndPortDependent, Ports: RandomPort, Timeout: 20 * time.Second})
				c := dialUDP(t, x.a, s1Addr+":9") // where nobody listens
				defer c.Close()
				var sent time.Duration
				for range 2 {
					sent = n.Now()
					c.Write([]byte("x"))
					settle()
					if _, err := c.Write([]byte("y")); !errors.Is(err, syscall.ECONNREFUSED) {
						t.Fatalf("got %v, want a refusal", err)
					}
				}
				n.mu.Lock()
				defer n.mu.Unlock()
				// The packet was at the NAT after 5 ms, the error after 25 ms.
				x.nat.mappings.expire(sent + 5*time.Millisecond + 20*time.Second)
				if got := len(x.nat.mappings.entries); got != 0 {
					t.Errorf("%d mappings: an error kept one alive", got)
				}
			})
		})
	}
}

// A link beyond the NAT that is too narrow tells the host behind it, also through two NATs and a NAT64, where the
// host's packets are longer by what its header is.
func TestPacketTooBigThroughNAT(t *testing.T) {
	for _, c := range []struct {
		name string
		mtu  int // that the host learns
	}{{"NAT", 1300}, {"two NATs", 1300}, {"NAT64", 1320}} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) {
				core, s, outer, a := n.Router("core"), n.Host("s"), n.NAT("outer", Symmetric), n.Host("a")
				Must(n.Connect(s, core, LinkConfig{MTU: 1300}, s1Addr))
				wan, lan, dst := natAddr, "198.18.1.2/24", s1Addr
				var below Node = outer
				switch c.name {
				case "two NATs":
					Must(n.Connect(outer, core, LinkConfig{}, natAddr))
					inner := n.NAT("inner", Symmetric)
					below, wan = inner, ""
					Must(n.Connect(inner, outer, LinkConfig{}, "198.19.1.2/24"))
				case "NAT64":
					cfg := NAT64
					cfg.Ports = RandomPort
					outer = n.NAT("nat64", cfg)
					Must(n.Connect(outer, core, LinkConfig{}, natAddr, "2001:db8:7::/64"))
					below, wan, lan, dst = outer, "", "2001:db8:7::2/64", "64:ff9b::cb00:7101"
				}
				if wan != "" {
					Must(n.Connect(outer, core, LinkConfig{}, wan))
				}
				Must(n.Connect(a, below, LinkConfig{}, lan))
				c4 := dialUDP(t, a, "["+dst+"]:9")
				defer c4.Close()
				if got := a.knows(dst); got != 1500 {
					t.Fatalf("MTU %d before", got)
				}
				c4.Write(make([]byte, 1400))
				settle()
				if got := a.knows(dst); got != c.mtu {
					t.Errorf("MTU %d, want %d", got, c.mtu)
				}
			})
		})
	}
}

// An error from below about a packet that was let in goes to who sent it, and shows nothing of what is below.
func TestICMPOutOfNAT(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, FullCone)
		got := icmp(n)
		a := listen(t, x.a, "0.0.0.0:5000")
		a.send(addr(s1Addr+":1"), "open") // answered by an error: nobody listens there
		settle()
		a.conn.Close()
		*got = nil
		c := dialUDP(t, x.s2, natAddr+":5000")
		defer c.Close()
		c.Write([]byte("x"))
		settle()
		if _, err := c.Write([]byte("y")); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, want a refusal; %q", err, *got)
		}
	})
}

// Errors that nobody asked for are filtered, in either direction: of a flow that there is not, and of a remote
// that nothing was sent to.
func TestUnsolicitedICMP(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, PortRestricted)
		a, s := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.s1, s1Addr+":1")
		a.send(s.conn.LocalAddr(), "open")
		s.want("open")
		send := func(from *Host, dst string, q Quote) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.at = n.now()
			from.ifaces[0].out.send(newPacket(Packet{
				Proto: ICMP, Src: addr(from.ifaces[0].prefixes[0].Addr().String() + ":0"), Dst: addr(dst + ":0"), HopLimit: 64,
				ICMP: &ICMPMessage{Type: PacketTooBig, MTU: 600, Quote: q},
			}))
			n.kick()
		}
		known := func() int { return x.a.knows(s1Addr) }
		for i, c := range []struct {
			from *Host
			dst  string
			q    Quote
			mtu  int
		}{
			{x.s2, natAddr, Quote{UDP, addr(natAddr + ":5001"), addr(s1Addr + ":1"), 0}, 1500},         // no mapping
			{x.s2, natAddr, Quote{TCP, addr(natAddr + ":5000"), addr(s1Addr + ":1"), 0}, 1500},         // of another protocol
			{x.s2, natAddr, Quote{UDP, addr(natAddr + ":5000"), addr(s1Addr + ":2"), 0}, 1500},         // not sent to
			{x.s2, "198.51.100.99", Quote{UDP, addr(natAddr + ":5000"), addr(s1Addr + ":1"), 0}, 1500}, // to another
			{x.s2, natAddr, Quote{UDP, addr(natAddr + ":5000"), addr(s1Addr + ":1"), 0}, 600},          // a router on the way
		} {
			send(c.from, c.dst, c.q)
			settle()
			if got := known(); got != c.mtu {
				t.Errorf("%d: MTU %d, want %d", i, got, c.mtu)
			}
		}
		before := x.nat.Stats().Packets[DropFilter]
		send(x.b, s1Addr, Quote{UDP, addr(s1Addr + ":1"), addr("198.18.1.3:7000"), 0}) // of what has not come in
		settle()
		if got := x.nat.Stats().Packets[DropFilter]; got != before+1 {
			t.Errorf("%d packets filtered, want one more than %d", got, before)
		}
	})
}

// A probe whose hop limit ends beyond the NAT is answered, which is how traceroute sees through it.
func TestTimeExceededThroughNAT(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, Symmetric)
		got := icmp(n)
		a := listen(t, x.a, "0.0.0.0:5000")
		a.write(underlay.Datagram{Addr: addr(s1Addr + ":1"), Data: []byte("x"), HopLimit: 2})
		settle()
		delivered := 0
		for _, e := range *got {
			if strings.Contains(e, "a delivered") && strings.Contains(e, "> 198.18.1.2:0") {
				delivered++
			}
		}
		if delivered != 1 {
			t.Errorf("got %q", *got)
		}
	})
}

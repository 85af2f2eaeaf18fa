package netsim

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const gatewayAddr = "198.18.1.1"

// unhex reads bytes written in groups.
func unhex(t testing.TB, s string) string {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ask sends a datagram to the gateway of x and returns the answer, or "" if there is none.
func (p *peer) ask(request string) string {
	p.t.Helper()
	p.send(addr(gatewayAddr+":5351"), request)
	settle()
	select {
	case d := <-p.got:
		if d.Addr != addr(gatewayAddr+":5351") {
			p.t.Fatalf("answer from %v", d.Addr)
		}
		return string(d.Data)
	default:
		return ""
	}
}

// explicitOf returns the explicit mappings that a NAT has.
func explicitOf(t *NAT) (list []explicitMapping) {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	for _, e := range t.portmap.list {
		list = append(list, *e)
	}
	return list
}

// Limits hold, and ports of explicit mappings are not given to others.
func TestPortMapLimits(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		cfg := withPCP()
		cfg.PortMap.MaxMappings, cfg.MaxMappings = 3, 4
		x := newBehind(n, cfg)
		a, b, s := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.b, "0.0.0.0:5001"), listen(t, x.s1, s1Addr+":1")
		m := pcpMap{client: "198.18.1.2", nonce: 1, protocol: udpNumber, lifetime: 600, internal: 5000}
		for i := range uint16(3) {
			m.internal = 5000 + i
			a.wantMap(m, pcpAnswer{pcpSuccess, 600, netip.AddrPortFrom(netip.MustParseAddr(natAddr), 5000+i)})
		}
		m.internal = 5003
		a.wantMap(m, pcpAnswer{pcpNoResources, 30, netip.AddrPort{}})
		b.send(addr(s1Addr+":1"), "x") // the port is another's
		if d := s.want("x"); d.Addr != addr(natAddr+":5003") {
			t.Fatalf("mapped to %v", d.Addr)
		}
		c := listen(t, x.b, "0.0.0.0:6000")
		c.send(addr(s1Addr+":1"), "full")
		s.wantNone()
		time.Sleep(10 * time.Minute)
		c.send(addr(s1Addr+":1"), "room")
		s.want("room")
	})
}

// When the NAT restarts its mappings are gone, a new epoch begins, and hosts are told of it.
func TestPortMapReset(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		cfg := withPCP()
		cfg.PortMap.NATPMP = true
		x := newBehind(n, cfg)
		a, s := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.s1, s1Addr+":1")
		group := reading(t, Must(x.a.ListenMulticast("eth0", addr("224.0.0.1:5350"))))
		m := pcpMap{client: "198.18.1.2", nonce: 1, protocol: udpNumber, lifetime: 86400, internal: 5000}
		a.wantMap(m, pcpAnswer{pcpSuccess, 86400, addr(natAddr + ":5000")})
		time.Sleep(5 * time.Minute)
		if got := len(group.drain()); got != 2*announcements {
			t.Errorf("%d announcements at the start", got)
		}
		x.nat.Reboot(10 * time.Second)
		s.send(addr(natAddr+":5000"), "x")
		if got := a.ask(m.request()); got != "" {
			t.Errorf("answer %x while it is off", got)
		}
		time.Sleep(9500 * time.Millisecond)
		ds := group.drain()
		if len(ds) != 4 { // at 10 s and at 10.25 s
			t.Fatalf("%d announcements", len(ds))
		}
		for _, want := range []string{
			unhex(t, "02 80 00 00 00000000 00000000 000000000000000000000000"),
			unhex(t, "00 80 0000 00000000 c6336407"),
		} {
			if string(ds[0].Data) != want && string(ds[1].Data) != want {
				t.Errorf("%x and %x are announced, not %x", ds[0].Data, ds[1].Data, want)
			}
			if ds[0].Addr != addr(gatewayAddr+":5351") {
				t.Errorf("announced from %v", ds[0].Addr)
			}
		}
		s.send(addr(natAddr+":5000"), "y")
		a.wantNone()
		time.Sleep(5 * time.Minute)
		if got := len(group.drain()) + 4; got != 2*announcements {
			t.Errorf("%d announcements after the restart", got)
		}
	})
}

// Nobody outside can ask, and nobody below in the name of one outside.
func TestPortMapFromOutside(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		cfg := withPCP()
		cfg.PortMap.NATPMP = true
		x := newBehind(n, cfg)
		s := listen(t, x.s1, s1Addr+":5351")
		s.send(addr(natAddr+":5351"), "\x00\x00")
		s.send(addr(gatewayAddr+":5351"), "\x00\x00")
		s.wantNone()
		n.mu.Lock()
		p := newPacket(Packet{Src: addr(s1Addr + ":5351"), Dst: addr(gatewayAddr + ":5351"), HopLimit: 64, Data: []byte("\x00\x00")})
		x.a.ifaces[0].out.send(p)
		n.kick()
		n.mu.Unlock()
		s.wantNone()
		if got := x.nat.portmap.host.Stats().Packets[Delivered]; got != 0 {
			t.Errorf("the gateway took %d packets", got)
		}
	})
}

// By PCP a firewall that translates nothing is opened as well; what maps ports has some to map.
func TestPortMapFirewall(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		cfg := Firewall
		cfg.PortMap.PCP = true
		core, fw, a, s := n.Router("core"), n.NAT("fw", cfg), n.Host("a"), n.Host("s")
		Must(n.Connect(fw, core, LinkConfig{}, "198.18.1.0/24"))
		Must(n.Connect(a, fw, LinkConfig{}, "198.18.1.2/24"))
		Must(n.Connect(s, core, LinkConfig{}, s1Addr))
		p, q := listen(t, a, "0.0.0.0:5000"), listen(t, s, s1Addr+":1")
		q.send(addr("198.18.1.2:5000"), "early")
		p.wantNone()
		m := pcpMap{client: "198.18.1.2", nonce: 1, protocol: udpNumber, lifetime: 600, internal: 5000, external: 7000}
		p.wantMap(m, pcpAnswer{pcpSuccess, 600, addr("198.18.1.2:5000")})
		q.send(addr("198.18.1.2:5000"), "in")
		p.want("in")

		for _, bad := range []PortMapping{{NATPMP: true}, {IGD: 1}, {PCP: true, IGD: 3}, {PCP: true, MaxLifetime: time.Second}, {PCP: true, MaxMappings: 1 << 20}} {
			cfg := Firewall
			cfg.PortMap = bad
			if _, err := n.Connect(n.NAT("bad", cfg), core, LinkConfig{}, "198.18.2.0/24"); err == nil {
				t.Errorf("%+v is taken", bad)
			}
		}
	})
}

// Through a switch: the inside address, the group, and a host that has the first address already.
func TestPortMapSwitch(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		cfg := withPCP()
		core, nat, lan, a, b := n.Router("core"), n.NAT("nat", cfg), n.Switch("lan"), n.Host("a"), n.Host("b")
		Must(n.Connect(nat, core, LinkConfig{}, natAddr))
		Must(n.Connect(a, lan, LinkConfig{}, "198.18.1.1/24"))
		Must(n.Connect(lan, nat, LinkConfig{}))
		group := reading(t, Must(a.ListenMulticast("eth0", addr("224.0.0.1:5350"))))
		settle()
		if ds := group.drain(); len(ds) != 3 || ds[0].Addr != addr("198.18.1.2:5351") { // at 0, 0.25 and 0.75 s
			t.Fatalf("announced: %v", ds)
		}
		if _, err := n.Connect(b, lan, LinkConfig{}, "198.18.1.3/24"); err != nil {
			t.Fatal(err)
		}
		p := listen(t, b, "0.0.0.0:5000")
		m := pcpMap{client: "198.18.1.3", nonce: 1, protocol: udpNumber, lifetime: 600, internal: 5000}
		p.send(addr("198.18.1.2:5351"), m.request())
		settle()
		if ds := p.drain(); len(ds) != 1 || ds[0].Data[3] != 0 {
			t.Fatalf("answer %v", ds)
		}
		c := n.Host("c")
		if _, err := n.Connect(c, nat, LinkConfig{}, "198.18.1.2/24"); err == nil {
			t.Error("a host has the inside address")
		}
	})
}

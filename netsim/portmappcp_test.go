package netsim

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// pcpMap is a MAP request of RFC 6887 for UDP; a suggested port of 0 is none.
type pcpMap struct {
	client             string // IPv4
	nonce              byte
	protocol           uint8
	lifetime           uint32
	internal, external uint16
	suggested          string
	options            string
}

func (m pcpMap) request() string {
	b := []byte{2, 1, 0, 0}
	b = binary.BigEndian.AppendUint32(b, m.lifetime)
	client := netip.MustParseAddr(m.client).As16()
	b = append(b, client[:]...)
	for range 12 {
		b = append(b, m.nonce)
	}
	b = append(b, m.protocol, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, m.internal)
	b = binary.BigEndian.AppendUint16(b, m.external)
	suggested := netip.MustParseAddr("0.0.0.0").As16()
	if m.suggested != "" {
		suggested = netip.MustParseAddr(m.suggested).As16()
	}
	return string(append(b, suggested[:]...)) + m.options
}

const (
	udpNumber, tcpNumber = 17, 6
	preferFailure        = "\x02\x00\x00\x00"
)

func thirdParty(host string) string {
	a := netip.MustParseAddr(host).As16()
	return "\x01\x00\x00\x10" + string(a[:])
}

// A pcpAnswer is what an answer to MAP says.
type pcpAnswer struct {
	result   pcpResult
	lifetime uint32
	external netip.AddrPort
}

// askMap asks and reads the answer.
func (p *peer) askMap(m pcpMap) (a pcpAnswer) {
	p.t.Helper()
	request := m.request()
	b := []byte(p.ask(request))
	if len(b) < 60 || b[0] != 2 || b[1] != 0x81 || b[2] != 0 || string(b[24:42]) != request[24:42] {
		p.t.Fatalf("answer %x to %x", b, request)
	}
	a.result, a.lifetime = pcpResult(b[3]), binary.BigEndian.Uint32(b[4:])
	if a.result == pcpSuccess {
		a.external = netip.AddrPortFrom(pcpAddr(b[44:]), binary.BigEndian.Uint16(b[42:]))
	}
	return a
}

func (p *peer) wantMap(m pcpMap, want pcpAnswer) {
	p.t.Helper()
	if got := p.askMap(m); got != want {
		p.t.Fatalf("answer %+v to %+v, want %+v", got, m, want)
	}
}

// withPCP is a strict NAT that opens ports by PCP.
func withPCP() NATConfig {
	c := PortRestricted
	c.PortMap.PCP = true
	return c
}

// A mapping lets in whoever comes, sends answers out by the same port, lives without traffic
// and ends on time.
func TestPCPMap(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, withPCP())
		a, ctl := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.a, "0.0.0.0:5350")
		s := listen(t, x.s1, s1Addr+":1")
		outer := addr(natAddr + ":7000")
		s.send(outer, "early")
		a.wantNone()

		request := unhex(t, `02 01 0000 00000e10 00000000000000000000ffffc6120102
			0102030405060708090a0b0c 11 000000 1388 1b58 00000000000000000000ffff00000000`)
		answer := unhex(t, `02 81 00 00 00000e10 00000002 000000000000000000000000
			0102030405060708090a0b0c 11 000000 1388 1b58 00000000000000000000ffffc6336407`)
		ctl.drain()
		n.mu.Lock()
		x.nat.portmap.booted = n.now() - 2*time.Second // what is 2 s old
		n.mu.Unlock()
		if got := ctl.ask(request); got != answer {
			t.Fatalf("answer\n%x, want\n%x", got, answer)
		}
		s.send(outer, "in")
		d := a.want("in")
		if d.Addr != addr(s1Addr+":1") {
			t.Fatalf("came from %v", d.Addr)
		}
		a.send(d.Addr, "out")
		if d := s.want("out"); d.Addr != outer {
			t.Fatalf("answered from %v", d.Addr)
		}
		// One that did not come in first: an endpoint-independent mapping.
		s2 := listen(t, x.s2, s2Addr+":2")
		a.send(addr(s2Addr+":2"), "first")
		if d := s2.want("first"); d.Addr != outer {
			t.Fatalf("sent from %v", d.Addr)
		}
		time.Sleep(3590 * time.Second)
		s.send(outer, "late")
		a.want("late")
		time.Sleep(20 * time.Second)
		s.send(outer, "too late")
		a.wantNone()
	})
}

// Asking again renews, with the nonce of before; without it nothing can be done. 0 deletes.
func TestPCPRenew(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, withPCP())
		a, s := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.s1, s1Addr+":1")
		m := pcpMap{client: "198.18.1.2", nonce: 1, protocol: udpNumber, lifetime: 600, internal: 5000}
		outer := addr(natAddr + ":5000")
		a.wantMap(m, pcpAnswer{pcpSuccess, 600, outer})
		time.Sleep(500 * time.Second)
		a.wantMap(m, pcpAnswer{pcpSuccess, 600, outer})
		time.Sleep(500 * time.Second)
		s.send(outer, "renewed")
		a.want("renewed")

		other := m
		other.nonce = 2
		got := a.askMap(other)
		if got.result != pcpNotAuthorized || got.lifetime == 0 || got.lifetime >= 600 {
			t.Fatalf("another nonce: %+v", got)
		}
		other.lifetime = 0
		if got := a.askMap(other); got.result != pcpNotAuthorized {
			t.Fatalf("deleted with another nonce: %+v", got)
		}
		s.send(outer, "still")
		a.want("still")
		m.lifetime = 0
		if got := a.askMap(m); got.result != pcpSuccess || got.lifetime != 0 {
			t.Fatalf("deleting: %+v", got)
		}
		s.send(outer, "deleted")
		a.wantNone()
		if got := a.askMap(m); got.result != pcpSuccess || got.lifetime != 0 {
			t.Fatalf("deleting what is not there: %+v", got)
		}
		m.lifetime = 1
		a.wantMap(m, pcpAnswer{pcpSuccess, 120, outer})
		m.lifetime = 1<<32 - 1
		a.wantMap(m, pcpAnswer{pcpSuccess, 86400, outer})
	})
}

// What PCP refuses, and with which result.
func TestPCPRefusals(t *testing.T) {
	good := pcpMap{client: "198.18.1.2", nonce: 1, protocol: udpNumber, lifetime: 600, internal: 5000}
	with := func(f func(*pcpMap)) string {
		m := good
		f(&m)
		return m.request()
	}
	simulate(t, func(t *testing.T, n *Network) {
		cfg := withPCP()
		cfg.PortRange = PortRange{6000, 6009}
		x := newBehind(n, cfg)
		a := listen(t, x.a, "0.0.0.0:5000")
		for _, c := range []struct {
			name, request string
			result        int // -1: none
			lifetime      uint32
		}{
			{"one byte", "\x02", -1, 0},
			{"a response", "\x02\x81" + good.request()[2:], -1, 0},
			{"version 1", "\x01" + good.request()[1:], int(pcpUnsuppVersion), 1800},
			{"NAT-PMP", "\x00\x00", int(pcpUnsuppVersion), 1800},
			{"short", good.request()[:56], int(pcpMalformedRequest), 1800},
			{"odd", good.request() + "x", int(pcpMalformedRequest), 1800},
			{"long", good.request() + strings.Repeat("\xff\x00\x00\x00", 300), int(pcpMalformedRequest), 1800},
			{"PEER", "\x02\x02" + good.request()[2:], int(pcpUnsuppOpcode), 1800},
			{"FILTER", good.request() + "\x03\x00\x00\x00", int(pcpUnsuppOption), 1800},
			{"an option that ends too late", good.request() + "\x80\x00\x00\x01", int(pcpMalformedOption), 1800},
			{"two of PREFER_FAILURE", good.request() + preferFailure + preferFailure, int(pcpMalformedOption), 1800},
			{"for another", good.request() + thirdParty("198.18.1.3"), int(pcpUnsuppOption), 1800},
			{"another's address", with(func(m *pcpMap) { m.client = "198.18.1.3" }), int(pcpAddressMismatch), 1800},
			{"all protocols", with(func(m *pcpMap) { m.protocol, m.internal = 0, 0 }), int(pcpUnsuppProtocol), 1800},
			{"all ports", with(func(m *pcpMap) { m.internal = 0 }), int(pcpUnsuppProtocol), 1800},
			{"a port of all protocols", with(func(m *pcpMap) { m.protocol = 0 }), int(pcpMalformedRequest), 1800},
			{"SCTP", with(func(m *pcpMap) { m.protocol = 132 }), int(pcpUnsuppProtocol), 1800},
			{"that port or none, not in the range", with(func(m *pcpMap) { m.external, m.options = 7000, preferFailure }), int(pcpCannotProvide), 30},
			{"nothing in particular or none", with(func(m *pcpMap) { m.options = preferFailure }), int(pcpMalformedOption), 1800},
			{"that address or none", with(func(m *pcpMap) { m.external, m.suggested, m.options = 6001, s1Addr, preferFailure }), int(pcpCannotProvide), 30},
		} {
			got := a.ask(c.request)
			if c.result < 0 {
				if got != "" {
					t.Errorf("%s: answer %x", c.name, got)
				}
				continue
			}
			if len(got) < 24 || len(got)%4 != 0 || len(got) > 1100 || got[0] != 2 || got[1] != c.request[1]|0x80 ||
				int(got[3]) != c.result || binary.BigEndian.Uint32([]byte(got[4:])) != c.lifetime {
				t.Errorf("%s: answer %x, want result %d", c.name, got, c.result)
			}
		}
		if got := explicitOf(x.nat); len(got) != 0 {
			t.Errorf("%d mappings were made", len(got))
		}

		// What may be ignored is, and what was processed comes back.
		got := a.ask(with(func(m *pcpMap) { m.external, m.options = 6001, preferFailure+"\x80\x00\x00\x01abcd" }))
		if len(got) != 64 || got[3] != 0 || got[60:] != preferFailure || got[42:44] != "\x17\x71" {
			t.Errorf("answer %x", got)
		}
		// A suggestion out of range is only that.
		got2 := a.askMap(pcpMap{client: "198.18.1.2", nonce: 1, protocol: tcpNumber, lifetime: 600, internal: 5000, external: 80})
		if p := got2.external.Port(); got2.result != pcpSuccess || p < 6000 || p > 6009 {
			t.Errorf("answer %+v", got2)
		}
	})
}

// An endpoint that has a mapping keeps its port when it asks for an explicit one.
func TestPCPKeepsPort(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		cfg := withPCP()
		cfg.Ports = RandomPort
		x := newBehind(n, cfg)
		a, s := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.s1, s1Addr+":1")
		a.send(addr(s1Addr+":1"), "x")
		before := s.want("x").Addr
		m := pcpMap{client: "198.18.1.2", nonce: 1, protocol: udpNumber, lifetime: 600, internal: 5000, external: 7000}
		a.wantMap(m, pcpAnswer{pcpSuccess, 600, before})
		listen(t, x.s2, s2Addr+":2").send(before, "stranger")
		a.want("stranger")
	})
}

// A flow that a symmetric NAT has mapped already keeps its port.
func TestPCPSymmetric(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		cfg := Symmetric
		cfg.PortMap.PCP = true
		x := newBehind(n, cfg)
		a, s, s2 := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.s1, s1Addr+":1"), listen(t, x.s2, s2Addr+":2")
		a.send(addr(s1Addr+":1"), "x")
		before := s.want("x").Addr
		m := pcpMap{client: "198.18.1.2", nonce: 1, protocol: udpNumber, lifetime: 600, internal: 5000, external: 7000}
		a.wantMap(m, pcpAnswer{pcpSuccess, 600, addr(natAddr + ":7000")})
		a.send(addr(s1Addr+":1"), "y")
		if got := s.want("y").Addr; got != before {
			t.Errorf("moved from %v to %v", before, got)
		}
		a.send(addr(s2Addr+":2"), "z")
		if got := s2.want("z").Addr; got != addr(natAddr+":7000") {
			t.Errorf("sent from %v", got)
		}
		s.send(addr(natAddr+":7000"), "in")
		a.want("in")
		a.send(addr(s1Addr+":1"), "answer")
		if got := s.want("answer").Addr; got != addr(natAddr+":7000") {
			t.Errorf("answered from %v", got)
		}
	})
}

// THIRD_PARTY, where it is allowed.
func TestPCPThirdParty(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		cfg := withPCP()
		cfg.PortMap.ThirdParty = true
		x := newBehind(n, cfg)
		a, b, s := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.b, "0.0.0.0:6000"), listen(t, x.s1, s1Addr+":1")
		m := pcpMap{client: "198.18.1.2", nonce: 1, protocol: udpNumber, lifetime: 600, internal: 6000, options: thirdParty("198.18.1.3")}
		a.wantMap(m, pcpAnswer{pcpSuccess, 600, addr(natAddr + ":6000")})
		s.send(addr(natAddr+":6000"), "in")
		b.want("in")
		m.options = thirdParty(s1Addr)
		if got := a.askMap(m); got.result != pcpNotAuthorized {
			t.Errorf("for one outside: %+v", got)
		}
		m.options = thirdParty("198.18.1.2")
		if got := a.askMap(m); got.result != pcpMalformedRequest {
			t.Errorf("for itself: %+v", got)
		}
	})
}

// Behind two NATs a mapping at the home's leads nowhere, and the carrier's refuses.
func TestPCPStacked(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		core, cgn, home, a, s := n.Router("core"), n.NAT("cgn", withPCP()), n.NAT("home", withPCP()), n.Host("a"), n.Host("s")
		Must(n.Connect(cgn, core, LinkConfig{}, natAddr))
		Must(n.Connect(home, cgn, LinkConfig{}, "198.19.1.2/24"))
		Must(n.Connect(a, home, LinkConfig{}, "198.18.1.2/24"))
		Must(n.Connect(s, core, LinkConfig{}, s1Addr))
		p, q := listen(t, a, "0.0.0.0:5000"), listen(t, s, s1Addr+":1")
		m := pcpMap{client: "198.18.1.2", nonce: 1, protocol: udpNumber, lifetime: 600, internal: 5000}
		p.wantMap(m, pcpAnswer{pcpSuccess, 600, addr("198.19.1.2:5000")})
		q.send(addr(natAddr+":5000"), "x")
		q.send(addr("198.19.1.2:5000"), "y")
		p.wantNone()
		p.send(addr("198.19.1.1:5351"), m.request())
		settle()
		if d := p.drain(); len(d) != 1 || pcpResult(d[0].Data[3]) != pcpAddressMismatch {
			t.Fatalf("the carrier answers %v", d)
		}
	})
}

// PCP opens a firewall of IPv6, and ports of a NAT64.
func TestPCP6(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		cfg := NAT64
		cfg.PortMap.PCP = true
		core, nat, a, s, s6 := n.Router("core"), n.NAT("nat", cfg), n.Host("a"), n.Host("s"), n.Host("s6")
		Must(n.Connect(nat, core, LinkConfig{}, natAddr, "2001:db8:1::/64"))
		Must(n.Connect(a, nat, LinkConfig{}, "2001:db8:1::2/64"))
		Must(n.Connect(s, core, LinkConfig{}, s1Addr))
		Must(n.Connect(s6, core, LinkConfig{}, "2001:db8:2::2/64"))
		p, q, q6 := listen(t, a, "[::]:5000"), listen(t, s, s1Addr+":1"), listen(t, s6, "[::]:1")
		for _, c := range []struct{ suggested, want string }{{"::", "[2001:db8:1::2]:5000"}, {"0.0.0.0", natAddr + ":7000"}} {
			m := pcpMap{client: "2001:db8:1::2", nonce: 1, protocol: udpNumber, lifetime: 600, internal: 5000, external: 7000, suggested: c.suggested}
			p.send(addr("[2001:db8:1::1]:5351"), m.request())
			settle()
			ds := p.drain()
			if len(ds) != 1 || ds[0].Data[3] != 0 || netip.AddrPortFrom(pcpAddr(ds[0].Data[44:]), binary.BigEndian.Uint16(ds[0].Data[42:])) != addr(c.want) {
				t.Fatalf("answer %x", ds)
			}
		}
		q6.send(addr("[2001:db8:1::2]:5000"), "six")
		p.want("six")
		q.send(addr(natAddr+":7000"), "four")
		d := p.want("four")
		p.send(d.Addr, "back")
		if got := q.want("back").Addr; got != addr(natAddr+":7000") {
			t.Errorf("answered from %v", got)
		}
	})
}

// A host with IPv6 behind a firewall gets what there is, unless it insists on IPv4.
func TestPCP6Only(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		core, nat, a := n.Router("core"), n.NAT("nat", withPCP()), n.Host("a")
		Must(n.Connect(nat, core, LinkConfig{}, natAddr, "2001:db8:1::/64"))
		Must(n.Connect(a, nat, LinkConfig{}, "2001:db8:1::2/64"))
		p := listen(t, a, "[::]:5000")
		for _, c := range []struct {
			options string
			result  pcpResult
		}{{preferFailure, pcpCannotProvide}, {"", pcpSuccess}} {
			m := pcpMap{client: "2001:db8:1::2", nonce: 1, protocol: udpNumber, lifetime: 600, internal: 5000, external: 7000, options: c.options}
			p.send(addr("[2001:db8:1::1]:5351"), m.request())
			settle()
			ds := p.drain()
			if len(ds) != 1 || pcpResult(ds[0].Data[3]) != c.result {
				t.Fatalf("answer %x, want %d", ds, c.result)
			}
			if c.result == pcpSuccess && (pcpAddr(ds[0].Data[44:]) != netip.MustParseAddr("2001:db8:1::2") || binary.BigEndian.Uint16(ds[0].Data[42:]) != 5000) {
				t.Errorf("answer %x", ds[0].Data)
			}
		}
	})
}

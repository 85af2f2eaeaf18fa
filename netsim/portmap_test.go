package netsim

import (
	"encoding/binary"
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

// explicitOf returns the explicit mappings that a NAT has.
func explicitOf(t *NAT) (list []explicitMapping) {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	for _, e := range t.portmap.list {
		list = append(list, *e)
	}
	return list
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

// NAT-PMP, packet by packet.
func TestNATPMP(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		cfg := PortRestricted
		cfg.PortMap.NATPMP = true
		x := newBehind(n, cfg)
		a, b, s := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.b, "0.0.0.0:5000"), listen(t, x.s1, s1Addr+":1")
		for _, c := range []struct{ name, request, answer string }{
			{"external address", "0000", "00 80 0000 00000001 c6336407"},
			{"version 1", "0100", "00 80 0001 00000002"},
			{"PCP", "0201 0000 00000e10", "00 81 0001 00000003"},
			{"opcode 3", "0003", "00 83 0005 00000004"},
			{"a response", "0080 0000 00000001 c6336407", ""},
			{"short", "0001 0000 1388 1b58 00000e", ""},
			{"map UDP", "0001 0000 1388 1b58 00000e10", "00 81 0000 00000007 1388 1b58 00000e10"},
			{"again, another port", "0001 0000 1388 1b59 00000e10", "00 81 0000 00000008 1388 1b58 00000e10"},
			{"map TCP", "0002 0000 1388 1b58 00000e10", "00 82 0000 00000009 1388 1b58 00000e10"},
			{"port 0", "0001 0000 0000 1b58 00000e10", "00 81 0002 0000000a 0000 0000 00000000"},
			{"a week", "0001 0000 1389 0000 00093a80", "00 81 0000 0000000b 1389 1389 00015180"},
			{"a second", "0001 0000 138a 0000 00000001", "00 81 0000 0000000c 138a 138a 00000001"},
		} {
			n.mu.Lock() // each is asked at a second of its own
			x.nat.portmap.booted = n.now() - time.Duration(map[string]int{"external address": 1, "version 1": 2, "PCP": 3, "opcode 3": 4, "map UDP": 7, "again, another port": 8, "map TCP": 9, "port 0": 10, "a week": 11, "a second": 12}[c.name])*time.Second
			n.mu.Unlock()
			if got := a.ask(unhex(t, c.request)); got != unhex(t, c.answer) {
				t.Errorf("%s: answer %x, want %s", c.name, got, c.answer)
			}
		}
		s.send(addr(natAddr+":7000"), "in")
		a.want("in")

		// The port of the other protocol is not for others, and nobody deletes for others.
		b.ask(unhex(t, "0002 0000 1388 1b58 00000e10"))
		for _, e := range explicitOf(x.nat) {
			if e.inner.Addr() == netip.MustParseAddr("198.18.1.3") && (e.proto != TCP || e.outer.Port() == 7000) {
				t.Errorf("made for the other: %+v", e)
			}
		}
		b.ask(unhex(t, "0001 0000 1388 0000 00000000"))
		b.ask(unhex(t, "0001 0000 0000 0000 00000000"))
		s.send(addr(natAddr+":7000"), "kept")
		a.want("kept")

		if got := a.ask(unhex(t, "0001 0000 1388 0000 00000000")); !strings.HasSuffix(got, unhex(t, "1388 0000 00000000")) || got[3] != 0 {
			t.Errorf("deleting: answer %x", got)
		}
		s.send(addr(natAddr+":7000"), "gone")
		a.wantNone()
		a.ask(unhex(t, "0002 0000 0000 0000 00000000"))
		a.ask(unhex(t, "0001 0000 0000 0000 00000000"))
		for _, e := range explicitOf(x.nat) {
			if e.inner.Addr() == netip.MustParseAddr("198.18.1.2") {
				t.Errorf("left: %+v", e)
			}
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

package netsim

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// natFuzz is a NAT with nobody behind it or above it, so that packets are only those that are
// put into it, and the model that says what is to become of them.
type natFuzz struct {
	t        *testing.T
	net      *Network
	nat      *NAT
	up, down *pipe // by which packets reach the NAT, from above and below
	model    natModel
	inner    []netip.AddrPort
	remotes  []netip.AddrPort
}

// cutNATConfig makes a configuration of 8 bytes. Tables, ranges and lives are small.
func cutNATConfig(b []byte) NATConfig {
	cfg := NATConfig{
		Mapping:          Behavior(b[0] % 3),
		Filtering:        Behavior(b[0] / 3 % 3),
		Ports:            PortPolicy(b[1] % 3),
		PortStep:         int(int8(b[2])),
		PortRange:        PortRange{5000, 5000 + uint16(b[3]%10)},
		PortsTaken:       float64(b[4]%4) / 8,
		Contention:       int(b[4] / 4 % 4),
		MaxMappings:      1 + int(b[5]%12),
		Timeout:          8 * time.Second,
		UnrepliedTimeout: time.Duration(b[6]%3) * 3 * time.Second, // with none, that of all
		TCPTimeout:       20 * time.Second,
		TCPTransitory:    4 * time.Second,
		Hairpin:          b[7]&1 != 0,
		HairpinInner:     b[7]&32 != 0,
		InboundRefresh:   b[7]&2 != 0,
		StealPorts:       b[7]&4 != 0,
		NoTranslation:    b[7]&24 == 24,
	}
	return cfg
}

func newNATFuzz(t *testing.T, n *Network, cfg NATConfig) *natFuzz {
	core, lan := n.Router("core"), n.Router("lan")
	f := &natFuzz{t: t, net: n, nat: n.NAT("nat", cfg)}
	wan := natAddr
	if cfg.NoTranslation {
		wan = "198.18.1.0/24"
	}
	f.up = Must(n.Connect(f.nat, core, LinkConfig{}, wan)).up.back()
	f.down = Must(n.Connect(lan, f.nat, LinkConfig{}, "198.18.1.0/24")).up
	for _, a := range []string{"198.18.1.2:", "198.18.1.3:"} {
		for _, port := range []string{"5000", "5001", "7000"} {
			f.inner = append(f.inner, addr(a+port))
		}
	}
	f.remotes = []netip.AddrPort{addr(s1Addr + ":1"), addr(s1Addr + ":2"), addr(s2Addr + ":1")}
	f.model = natModel{cfg: f.nat.cfg, external: netip.MustParseAddr(natAddr), taken: f.nat.isTaken}
	return f
}

// put gives the NAT a packet and returns what became of it there.
func (f *natFuzz) put(by *pipe, q Packet) Event {
	q.HopLimit = 9
	before := len(f.net.outbox.events)
	f.nat.receive(newPacket(q), by)
	i := slices.IndexFunc(f.net.outbox.events[before:], func(e Event) bool { return e.Node == "nat" && e.Fate != Sent })
	if i < 0 {
		f.t.Fatalf("nothing became of %v", q)
	}
	return f.net.outbox.events[before+i]
}

// step takes 4 bytes: when, what, and from where to where.
func (f *natFuzz) step(b []byte) {
	time.Sleep([...]time.Duration{0, 0, 0, 1, 1, 2, 3, 5}[b[0]%8] * time.Second)
	f.net.mu.Lock()
	defer f.net.mu.Unlock()
	f.net.at = f.net.now()
	q := Packet{Proto: Protocol(b[3] % 2)}
	if q.Proto == TCP {
		q.TCP.Flags = [...]TCPFlags{SYN, ACK, ACK | FIN, RST}[b[3]/2%4]
	}
	inner, remote := f.inner[int(b[1])%len(f.inner)], f.remotes[int(b[2])%len(f.remotes)]
	outer := netip.AddrPortFrom(f.model.external, f.nat.cfg.PortRange.at(int(b[1])))
	if f.nat.cfg.NoTranslation {
		outer = inner
	}
	switch kind := b[0] / 8 % 16; {
	case kind < 6:
		q.Src, q.Dst = inner, remote
		f.out(q)
	case kind < 11:
		q.Src, q.Dst = remote, outer
		f.in(q)
	case kind < 13 && !f.nat.cfg.NoTranslation:
		q.Src, q.Dst = inner, netip.AddrPortFrom(f.model.external, f.nat.cfg.PortRange.at(int(b[2])))
		f.around(q)
	case kind < 15:
		f.icmpError(q.Proto, outer, remote)
	case b[1] < 64:
		f.nat.net.mu.Unlock()
		f.nat.Reset()
		f.nat.net.mu.Lock()
		f.model.mappings, f.model.holes, f.model.stolen = nil, nil, nil
	}
	f.check()
	f.net.kick()
}

// want compares what became of a packet with what was to.
func (f *natFuzz) want(e Event, passes bool, drop Fate, src, dst netip.AddrPort) {
	f.t.Helper()
	switch {
	case !passes && e.Fate != drop:
		f.t.Fatalf("%+v: %v, want it dropped: %v", f.nat.cfg, e, drop)
	case passes && (e.Fate != Translated || e.Src != src || e.Dst != dst):
		f.t.Fatalf("%+v: %v, want it passed, %v > %v", f.nat.cfg, e, src, dst)
	}
}

// modelOut has the model see a packet from below that the NAT has seen.
func (f *natFuzz) modelOut(q Packet) (outer netip.AddrPort, passes bool) {
	f.t.Helper()
	var got netip.AddrPort
	if _, m := f.nat.find(q.Proto, q.Src, q.Dst); m != nil {
		got = m.outer
	}
	outer, passes, complaint := f.model.out(q.Proto, q.TCP.Flags, q.Src, q.Dst, got, f.net.at)
	if complaint != "" {
		f.t.Fatalf("%+v: %v > %v got %v: %s", f.nat.cfg, q.Src, q.Dst, got, complaint)
	}
	return outer, passes
}

func (f *natFuzz) out(q Packet) {
	f.t.Helper()
	e := f.put(f.down, q)
	outer, passes := f.modelOut(q)
	f.want(e, passes, DropFull, outer, q.Dst)
}

func (f *natFuzz) in(q Packet) {
	f.t.Helper()
	e := f.put(f.up, q)
	inner, passes := f.model.in(q.Proto, q.TCP.Flags, q.Src, q.Dst, false, f.net.at)
	f.want(e, passes, DropFilter, q.Src, inner)
}

// around is a packet to the NAT's own address.
func (f *natFuzz) around(q Packet) {
	f.t.Helper()
	e := f.put(f.down, q)
	if !f.nat.cfg.Hairpin {
		f.want(e, false, DropFilter, q.Src, q.Dst)
		return
	}
	outer, passes := f.modelOut(q)
	if !passes {
		f.want(e, false, DropFull, q.Src, q.Dst)
		return
	}
	inner, passes := f.model.in(q.Proto, q.TCP.Flags, outer, q.Dst, true, f.net.at)
	if f.nat.cfg.HairpinInner {
		outer = q.Src
	}
	f.want(e, passes, DropFilter, outer, inner)
}

// icmpError is an error from above about a packet from outer to remote.
func (f *natFuzz) icmpError(proto Protocol, outer, remote netip.AddrPort) {
	f.t.Helper()
	e := f.put(f.up, Packet{
		Proto: ICMP, Src: netip.AddrPortFrom(netip.MustParseAddr(s2Addr), 0), Dst: netip.AddrPortFrom(outer.Addr(), 0),
		ICMP: &ICMPMessage{Type: PortUnreachable, Quote: Quote{Proto: proto, Src: outer, Dst: remote}},
	})
	f.model.tick(f.net.at)
	m, _ := f.model.entries(proto, remote, outer)
	if (e.Fate == Translated) != (m != nil) || m != nil && e.Dst.Addr() != m.inner.Addr() {
		f.t.Fatalf("%+v: %v about %v > %v, of %+v", f.nat.cfg, e, outer, remote, m)
	}
}

// check compares the tables.
func (f *natFuzz) check() {
	f.t.Helper()
	t := f.nat
	t.mappings.expire(f.net.at)
	t.pinholes.expire(f.net.at)
	t.stolen.expire(f.net.at)
	f.model.tick(f.net.at)
	if a, b, c := len(t.mappings.entries), len(t.pinholes.entries), len(t.stolen.entries); a != len(f.model.mappings) ||
		a != len(t.byOuter) || b != len(f.model.holes) || c != len(f.model.stolen) {
		f.t.Fatalf("%+v: %d mappings, %d ports, %d pinholes, %d stolen, want %d, %d, %d", t.cfg, a, len(t.byOuter), b, c,
			len(f.model.mappings), len(f.model.holes), len(f.model.stolen))
	}
	var used [ICMP]int
	for _, m := range f.model.mappings {
		if !t.cfg.NoTranslation {
			used[m.proto]++
		}
		if got := t.byOuter[endpoint{m.proto, m.outer}]; got == nil || got.inner != m.inner {
			f.t.Fatalf("%+v: %v is of %+v, want %v", t.cfg, m.outer, got, m.inner)
		}
	}
	if used != t.used {
		f.t.Fatalf("%+v: counts %v ports in use, there are %v", t.cfg, t.used, used)
	}
}

// fuzzNAT has a NAT of the first 8 bytes pass packets of the others, 4 bytes each.
func fuzzNAT(t *testing.T, data []byte) {
	if len(data) < 8 {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{Seed: binary.LittleEndian.Uint64(data)})
		defer n.Close()
		n.Trace(func(Event) {}) // so that there are events to look at
		f := newNATFuzz(t, n, cutNATConfig(data))
		for b := range slices.Chunk(data[8:min(len(data), 8+4*400)], 4) {
			if len(b) == 4 {
				f.step(b)
			}
		}
	})
}

// FuzzNAT: whatever is sent, a NAT of any configuration lets in and out what a model of it says
// that it must, by which ports, and keeps no more than its tables may hold.
func FuzzNAT(f *testing.F) {
	f.Add(make([]byte, 40))
	for seed := range uint64(4) {
		f.Add(randomBytes(seed, 80))
	}
	f.Fuzz(fuzzNAT)
}

// randomBytes returns the same bytes for the same seed.
func randomBytes(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestNATModel holds NATs of many configurations to the model, 300 packets each.
func TestNATModel(t *testing.T) {
	rounds := uint64(200)
	if testing.Short() {
		rounds = 50
	}
	for seed := range rounds {
		fuzzNAT(t, randomBytes(seed, 8+4*300))
	}
}

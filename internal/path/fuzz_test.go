package path

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// fuzzAddrs are the addresses that a fuzzed peer may name or send from; the last ones
// must never be sent to.
var fuzzAddrs = func() (list []netip.AddrPort) {
	for _, s := range []string{
		"192.0.2.77:5000", "203.0.113.1:1", "203.0.113.2:2", "[2001:db8::2]:3", "10.1.2.3:4", "[fd00::1]:5", "192.0.2.1:7",
		"127.0.0.1:9", "[::1]:9", "224.0.0.1:9", "255.255.255.255:9", "192.0.2.255:9", "0.0.0.0:9", "[ff02::1]:9", "[fe80::1]:9",
		"203.0.113.9:0", "192.0.2.1:4000", "[::ffff:203.0.113.1]:9",
	} {
		list = append(list, netip.MustParseAddrPort(s))
	}
	return append(list, netip.AddrPort{})
}()

const fuzzAllowed = 7

// fuzzed drives a set by the bytes of the input, and checks after each event what must
// always hold.
type fuzzed struct {
	t     *testing.T
	s     *Set
	in    []byte
	now   time.Time
	links []LinkInfo
	to    []Action

	probes  int                     // from the peer
	known   map[netip.AddrPort]bool // sources, and what an SN saw
	seen    map[netip.AddrPort]bool // relay's
	started time.Time
}

func (f *fuzzed) byte() int {
	if len(f.in) == 0 {
		return 0
	}
	b := f.in[0]
	f.in = f.in[1:]
	return int(b)
}

func (f *fuzzed) addr() netip.AddrPort {
	b := f.byte()
	if b >= 128 { // any of a crowd
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(b), byte(f.byte())}), 77)
	}
	return fuzzAddrs[b%len(fuzzAddrs)]
}

func (f *fuzzed) event() {
	s, now := f.s, f.now
	l := f.links[f.byte()%len(f.links)]
	switch f.byte() % 16 {
	case 0:
		s.AddLink(now, l)
	case 1:
		s.RemoveLink(now, l.Link)
	case 2:
		s.SetShared(now, f.byte()%2 == 0)
	case 3:
		s.SetNominator(now, f.byte()%2 == 0)
	case 4:
		s.SetStage(now, Stage(f.byte()%4))
	case 5, 6:
		c := Candidate{Addr: f.addr(), Kind: wire.CandidateKind(f.byte() % 8), Origin: Origin(f.byte() % 7), Opener: true}
		if b := f.byte(); b > 0 {
			c.Start = now.Add(time.Duration(b-100) * ms)
		}
		if c.Origin == OriginObserved {
			f.known[c.Addr] = true
		}
		s.AddCandidate(now, c)
	case 7, 8:
		f.probes++
		a := f.addr()
		f.known[a] = true
		s.HandleProbe(now, l.Link, a, wire.Probe{Token: uint64(f.byte()), Nominated: f.byte()%2 == 0})
	case 9:
		a := f.addr()
		f.known[a] = true
		s.HandleSource(now, l.Link, a, f.byte()%2 == 0)
	case 10, 11, 12:
		if len(f.to) > 0 {
			a := f.to[f.byte()%len(f.to)]
			f.known[a.Addr] = true
			s.HandleReply(now, a.Link, a.Addr, wire.ProbeReply{Token: a.Probe.Token, Observed: f.addr()})
		}
	case 13:
		s.Traffic(now, Traffic{LastSent: now.Add(-time.Duration(f.byte()) * ms), LastReceived: now.Add(-time.Duration(f.byte()) * ms)})
	case 14:
		if i, ok := s.Current(); ok {
			s.SendFailed(now, i.Link, i.Remote, errors.New("no route"))
		} else {
			s.SendFailed(now, l.Link, f.addr(), errors.New("no route"))
		}
	case 15:
		switch i, ok := s.Current(); f.byte() % 4 {
		case 0:
			s.Kick(now)
		case 1:
			s.NetworkChanged(now)
		case 2:
			if ok {
				s.TooLong(now, i.Link, i.Remote)
			}
		case 3:
			s.SetKeepAlive(time.Duration(10+f.byte()%110) * time.Second)
		}
	}
}

// advance lets time pass: to the next deadline, or by a step.
func (f *fuzzed) advance() {
	b := f.byte()
	if next := f.s.Next(); b%2 == 0 && !next.IsZero() {
		f.now = later(f.now, next)
	} else {
		f.now = f.now.Add(time.Duration(b) * time.Duration(b) * ms)
	}
}

func (f *fuzzed) check() {
	s := f.s
	stage := s.stage
	for _, a := range s.Poll(f.now) {
		switch a.Kind {
		case Sound:
			i := slices.IndexFunc(s.paths, func(p *path) bool { return p.addr == a.Addr && p.proven() })
			if i < 0 {
				f.t.Fatalf("a sounding goes to %v, which has answered no probe", a.Addr)
			}
			a.Probe.Token = a.Sounding.Token
			f.to = append(f.to, a)
		case SendProbe:
			f.to = append(f.to, a)
			if len(f.to) > 64 {
				f.to = f.to[1:]
			}
		case Knock:
			if stage == Answering && !f.known[a.Addr] && !f.seen[a.Addr] {
				f.t.Fatalf("the response goes to %v, which only the peer has named", a.Addr)
			}
		}
		if a.Link == nil || f.seen[a.Addr] {
			continue
		}
		for _, bad := range fuzzAddrs[fuzzAllowed:] {
			if a.Addr == bad {
				f.t.Fatalf("%v to %v", a.Kind, bad)
			}
		}
	}
	if next := s.Next(); due(next, f.now) {
		f.t.Fatalf("after Poll, Next is %v ago", f.now.Sub(next))
	}
	st := s.Stats()
	if most := unprovenBurst + int(f.now.Sub(f.started)/unprovenInterval); st.Unproven > most {
		f.t.Fatalf("%d packets to addresses that never answered, budget %d", st.Unproven, most)
	}
	if st.Replies > f.probes {
		f.t.Fatalf("%d replies to %d probes", st.Replies, f.probes)
	}
	if len(s.paths) > maxPaths || len(s.cands) > maxCandidates || len(s.log.ring) > maxLog {
		f.t.Fatalf("%d paths, %d candidates, %d entries", len(s.paths), len(s.cands), len(s.log.ring))
	}
	f.checkPointers()
}

func (f *fuzzed) checkPointers() {
	s := f.s
	for name, p := range map[string]*path{"current": s.current, "standby": s.standby, "nominated": s.nominated} {
		if p == nil {
			continue
		}
		if s.find(p.link, p.addr) != p {
			f.t.Fatalf("the %s path is not in the table", name)
		}
		if name == "standby" && (!p.alive() || p == s.current) {
			f.t.Fatalf("the standby is %v, current %v", p.state, p == s.current)
		}
	}
	if s.doubt.active() && (s.current == nil || s.current.state != Suspect) {
		f.t.Fatal("a doubt without a suspect")
	}
	if s.down.since.IsZero() == false && s.current != nil && s.current.alive() {
		f.t.Fatal("down, with a path")
	}
	if s.current == nil || !s.current.alive() {
		for _, p := range s.paths {
			if p.alive() && (s.current == nil || s.current.state != Validating) {
				f.t.Fatalf("%v is %v, and the current path is not", p.addr, p.state)
			}
		}
	}
}

func FuzzSet(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		in := make([]byte, 400)
		for i := range in {
			in[i] = byte(r.Uint32())
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		relay := addr("198.51.100.99:1")
		z := &fuzzed{
			t: t, s: New(Config{Rand: rand.NewChaCha8([32]byte{})}), in: in, now: epoch, started: epoch,
			known: make(map[netip.AddrPort]bool), seen: map[netip.AddrPort]bool{relay: true},
			links: []LinkInfo{
				{Link: &testLink{"v4"}, Local: ours, Prefixes: prefixes("192.0.2.1/24")},
				{Link: &testLink{"v6"}, Local: addr("[2001:db8::1]:4000"), Prefixes: prefixes("2001:db8::1/64")},
				{Link: &testLink{"relay"}, Transport: TransportRelay, Local: ours, Peer: relay},
			},
		}
		z.s.AddLink(z.now, z.links[0])
		for len(z.in) > 0 {
			z.event()
			z.check()
			z.advance()
			z.check()
		}
	})
}

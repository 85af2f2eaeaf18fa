package path

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// A server holds a Set for each of 100,000 peers.
func TestMemory(t *testing.T) {
	const sets = 500
	all := make([]*Set, 0, sets)
	l := &testLink{"udp"}
	pre := prefixes("192.0.2.1/24")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range sets {
		s := New(Config{})
		s.AddLink(epoch, LinkInfo{Link: l, Local: ours, Prefixes: pre})
		s.SetStage(epoch, Sealed)
		s.SetNominator(epoch, true)
		for _, a := range []netip.AddrPort{alpha, beta} {
			s.AddCandidate(epoch, Candidate{Addr: a, Origin: OriginSN, Kind: wire.CandidateHost})
		}
		now := epoch
		for range 60 {
			now = later(now, s.Next())
			for _, a := range s.Poll(now) {
				if a.Kind == Sound {
					a.Kind, a.Probe.Token = SendProbe, a.Sounding.Token
				}
				if a.Kind == SendProbe {
					s.HandleReply(now.Add(10*ms), a.Link, a.Addr, wire.ProbeReply{Token: a.Probe.Token, Observed: outside})
				}
			}
			now = now.Add(10 * ms)
		}
		if len(s.Paths()) != 2 || s.Paths()[0].State != Valid || s.Paths()[1].State != Valid || !s.dormant {
			t.Fatalf("%+v", s.Paths())
		}
		all = append(all, s)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := (after.HeapAlloc - before.HeapAlloc) / sets; got > 4608 {
		t.Errorf("%d bytes a set with 2 paths, want at most 4608", got)
	} else {
		t.Logf("%d bytes a set", got)
	}
	runtime.KeepAlive(all)
}

func TestAllocations(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.valid(beta, 20*ms)
	now := n.now
	if got := testing.AllocsPerRun(100, func() {
		now = now.Add(ms)
		n.s.Traffic(now, Traffic{LastSent: now, LastReceived: now.Add(-ms)})
		n.s.Next()
		n.s.Current()
	}); got != 0 {
		t.Errorf("Traffic, Next and Current allocate %v times", got)
	}
}

func BenchmarkTrafficAndNext(b *testing.B) {
	n := newRig(b)
	for i := range maxSources {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 0, byte(i)}), 1)
		n.answer[a] = 20 * ms
		n.s.HandleSource(n.now, n.link, a, true)
	}
	n.run(3 * time.Second)
	now := n.now
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Microsecond)
		n.s.Traffic(now, Traffic{LastSent: now, LastReceived: now})
		n.s.Next()
	}
}

func TestRecord(t *testing.T) {
	n := newRig(t)
	n.s.SetStage(n.now, Waiting)
	n.s.SetStage(n.now, Calling)
	n.s.AddCandidate(n.now, Candidate{Addr: alpha, Kind: wire.CandidateHost, Origin: OriginObserved, Start: n.now.Add(30 * ms), Opener: true})
	n.run(40 * ms)
	n.s.SetStage(n.now, Sealed)
	n.answer[alpha] = 20 * ms
	n.s.HandleSource(n.now, n.link, alpha, false)
	n.run(100 * ms)
	n.s.SendFailed(n.now, n.link, alpha, errors.New("no route"))
	n.run(10 * ms)
	want := `        0s over 192.0.2.1:4000 link added
        0s 203.0.113.1:5001 over 192.0.2.1:4000 knocking, direct: told
        0s 203.0.113.1:5001 over 192.0.2.1:4000 opener sent
      40ms 203.0.113.1:5001 over 192.0.2.1:4000 validating, direct: the peer was heard from there
      40ms 203.0.113.1:5001 over 192.0.2.1:4000 in use, direct: the peer was heard from there
      60ms 203.0.113.1:5001 over 192.0.2.1:4000 valid, direct, rtt 20ms: probe answered
     140ms 203.0.113.1:5001 over 192.0.2.1:4000 send error: no route
     140ms 203.0.113.1:5001 over 192.0.2.1:4000 suspect, direct, rtt 20ms: sending failed here
     140ms recall
`
	if got := n.record(); got != want {
		t.Errorf("record:\n%s\nwant:\n%s", got, want)
	}
}

// The record keeps the last maxLog entries in order, and hands out a copy.
func TestRecordIsBounded(t *testing.T) {
	var l log
	for i := range 3*maxLog + 7 {
		l.add(Entry{Time: epoch.Add(time.Duration(i))})
	}
	got := l.entries()
	if len(got) != maxLog {
		t.Fatalf("%d entries", len(got))
	}
	for i := range got {
		if want := epoch.Add(time.Duration(2*maxLog + 7 + i)); !got[i].Time.Equal(want) {
			t.Fatalf("entry %d is of %v", i, got[i].Time)
		}
	}
	got[0].Time = time.Time{}
	if l.entries()[0].Time.IsZero() {
		t.Error("entries are shared")
	}
}

// Every value has a name of its own.
func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	check := func(name string) {
		if name == "" || seen[name] || strings.Contains(name, "unknown") {
			t.Errorf("name %q", name)
		}
		seen[name] = true
	}
	for k := LAN; k <= Relayed; k++ {
		check(k.String())
	}
	for st := Knocking; st <= Failed; st++ {
		check(st.String())
	}
	for r := RefusedMalformed; r <= Evicted; r++ {
		check(r.String())
	}
	clear(seen)
	for k := Open; k <= Lost; k++ {
		check(k.String())
	}
	clear(seen)
	for ev := EventRefused; ev <= EventLost; ev++ {
		check(Entry{Event: ev}.String())
	}
	for _, s := range []string{Kind(0).String(), Kind(99).String(), State(0).String(), State(99).String(), Reason(200).String()} {
		if s != "unknown" {
			t.Errorf("a value that does not exist is called %q", s)
		}
	}
	if got := ActionKind(77).String(); got != "action 77" {
		t.Error(got)
	}
	if got := (Entry{Event: EventState, State: Dead, Kind: LAN, RTT: ms, Reason: Missed}).String(); got != "dead, lan, rtt 1ms: probes went unanswered" {
		t.Error(got)
	}
}

// A source of randomness that ends is replaced, not trusted to have given anything.
func TestRandomEnds(t *testing.T) {
	s := New(Config{Rand: strings.NewReader("short")})
	if a, b := s.random(), s.random(); a == b {
		t.Error("the same number twice")
	}
	zeros := &zeroThen{rand: rand.NewChaCha8([32]byte{}), zeros: 16}
	if s := New(Config{Rand: zeros}); s.random() == 0 {
		t.Error("token 0")
	}
}

// zeroThen reads zeros, then what is random.
type zeroThen struct {
	rand  *rand.ChaCha8
	zeros int
}

func (z *zeroThen) Read(b []byte) (int, error) {
	if z.zeros > 0 {
		z.zeros -= len(b)
		clear(b)
		return len(b), nil
	}
	return z.rand.Read(b)
}

// When the table is full, what works, what is in use and what others named stays.
func TestEviction(t *testing.T) {
	n := newRig(t)
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 1, byte(i)}), 1)
	}
	for i := range maxCandidates {
		n.answer[at(i)] = 20 * ms
		n.tell(at(i), wire.CandidateHost)
	}
	n.run(time.Second)
	for i := range 200 {
		n.s.HandleSource(n.now, n.link, at(50+i), true)
	}
	for i := range maxCandidates {
		n.wantState(at(i), Valid)
	}
	if got := len(n.s.paths); got != maxCandidates+maxSources {
		t.Errorf("%d paths", got)
	}
	n.wantState(at(249), Validating) // the newest source
	// All places taken by what works: nothing is evicted.
	for _, p := range n.s.paths {
		p.rtt.known = true
		n.s.setState(n.now, p, Valid, Answered)
	}
	n.s.HandleProbe(n.now, n.link, gamma, wire.Probe{Token: 1})
	log := n.s.Log()
	if last := log[len(log)-1]; last.Reason != RefusedFull || last.Remote != gamma {
		t.Errorf("last entry: %v", last)
	}
}

// The path in use keeps its place even while it is a mere source.
func TestCurrentIsNotEvicted(t *testing.T) {
	n := newRig(t)
	n.s.AddLink(n.now, LinkInfo{Link: &testLink{"second"}, Local: addr("192.0.2.9:4000")})
	n.s.HandleSource(n.now, n.link, alpha, true)
	for i := range maxCandidates {
		n.tell(netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 1, byte(i)}), 1), wire.CandidateHost)
	}
	if got := len(n.s.paths); got != maxPaths {
		t.Fatalf("%d paths, want a full table", got)
	}
	n.wantCurrent(alpha)
}

// Sources make room among themselves: what a candidate has left behind stays.
func TestSourcesEvictSources(t *testing.T) {
	n := newRig(t)
	n.tell(alpha, wire.CandidateHost)
	n.run(5 * time.Second)
	for i := range maxSources + 4 {
		n.s.HandleSource(n.now, n.link, netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 1, byte(i)}), 1), false)
	}
	n.wantState(alpha, Failed)
	if got := len(n.s.paths); got != 1+maxSources {
		t.Errorf("%d paths", got)
	}
}

package path

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

func TestRefuse(t *testing.T) {
	v4 := LinkInfo{Local: addr("0.0.0.0:4000"), Prefixes: prefixes("192.0.2.1/24", "192.168.7.2/24", "169.254.3.3/16")}
	v6 := LinkInfo{Local: addr("[::]:4000"), Prefixes: prefixes("2001:db8::1/64", "fd00:1::1/64")}
	loop := LinkInfo{Local: addr("127.0.0.1:4000"), Prefixes: prefixes("127.0.0.1/8")}
	tests := []struct {
		link   LinkInfo
		addr   string
		told   Reason // as a candidate
		shared Reason // as a candidate when both ends share a public address
		source Reason
	}{
		{v4, "203.0.113.1:1", none, none, none},
		{v4, "203.0.113.1:0", RefusedMalformed, RefusedMalformed, RefusedMalformed},
		{v4, "[::ffff:203.0.113.1]:1", RefusedMalformed, RefusedMalformed, RefusedMalformed},
		{v4, "0.0.0.0:1", RefusedSpecial, RefusedSpecial, RefusedSpecial},
		{v4, "0.1.2.3:1", RefusedSpecial, RefusedSpecial, RefusedSpecial},
		{v4, "224.0.0.251:5353", RefusedSpecial, RefusedSpecial, RefusedSpecial},
		{v4, "240.0.0.1:1", RefusedSpecial, RefusedSpecial, RefusedSpecial},
		{v4, "255.255.255.255:1", RefusedSpecial, RefusedSpecial, RefusedSpecial},
		{v4, "192.0.2.255:1", RefusedSpecial, RefusedSpecial, RefusedSpecial},
		{v4, "192.0.2.254:1", none, none, none},
		{v4, "203.0.113.255:1", none, none, none}, // a broadcast address there, but who knows
		{v4, "127.0.0.1:1", RefusedLoopback, RefusedLoopback, RefusedLoopback},
		{v4, "192.168.7.9:1", none, none, none},
		{v4, "192.168.8.9:1", RefusedPrivate, none, none},
		{v4, "10.0.0.1:1", RefusedPrivate, none, none},
		{v4, "172.16.0.1:1", RefusedPrivate, none, none},
		{v4, "172.32.0.1:1", none, none, none},
		{v4, "100.64.0.1:1", RefusedPrivate, none, none},
		{v4, "100.128.0.1:1", none, none, none},
		{v4, "169.254.9.9:1", none, none, none},
		{v4, "192.0.2.1:4000", RefusedOwn, RefusedOwn, RefusedOwn},
		{v4, "192.168.7.2:4000", RefusedOwn, RefusedOwn, RefusedOwn},
		{v4, "192.168.7.2:4001", none, none, none}, // another device on this machine
		{v4, "[2001:db8::2]:1", RefusedFamily, RefusedFamily, RefusedFamily},
		{v6, "203.0.113.1:1", RefusedFamily, RefusedFamily, RefusedFamily},
		{v6, "169.254.9.9:1", RefusedFamily, RefusedFamily, RefusedFamily},
		{v6, "[2001:db8:9::1]:1", none, none, none},
		{v6, "[::]:1", RefusedSpecial, RefusedSpecial, RefusedSpecial},
		{v6, "[ff02::1]:1", RefusedSpecial, RefusedSpecial, RefusedSpecial},
		{v6, "[::1]:1", RefusedLoopback, RefusedLoopback, RefusedLoopback},
		{v6, "[fe80::1]:1", RefusedLinkLocal, RefusedLinkLocal, RefusedLinkLocal},
		{v6, "[fe80::1%eth0]:1", none, none, none}, // only a source can have a zone
		{v6, "[fd00:1::9]:1", none, none, none},
		{v6, "[fd00:2::9]:1", RefusedPrivate, none, none},
		{loop, "127.0.0.1:1", none, none, none},
		{loop, "127.0.0.1:4000", RefusedOwn, RefusedOwn, RefusedOwn},
		{loop, "127.255.255.255:1", RefusedSpecial, RefusedSpecial, RefusedSpecial},
		{LinkInfo{Local: addr("192.0.2.1:4000")}, "169.254.9.9:1", RefusedLinkLocal, RefusedLinkLocal, RefusedLinkLocal},
		{LinkInfo{Local: addr("[fe80::7%eth1]:4000")}, "[fe80::1%eth0]:1", RefusedLinkLocal, RefusedLinkLocal, RefusedLinkLocal},
		{LinkInfo{Local: addr("192.0.2.1:1"), Prefixes: prefixes("192.0.2.0/31")}, "192.0.2.1:9", none, none, none},
	}
	for _, tt := range tests {
		l := &link{tt.link}
		a := addr(tt.addr)
		if got := l.refuse(a, false, false); got != tt.told {
			t.Errorf("%v over %v told: %q, want %q", a, tt.link.Local, got, tt.told)
		}
		if got := l.refuse(a, true, false); got != tt.shared {
			t.Errorf("%v over %v shared: %q, want %q", a, tt.link.Local, got, tt.shared)
		}
		if got := l.refuse(a, false, true); got != tt.source {
			t.Errorf("%v over %v as source: %q, want %q", a, tt.link.Local, got, tt.source)
		}
	}
	if got := (&link{v4}).refuse(netip.AddrPort{}, true, true); got != RefusedMalformed {
		t.Errorf("zero address: %q", got)
	}
}

// Loopback is used when an SN sees both ends there, and nobody else's word is
// taken for it.
func TestLoopbackOfOneMachine(t *testing.T) {
	machine := LinkInfo{Link: "any", Local: addr("0.0.0.0:4000"), Prefixes: prefixes("127.0.0.1/8", "192.0.2.1/24")}
	for _, origin := range []Origin{OriginObserved, OriginSN, OriginPeer, OriginTicket} {
		for _, shared := range []bool{true, false} {
			s := New(Config{})
			now := time.Unix(0, 0)
			s.AddLink(now, machine)
			s.SetShared(now, shared)
			s.AddCandidate(now, Candidate{Addr: addr("127.0.0.1:5000"), Kind: wire.CandidateServerReflexive, Origin: origin})
			want := shared && origin == OriginObserved
			if got := len(s.Paths()) == 1; got != want {
				t.Errorf("origin %v, shared %v: used %v, want %v", origin, shared, got, want)
			}
		}
	}
}

// Nothing goes to a refused address, whoever names it; the record says why, once.
func TestRefusedIsRecorded(t *testing.T) {
	n := newRig(t)
	for _, a := range []string{"10.0.0.1:1", "[2001:db8::1]:1", "224.0.0.1:1", "10.0.0.1:1"} {
		n.tell(addr(a), wire.CandidateHost)
	}
	n.s.HandleProbe(n.now, n.link, addr("127.0.0.1:9"), wire.Probe{Token: 1})
	n.run(5 * time.Second)
	if len(n.sent) != 0 || len(n.s.Paths()) != 0 {
		t.Errorf("sent %v, paths %v", n.sent, n.s.Paths())
	}
	var got []string
	for _, e := range n.s.Log()[1:] {
		got = append(got, e.String())
	}
	want := []string{
		"10.0.0.1:1 over 192.0.2.1:4000 refused: private, and we share neither subnet nor public address",
		"[2001:db8::1]:1 refused: no link of its family",
		"224.0.0.1:1 over 192.0.2.1:4000 refused: unspecified, multicast, broadcast or reserved",
		"127.0.0.1:9 over 192.0.2.1:4000 refused: loopback",
	}
	if len(got) != len(want) {
		t.Fatalf("record:\n%s", n.record())
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("record line %d: %q, want %q", i, got[i], want[i])
		}
	}
}

func TestSharedRevivesPrivate(t *testing.T) {
	n := newRig(t)
	private := addr("10.0.0.1:1")
	n.tell(private, wire.CandidateHost)
	n.run(time.Second)
	n.s.SetShared(n.now, true)
	n.run(time.Second)
	n.wantTimes(epoch, SendProbe, private, 1000*ms, 1050*ms, 1150*ms, 1350*ms)
}

// Candidates told before there is a link are tried when it comes, and again over each
// further one.
func TestLinkAfterCandidate(t *testing.T) {
	n := newNode(&clock{t: t, now: epoch}, 1)
	n.s.SetStage(n.now, Sealed)
	n.tell(alpha, wire.CandidateHost)
	if len(n.s.Paths()) != 0 {
		t.Error("a path without a link")
	}
	n.run(time.Second)
	for i, name := range []string{"one", "two"} {
		l := &testLink{name}
		n.s.AddLink(n.now, LinkInfo{Link: l, Local: ours})
		n.run(10 * ms)
		if got := n.sent[i]; got.Kind != SendProbe || got.Link != l || got.Addr != alpha {
			t.Errorf("over link %s: %+v", name, got)
		}
	}
	if got := len(n.s.Paths()); got != 2 {
		t.Errorf("%d paths", got)
	}
}

// A link whose addresses have changed is updated, not added.
func TestLinkUpdate(t *testing.T) {
	n := newRig(t)
	private := addr("192.168.1.9:1")
	n.tell(private, wire.CandidateHost)
	n.s.AddLink(n.now, LinkInfo{Link: n.link, Local: ours, Prefixes: prefixes("192.168.1.2/24")})
	n.run(10 * ms)
	n.wantTimes(epoch, SendProbe, private, 0)
	if len(n.s.links) != 1 {
		t.Errorf("%d links", len(n.s.links))
	}
}

// A full list takes a new candidate only in place of one that has failed.
func TestCandidateCap(t *testing.T) {
	n := newRig(t)
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 0, byte(i)}), 1)
	}
	for i := range maxCandidates + 1 {
		n.tell(at(i), wire.CandidateHost)
	}
	if got := len(n.s.Paths()); got != maxCandidates {
		t.Errorf("%d paths, want %d", got, maxCandidates)
	}
	log := n.s.Log()
	if e := log[len(log)-1]; e.Reason != RefusedFull || e.Remote != at(maxCandidates) {
		t.Errorf("last entry %v", e)
	}
	n.run(5 * time.Second)
	n.tell(at(100), wire.CandidateHost)
	n.wantState(at(100), Knocking)
	if len(n.s.cands) != maxCandidates {
		t.Errorf("%d candidates", len(n.s.cands))
	}
}

// What is told of an address adds up: a stranger that an SN then saw gets its full round.
func TestUpgrade(t *testing.T) {
	n := newRig(t)
	n.tell(alpha, wire.CandidateServerReflexive)
	n.run(5 * time.Second)
	n.wantState(alpha, Failed)
	at := n.now
	n.s.AddCandidate(n.now, Candidate{Addr: alpha, Kind: wire.CandidateServerReflexive, Origin: OriginObserved})
	n.run(10 * time.Second)
	n.wantTimes(at, SendProbe, alpha, 0, 50*ms, 150*ms, 350*ms, 750*ms, 1550*ms, 3150*ms)
}

// A dead path that is told again is asked at once, not when its back-off ends.
func TestDeadIsToldAgain(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.valid(beta, 30*ms)
	n.s.SendFailed(n.now, n.link, beta, errors.New("no route"))
	n.answer[beta] = 0
	n.run(20 * time.Second) // tried after 1, 3, 7 and 15 s; next after 31
	n.answer[beta] = 30 * ms
	at := n.now
	n.tell(beta, wire.CandidateServerReflexive)
	n.run(100 * ms)
	n.wantTimes(at, SendProbe, beta, 0)
	n.wantState(beta, Valid)
}

// A hostile neighbour that names one address of the segment after the other, as
// discovery lets it, does not keep the peer from being reached elsewhere: neither the list
// nor the budget is used up.
func TestDiscoveredAddressesGiveWay(t *testing.T) {
	n := newRig(t)
	for i := range 640 {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 10}), uint16(1+i))
		n.s.AddCandidate(n.now, Candidate{Addr: a, Kind: wire.CandidateHost, Origin: OriginDiscovery})
		n.run(15 * ms)
	}
	n.answer[alpha], n.answer[beta] = 20*ms, 20*ms
	n.tell(alpha, wire.CandidateHost)
	n.s.AddCandidate(n.now, Candidate{Addr: beta, Kind: wire.CandidateServerReflexive, Origin: OriginObserved})
	n.run(50 * ms)
	n.wantState(alpha, Valid)
	n.wantState(beta, Valid)
	if len(n.s.cands) > maxCandidates {
		t.Errorf("%d candidates", len(n.s.cands))
	}
}

// What works stays, though only discovery told of it; and what others told, too, is
// theirs.
func TestDiscoveredAddressesThatStay(t *testing.T) {
	n := newRig(t)
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i)}), 1)
	}
	n.answer[at(0)] = 20 * ms
	for i := range maxCandidates {
		n.s.AddCandidate(n.now, Candidate{Addr: at(i), Kind: wire.CandidateHost, Origin: OriginDiscovery})
	}
	n.tell(at(1), wire.CandidateHost)
	n.run(50 * ms)
	for i := range maxCandidates {
		n.tell(netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 0, byte(i)}), 1), wire.CandidateHost)
	}
	n.wantState(at(0), Valid)
	n.wantState(at(1), Knocking)
	if log := n.s.Log(); log[len(log)-1].Reason != RefusedFull {
		t.Errorf("last entry %v", log[len(log)-1])
	}
}

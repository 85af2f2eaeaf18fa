package noise

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

var source = netip.MustParseAddrPort("192.0.2.1:4000")

// forgedInitiation returns an initiation with the right mac1 and nothing else
// right: what a flood consists of. Each n makes another.
func forgedInitiation(to *Local, n int) []byte {
	message := make([]byte, 600)
	binary.BigEndian.PutUint64(message, uint64(n))
	m := wire.Initiation{Sender: 1, Noise: message}
	pkt := m.Append(nil)
	putMAC1(pkt, to.macKey)
	return pkt
}

func wantVerdict(t *testing.T, v Verdict, want Action) {
	t.Helper()
	if v.Action != want {
		t.Fatalf("action %d, want %d", v.Action, want)
	}
}

func TestGateRepeats(t *testing.T) {
	alice, bob := newLocal(t, 1), newLocal(t, 2)
	g := NewGate(bob.ID(), GateConfig{})
	i := initiate(t, alice, bob, Offer{Index: 11})
	v := g.Admit(start, i.Packet(), source)
	wantVerdict(t, v, Process)
	wantVerdict(t, g.Admit(start, i.Packet(), source), Drop) // no response yet
	g.Remember(v.Hash, []byte("response"), "owner")

	cookied := bytes.Clone(i.Packet())
	putMAC2(cookied, [macLen]byte{1}) // macs do not count
	for _, pkt := range [][]byte{i.Packet(), cookied} {
		for _, from := range []netip.AddrPort{source, sourceNumber(1), {}} {
			v := g.Admit(start.Add(responseLife-1), pkt, from)
			wantVerdict(t, v, Reply)
			if string(v.Packet) != "response" || v.Owner != "owner" {
				t.Errorf("copy answered by %q of %v", v.Packet, v.Owner)
			}
		}
	}
	wantVerdict(t, g.Admit(start.Add(responseLife), i.Packet(), source), Process)
	g.Forget(v.Hash)
	wantVerdict(t, g.Admit(start.Add(responseLife), i.Packet(), source), Process)
	if got, want := g.Counts(), (GateCounts{Processed: 3, Unanswered: 1, Repeated: 6}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

// TestGateForgetsInOrder: forgetting one does not disturb its successor's life.
func TestGateForgetsInOrder(t *testing.T) {
	bob := newLocal(t, 2)
	g := NewGate(bob.ID(), GateConfig{})
	pkt := forgedInitiation(bob, 1)
	g.Forget(g.Admit(start, pkt, source).Hash)
	wantVerdict(t, g.Admit(start.Add(responseLife/2), pkt, source), Process)
	wantVerdict(t, g.Admit(start.Add(responseLife), pkt, source), Drop)
	wantVerdict(t, g.Admit(start.Add(3*responseLife/2), pkt, source), Process)
}

func TestGateMalformed(t *testing.T) {
	alice, bob := newLocal(t, 1), newLocal(t, 2)
	g := NewGate(bob.ID(), GateConfig{})
	pkt := initiate(t, alice, bob, Offer{Index: 11}).Packet()
	for i := range mac2Offset(pkt) {
		wantVerdict(t, g.Admit(start, flip(pkt, i), source), Drop)
	}
	for n := range pkt {
		wantVerdict(t, g.Admit(start, pkt[:n], source), Drop)
	}
	wantVerdict(t, NewGate(alice.ID(), GateConfig{}).Admit(start, pkt, source), Drop)
	if got := g.Counts(); got.Malformed != uint64(mac2Offset(pkt)+len(pkt)) || got.Processed != 0 {
		t.Errorf("counts %+v", got)
	}
}

// TestGateCookie follows an initiator through the cookie, under load.
func TestGateCookie(t *testing.T) {
	alice, bob := newLocal(t, 1), newLocal(t, 2)
	g := NewGate(bob.ID(), GateConfig{Budget: 1})
	now := start
	exhaust := func() { // the budget of this second
		for g.open.AllowN(now, 1) {
		}
	}
	exhaust()
	i := initiate(t, alice, bob, Offer{Index: 11})
	v := g.Admit(now, i.Packet(), source)
	wantVerdict(t, v, Reply)
	if v.Owner != nil || len(v.Packet) > len(i.Packet()) {
		t.Errorf("reply of %d bytes, owner %v", len(v.Packet), v.Owner)
	}
	reply, err := wire.ParseCookieReply(v.Packet)
	if err != nil {
		t.Fatal(err)
	}
	pkt, err := i.PacketWithCookie(reply)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(pkt, i.Packet()) || hashInitiation(pkt) != hashInitiation(i.Packet()) {
		t.Error("a cookie must change the packet but not its hash")
	}
	for name, from := range map[string]netip.AddrPort{
		"another address": netip.MustParseAddrPort("192.0.2.2:4000"),
		"another port":    netip.MustParseAddrPort("192.0.2.1:4001"),
	} {
		if v := g.Admit(now, pkt, from); v.Action != Reply {
			t.Errorf("cookie from %s: action %d", name, v.Action)
		}
	}
	tampered := flip(pkt, len(pkt)-1)
	wantVerdict(t, g.Admit(now, tampered, source), Reply)
	wantVerdict(t, g.Admit(now, pkt, source), Process)
	if in := read(t, bob, pkt); in.Index != 11 {
		t.Errorf("index %d", in.Index)
	}

	// The cookie outlives one change of the secret, not two.
	again := initiate(t, alice, bob, Offer{Index: 11})
	cookie := cookieOf(&g.jar.secrets[0], source)
	for _, c := range []struct {
		after time.Duration
		want  Action
	}{{cookieLife - 1, Process}, {2*cookieLife - 1, Process}, {2 * cookieLife, Reply}} {
		now = start.Add(c.after)
		g.jar.rotate(start.Add(cookieLife)) // as other initiations would
		exhaust()
		pkt := bytes.Clone(again.Packet())
		putMAC2(pkt, cookie)
		if v := g.Admit(now, pkt, source); v.Action != c.want {
			t.Errorf("cookie after %v: action %d, want %d", c.after, v.Action, c.want)
		}
		g.Forget(hashInitiation(pkt))
	}
}

func TestCookieReplyRefused(t *testing.T) {
	alice, bob, carol := newLocal(t, 1), newLocal(t, 2), newLocal(t, 3)
	i := initiate(t, alice, bob, Offer{Index: 11})
	key := newMACKey(labelCookie, bob.ID())
	good := sealCookie(key, [24]byte{1}, [macLen]byte{2}, 11, i.Packet())
	parse := func(pkt []byte) wire.CookieReply {
		reply, err := wire.ParseCookieReply(pkt)
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	if _, err := i.PacketWithCookie(parse(good)); err != nil {
		t.Fatal(err)
	}
	for n := 4; n < len(good); n++ {
		if _, err := i.PacketWithCookie(parse(flip(good, n))); err == nil {
			t.Errorf("byte %d changed: accepted", n)
		}
	}
	other := initiate(t, alice, bob, Offer{Index: 11})
	if _, err := other.PacketWithCookie(parse(good)); !errors.Is(err, ErrMAC) {
		t.Errorf("reply to another initiation: %v", err)
	}
	wrong := sealCookie(newMACKey(labelCookie, carol.ID()), [24]byte{1}, [macLen]byte{2}, 11, i.Packet())
	if _, err := i.PacketWithCookie(parse(wrong)); !errors.Is(err, ErrMAC) {
		t.Errorf("reply of another responder: %v", err)
	}
}

// TestCookieSecrets: a jar left alone for long accepts nothing old.
func TestCookieSecrets(t *testing.T) {
	var j cookieJar
	j.rotate(start)
	first := j.secrets[0]
	if j.secrets[1] != first || first == [32]byte{} {
		t.Error("a new jar accepts a secret that is not its own")
	}
	j.rotate(start.Add(cookieLife - 1))
	if j.secrets[0] != first {
		t.Error("changed too early")
	}
	j.rotate(start.Add(cookieLife))
	if j.secrets[0] == first || j.secrets[1] != first {
		t.Error("not changed after two minutes")
	}
	second := j.secrets[0]
	j.rotate(start.Add(3 * cookieLife))
	if j.secrets[0] == second || j.secrets[1] == second || j.secrets[1] == first {
		t.Error("an old secret is still accepted")
	}
}

// TestGateFlood counts what a flood can make the responder do.
func TestGateFlood(t *testing.T) {
	bob := newLocal(t, 2)
	const budget, seconds, rate = 50, 10, 2000
	g := NewGate(bob.ID(), GateConfig{Budget: budget, Responses: 64})
	for n := range seconds * rate {
		now := start.Add(time.Duration(n) * time.Second / rate)
		v := g.Admit(now, forgedInitiation(bob, n), sourceNumber(n))
		if v.Action == Reply && len(v.Packet) > 64 {
			t.Fatalf("reply of %d bytes", len(v.Packet))
		}
		if len(g.seen) > 64 || len(g.order) > 64 {
			t.Fatalf("%d initiations remembered", len(g.seen))
		}
	}
	c := g.Counts()
	if want := uint64(budget * (seconds + 1)); c.Processed > want || c.Processed < want-1 {
		t.Errorf("%d processed, want %d", c.Processed, want)
	}
	if c.Processed+c.Cookies != seconds*rate {
		t.Errorf("counts %+v", c)
	}
	if n := len(g.sources.young) + len(g.sources.old); n != 0 {
		t.Errorf("%d sources remembered without a cookie", n)
	}
}

// TestGateFloodWithCookies: a source that does receive its cookies is limited by
// itself, and all of them together to as much again as the budget.
func TestGateFloodWithCookies(t *testing.T) {
	bob := newLocal(t, 2)
	const budget = 100
	for name, c := range map[string]struct {
		sources int
		want    uint64
	}{"one source": {1, sourceBurst + sourceRate*9}, "many": {500, budget * 10}} {
		g := NewGate(bob.ID(), GateConfig{Budget: budget})
		g.jar.rotate(start)
		open := uint64(0)
		for n := range 9000 { // in 9 s
			now := start.Add(time.Duration(n) * time.Millisecond)
			for g.open.AllowN(now, 1) { // a flood without cookies besides
				open++
			}
			from := sourceNumber(n % c.sources * 257) // each of another network
			pkt := forgedInitiation(bob, n)
			g.jar.made = now // one secret, for the test
			putMAC2(pkt, cookieOf(&g.jar.secrets[0], from))
			g.Admit(now, pkt, from)
		}
		counts := g.Counts()
		if counts.Processed > c.want || counts.Processed < c.want-2 {
			t.Errorf("%s: %d processed, want %d", name, counts.Processed, c.want)
		}
		if counts.Cookies != 0 || counts.Processed+counts.Limited != 9000 || open > budget*10 {
			t.Errorf("%s: counts %+v, %d besides", name, counts, open)
		}
	}
}

// TestGateFloodFromOneNetwork: whoever has a network of addresses, and receives
// their cookies, leaves others their half.
func TestGateFloodFromOneNetwork(t *testing.T) {
	bob := newLocal(t, 2)
	const budget, flood, honest, seconds = 100, 2000, 40, 10
	for name, from := range map[string]func(n int) netip.Addr{
		"a /24": func(n int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(n)}) },
		"a /56": func(n int) netip.Addr {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 1, 2, 3, byte(n)})
		},
	} {
		g := NewGate(bob.ID(), GateConfig{Budget: budget})
		admit := func(now time.Time, n int, a netip.Addr) Action {
			for g.open.AllowN(now, 1) { // a flood without cookies besides
			}
			source := netip.AddrPortFrom(a, 4000)
			pkt := forgedInitiation(bob, n)
			g.jar.rotate(now)
			putMAC2(pkt, cookieOf(&g.jar.secrets[0], source))
			return g.Admit(now, pkt, source).Action
		}
		served := 0
		for n := range flood * seconds {
			now := start.Add(time.Duration(n) * time.Second / flood)
			admit(now, n, from(n))
			if n%(flood/honest) == flood/honest-1 {
				a := netip.AddrFrom4([4]byte{203, 0, byte(n / 50), 1})
				if admit(now, 1<<20+n, a) == Process {
					served++
				}
			}
		}
		if served < honest*seconds*99/100 {
			t.Errorf("%s: %d of %d others served", name, served, honest*seconds)
		}
	}
}

// TestGateForwarded: what an SN forwards is not asked for cookies, and competes
// neither with a flood nor with those who have shown a cookie.
func TestGateForwarded(t *testing.T) {
	bob := newLocal(t, 2)
	g := NewGate(bob.ID(), GateConfig{Budget: 10})
	for n := range 10 {
		wantVerdict(t, g.Admit(start, forgedInitiation(bob, n), source), Process)
	}
	wantVerdict(t, g.Admit(start, forgedInitiation(bob, 10), source), Reply)
	for n := range 10 {
		wantVerdict(t, g.Admit(start, forgedInitiation(bob, 100+n), netip.AddrPort{}), Process)
	}
	wantVerdict(t, g.Admit(start, forgedInitiation(bob, 200), netip.AddrPort{}), Drop)
	for n := range 10 {
		pkt := forgedInitiation(bob, 300+n)
		putMAC2(pkt, cookieOf(&g.jar.secrets[0], source))
		wantVerdict(t, g.Admit(start, pkt, source), Process)
	}
	if g.Counts().Limited != 1 {
		t.Errorf("counts %+v", g.Counts())
	}
}

func TestGateUnlimited(t *testing.T) {
	bob := newLocal(t, 2)
	g := NewGate(bob.ID(), GateConfig{Budget: -1})
	for n := range 3000 {
		wantVerdict(t, g.Admit(start, forgedInitiation(bob, n), source), Process)
	}
}

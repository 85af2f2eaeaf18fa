package sn

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
)

// initiationTo returns an initiation to another device.
func (d *dev) initiationTo(t testing.TB, other *dev) []byte {
	t.Helper()
	i, err := d.local.Initiate(other.local.Device(), noise.Offer{Index: 3, Stamp: 5, Early: []byte("hello")})
	if err != nil {
		t.Fatal(err)
	}
	return i.Packet()
}

func TestCallWithoutInitiation(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, b := r.online(1), r.dev(2).shake()
		b.register(wire.VisibleEveryone, host("192.0.2.7:1"), host("192.0.2.7:2"))
		ans := a.call(wire.Call{Callee: b.id(), Candidates: []wire.Candidate{host("192.0.2.9:9")}})
		if ans.Status != wire.StatusOK || string(ans.Device) != string(b.local.Device().Bytes()) || ans.Shared {
			t.Errorf("reply %+v", ans)
		}
		want := []wire.Candidate{{Kind: wire.CandidateServerReflexive, Addr: b.addr}, host("192.0.2.7:1"), host("192.0.2.7:2")}
		if !slices.Equal(ans.Candidates, want) {
			t.Errorf("candidates %v, want %v", ans.Candidates, want)
		}
		m := one(t, wire.ParseCalled, b.received())
		want = []wire.Candidate{{Kind: wire.CandidateServerReflexive, Addr: a.addr}, host("192.0.2.9:9")}
		if m.Caller != a.id() || m.Initiation != nil || string(m.Device) != string(a.local.Device().Bytes()) ||
			!slices.Equal(m.Candidates, want) || m.Relay != nil {
			t.Errorf("called %+v", m)
		}
	})
}

func TestCallWithInitiation(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, b := r.online(1), r.online(2)
		pkt := a.initiationTo(t, b)
		relay := &wire.Relay{PN: r.self.Device.ID(), Tag: [16]byte{4}}
		a.call(wire.Call{Callee: b.id(), Initiation: pkt, Relay: relay})
		m := one(t, wire.ParseCalled, b.received())
		if string(m.Initiation) != string(pkt) || m.Device != nil || m.Relay == nil || *m.Relay != *relay {
			t.Errorf("called %+v", m)
		}
	})
}

func TestCallStatuses(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, b := r.online(1), r.online(2)
		stranger := r.dev(3).shake()
		for _, c := range []struct {
			what string
			from *dev
			call wire.Call
			want wire.Status
		}{
			{"a device that is not there", a, wire.Call{Callee: r.dev(9).id()}, wire.StatusNotFound},
			{"itself", a, wire.Call{Callee: a.id()}, wire.StatusNotAllowed},
			{"one before registering", stranger, wire.Call{Callee: b.id()}, wire.StatusNotAllowed},
			{"a device that is not registered yet", a, wire.Call{Callee: stranger.id()}, wire.StatusNotFound},
			{"with something that is no initiation", a, wire.Call{Callee: b.id(), Initiation: make([]byte, 200)}, wire.StatusMalformed},
		} {
			if ans := c.from.call(c.call); ans.Status != c.want || ans.Device != nil || ans.Candidates != nil {
				t.Errorf("calling %s: %+v, want status %v", c.what, ans, c.want)
			}
		}
		none(t, b.received())
		if n := r.s.calls.len(); n != 0 {
			t.Errorf("%d failed calls are remembered", n)
		}
	})
}

func TestCalledIsRepeatedUntilAcknowledged(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, b := r.online(1), r.online(2)
		began := time.Now()
		a.call(wire.Call{Callee: b.id()})
		var at []time.Duration
		var call uint64
		for range 5000 {
			for _, p := range b.received() {
				m, err := wire.ParseCalled(p)
				if err != nil {
					t.Fatal(err)
				}
				if call != 0 && m.Call != call {
					t.Error("a repeat has another call id")
				}
				call = m.Call
				at = append(at, time.Since(began))
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		ms := time.Millisecond
		if want := []time.Duration{0, 200 * ms, 600 * ms, 1400 * ms, 3000 * ms}; !slices.Equal(at, want) {
			t.Errorf("called at %v, want %v", at, want)
		}

		a.call(wire.Call{Callee: b.id()})
		m := one(t, wire.ParseCalled, b.received())
		// Neither another device nor another number acknowledges it.
		a.send(&wire.CalledAck{Call: m.Call})
		b.send(&wire.CalledAck{Call: m.Call + 1})
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		one(t, wire.ParseCalled, b.received())
		b.send(&wire.CalledAck{Call: m.Call})
		time.Sleep(10 * time.Second)
		none(t, b.received())
	})
}

func TestRepeatedCallIsAnsweredFromMemory(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, b := r.online(1), r.online(2)
		a.ping(10 * time.Millisecond)
		b.ping(300 * time.Millisecond)
		c := wire.Call{Request: 99, Callee: b.id()}
		a.send(&c)
		first := one(t, wire.ParseCallReply, a.received())
		m := one(t, wire.ParseCalled, b.received())
		b.send(&wire.CalledAck{Call: m.Call})
		b.register(wire.VisibleNobody) // what the callee shows has changed

		time.Sleep(100 * time.Millisecond)
		for range 2 * maxAnswers {
			a.send(&c)
		}
		again := a.received()
		if len(again) != maxAnswers {
			t.Errorf("%d answers to %d repeats", len(again), 2*maxAnswers)
		}
		reply := one(t, wire.ParseCallReply, again[:1])
		if first.Wait != 145*time.Millisecond || reply.Wait != 45*time.Millisecond {
			t.Errorf("waits %v and, 100ms later, %v; want 145ms and 45ms", first.Wait, reply.Wait)
		}
		if !slices.Equal(reply.Candidates, first.Candidates) || string(reply.Device) != string(first.Device) {
			t.Errorf("repeat says %+v, first answer %+v", reply, first)
		}
		none(t, b.received())
		// Another request is another call; after a while so is the same.
		a.call(wire.Call{Callee: b.id()})
		one(t, wire.ParseCalled, b.received())
		time.Sleep(callLife + 2*sweepInterval)
		b.received()
		a.send(&c)
		one(t, wire.ParseCallReply, a.received())
		one(t, wire.ParseCalled, b.received())
	})
}

func TestWaits(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct{ caller, callee, reply, called time.Duration }{
		{20 * ms, 20 * ms, 0, 0},
		{20 * ms, 100 * ms, 40 * ms, 0},
		{100 * ms, 20 * ms, 0, 40 * ms},
		{0, 100 * ms, 0, 0},
		{100 * ms, 0, 0, 0},
		{1 * ms, time.Hour, maxWait, 0},
		{time.Hour, 1 * ms, 0, maxWait},
	} {
		reply, called := waits(c.caller, c.callee)
		if reply != c.reply || called != c.called {
			t.Errorf("round trips %v and %v: waits %v and %v, want %v and %v", c.caller, c.callee, reply, called, c.reply, c.called)
		}
		// Both ends then act at the same moment: half a round trip and the wait.
		if c.caller > 0 && c.callee > 0 && max(reply, called) < maxWait && c.caller/2+reply != c.callee/2+called {
			t.Errorf("round trips %v and %v: first packets do not leave at once", c.caller, c.callee)
		}
	}
}

// zoneOf returns an owner and two devices of its zone.
func zoneOf(t *testing.T, n int) (people *identity.People, members [2]*identity.LocalDevice) {
	t.Helper()
	secret := identity.SecretFromSeed([32]byte{byte(n), 99})
	now := uint64(time.Now().UnixMilli())
	people, err := identity.NewPeople(secret, identity.PeopleDesc{UniqueID: [16]byte{9}},
		identity.PeopleBody{Updated: now, ValidUntil: now + 3_600_000})
	if err != nil {
		t.Fatal(err)
	}
	for i := range members {
		l := newLocal(t, n+i, people.ID())
		sig, err := people.SignMembership(secret, l.Device)
		if err != nil {
			t.Fatal(err)
		}
		if l.Device, err = l.Device.Join(l.Secret, people, sig, 2000); err != nil {
			t.Fatal(err)
		}
		members[i] = l
	}
	return people, members
}

func TestVisibility(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		people, members := zoneOf(t, 10)
		a, b := r.devOf(10, members[0]).shake(), r.devOf(11, members[1]).shake()
		stranger := r.online(1)
		// It names the owner, who has not signed.
		pretender := r.devOf(12, newLocal(t, 12, people.ID())).shake()
		pretender.register(wire.VisibleEveryone)
		a.register(wire.VisibleEveryone)

		sees := func(caller *dev, v wire.Visibility) bool {
			t.Helper()
			b.received() // repeats of earlier calls
			b.register(v, host("192.0.2.7:1"))
			ans := caller.call(wire.Call{Callee: b.id()})
			if ans.Status != wire.StatusOK || ans.Device == nil {
				t.Fatalf("call: %+v", ans)
			}
			if n := len(ans.Candidates); n != 0 && n != 2 {
				t.Fatalf("%d candidates", n)
			}
			return len(ans.Candidates) == 2
		}
		check := func(when string, want [3][3]bool) {
			t.Helper()
			for i, v := range []wire.Visibility{wire.VisibleEveryone, wire.VisibleZone, wire.VisibleNobody} {
				for j, caller := range []*dev{a, pretender, stranger} {
					if got := sees(caller, v); got != want[i][j] {
						t.Errorf("%s, visible to %v, %s: %v", when, v, []string{"member", "pretender", "stranger"}[j], got)
					}
				}
				time.Sleep(2 * time.Second) // for the buckets
			}
		}
		check("owner unknown", [3][3]bool{{true, true, true}, {}, {}})
		stranger.send(&wire.Publish{Request: 1, Object: people.Bytes()})
		if m := one(t, wire.ParsePublished, stranger.received()); m.Status != wire.StatusOK {
			t.Fatalf("publish: %v", m.Status)
		}
		check("owner known", [3][3]bool{{true, true, true}, {true, false, false}, {}})
		for range 24 {
			time.Sleep(200 * time.Second)
			for _, d := range []*dev{a, b, stranger, pretender} {
				d.ping(0)
			}
		}
		check("owner's object expired", [3][3]bool{{true, true, true}, {}, {}})
	})
}

func TestCallerShowsItself(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, b := r.dev(1).shake(), r.online(2)
		for _, c := range []struct {
			visibility wire.Visibility
			candidates []wire.Candidate
			want       int
		}{
			{wire.VisibleEveryone, nil, 1},
			{wire.VisibleEveryone, []wire.Candidate{host("192.0.2.7:1")}, 2},
			{wire.VisibleZone, nil, 0},
			{wire.VisibleNobody, nil, 0},
			{wire.VisibleNobody, []wire.Candidate{host("192.0.2.7:1")}, 2},
		} {
			a.register(c.visibility)
			a.call(wire.Call{Callee: b.id(), Candidates: c.candidates})
			m := one(t, wire.ParseCalled, b.received())
			if len(m.Candidates) != c.want {
				t.Errorf("visible to %v, %d candidates in the call: callee sees %v", c.visibility, len(c.candidates), m.Candidates)
			}
			b.send(&wire.CalledAck{Call: m.Call})
		}
	})
}

func TestShared(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, b := r.online(1), r.dev(2)
		b.addr = netip.AddrPortFrom(a.addr.Addr(), 5)
		b.shake()
		b.register(wire.VisibleEveryone)
		if ans := a.call(wire.Call{Callee: b.id()}); !ans.Shared {
			t.Error("same address, and the caller is not told")
		}
		m := one(t, wire.ParseCalled, b.received())
		if !m.Shared {
			t.Error("same address, and the callee is not told")
		}
		b.send(&wire.CalledAck{Call: m.Call})
		b.register(wire.VisibleNobody)
		if ans := a.call(wire.Call{Callee: b.id()}); ans.Shared {
			t.Error("who hides its address is told to be near")
		}
	})
}

func TestCandidatesFitTheMessage(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, b := r.online(1), r.dev(2).shake()
		var full []wire.Candidate
		for i := range wire.MaxCandidates {
			full = append(full, wire.Candidate{Kind: wire.CandidateHost, Addr: addrOf(1000 + i)})
		}
		full[3].Addr = b.addr // seen by the SN, and an interface's: no NAT
		b.register(wire.VisibleEveryone, full...)
		ans := a.call(wire.Call{Callee: b.id(), Candidates: full})
		if len(ans.Candidates) != wire.MaxCandidates || ans.Candidates[0].Addr != b.addr || ans.Candidates[4] != full[3] || ans.Candidates[7] != full[6] {
			t.Errorf("candidates %v", ans.Candidates)
		}
		m := one(t, wire.ParseCalled, b.received())
		if len(m.Candidates) != wire.MaxCandidates || m.Candidates[0].Addr != a.addr || m.Candidates[7] != full[6] {
			t.Errorf("candidates %v", m.Candidates)
		}
	})
}

func TestCallsAreLimited(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		b := r.online(2)
		count := func(n int, call func(i int) wire.CallReply) (ok int) {
			for i := range n {
				switch ans := call(i); ans.Status {
				case wire.StatusOK:
					ok++
				case wire.StatusTooMany:
				default:
					t.Fatalf("status %v", ans.Status)
				}
			}
			return ok
		}
		// A prefix at one callee: two callers of one /24 share a burst of 20.
		a, a2 := r.online(3), r.online(4)
		callB := func(d *dev) func(int) wire.CallReply {
			return func(int) wire.CallReply { return d.call(wire.Call{Callee: b.id()}) }
		}
		if n := count(15, callB(a)) + count(15, callB(a2)); n != 20 {
			t.Errorf("%d of 30 calls from one prefix, want 20", n)
		}
		far := r.online(3000)
		if n := count(15, callB(far)); n != 15 {
			t.Errorf("%d of 15 calls from another prefix", n)
		}
		time.Sleep(time.Second)
		if n := count(30, callB(a)); n != 10 {
			t.Errorf("%d calls after a second, want 10", n)
		}
		// A caller at many callees: a burst of 50, then 20 a second.
		time.Sleep(10 * time.Second)
		var callees []*dev
		for i := range 60 {
			callees = append(callees, r.online(400+i))
		}
		callAll := func(i int) wire.CallReply { return a.call(wire.Call{Callee: callees[i].id()}) }
		if n := count(60, callAll); n != 50 {
			t.Errorf("%d of 60 calls, want 50", n)
		}
		time.Sleep(time.Second)
		if n := count(60, callAll); n != 20 {
			t.Errorf("%d calls after a second, want 20", n)
		}
	})
}

func TestTablesOfCallsAndPairsAreBounded(t *testing.T) {
	for _, l := range []Limits{{Calls: 64, Callee: Rate{PerSecond: -1}}, {Pairs: 64, Callee: Rate{PerSecond: -1}}} {
		inBubble(t, l, func(t *testing.T, r *rig) {
			b := r.online(2)
			refused := 0
			for i := range 300 {
				ans := r.online(256 * (i + 1)).call(wire.Call{Callee: b.id()})
				if ans.Status == wire.StatusTooMany {
					refused++
				}
			}
			pairs := r.s.pairs.len()
			if n := r.s.calls.len(); l.Calls > 0 && n > l.Calls || l.Pairs > 0 && pairs > l.Pairs {
				t.Errorf("limits %+v: %d calls, %d pairs", l, n, pairs)
			}
			if refused == 0 || r.s.Stats().NoRoom != uint64(refused) {
				t.Errorf("limits %+v: %d of 300 calls were refused, %d counted", l, refused, r.s.Stats().NoRoom)
			}
			time.Sleep(pairLife + 10*sweepInterval)
			if ans := r.online(1).call(wire.Call{Callee: b.id()}); ans.Status != wire.StatusOK {
				t.Errorf("limits %+v: a minute later: %v", l, ans.Status)
			}
		})
	}
}

func TestSignal(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, b, c := r.online(1), r.online(2), r.online(3)
		pkt := a.initiationTo(t, b)
		signal := func(from, to *dev) { from.send(&wire.Signal{To: to.id(), Packet: pkt}) }
		signal(a, b)
		none(t, b.received()) // there was no call
		a.call(wire.Call{Callee: b.id()})
		m := one(t, wire.ParseCalled, b.received())
		b.send(&wire.CalledAck{Call: m.Call})

		signal(a, b)
		if m := one(t, wire.ParseSignalled, b.received()); m.From != a.id() || string(m.Packet) != string(pkt) {
			t.Errorf("signalled %+v", m)
		}
		signal(b, a)
		if m := one(t, wire.ParseSignalled, a.received()); m.From != b.id() {
			t.Errorf("signalled %+v", m)
		}
		signal(c, b)
		signal(a, c)
		a.send(&wire.Signal{To: b.id(), Packet: []byte("not a control packet")})
		none(t, append(b.received(), c.received()...))
		if n := r.s.Stats().NotEntitled; n != 3 {
			t.Errorf("%d signals refused, want 3", n)
		}

		forwarded := 0
		for range 150 {
			signal(a, b)
			forwarded += len(b.received())
		}
		if forwarded != 99 { // burst 100, of which one was used
			t.Errorf("%d of 150 signals were forwarded, want 99", forwarded)
		}
		time.Sleep(pairLife)
		signal(a, b)
		none(t, b.received())
	})
}

func TestNobodyActsAsAnother(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, b, mallory := r.online(1), r.online(2), r.online(3)
		// Sealed under one's own keys, but with another's receiver index.
		for _, m := range []message{
			&wire.Register{Request: 1, Instance: a.instance, Visibility: wire.VisibleNobody},
			&wire.Call{Request: 2, Callee: b.id()},
			&wire.Ping{Request: 3, Instance: a.instance, RTT: time.Hour},
			&wire.Signal{To: b.id(), Packet: mallory.initiationTo(t, b)},
			&wire.ChallengeReply{Token: 1},
		} {
			pkt := mallory.seal(m)
			h, err := wire.ParseSealedHeader(pkt)
			if err != nil {
				t.Fatal(err)
			}
			h.Receiver = a.assoc.RemoteIndex()
			h.Append(pkt[:0])
			r.deliver(a.addr, pkt)
			r.deliver(mallory.addr, pkt)
		}
		none(t, a.received())
		none(t, b.received())
		if p, _ := r.s.devices.peer(a.id()); p.visibility != wire.VisibleEveryone || p.rtt != 0 || p.at.addr != a.addr {
			t.Errorf("registration changed: %+v", p)
		}
		if n := r.s.Stats().Unopened; n != 10 {
			t.Errorf("%d packets did not open, want 10", n)
		}
		// An acknowledgement by another does not silence a call.
		a.call(wire.Call{Callee: b.id()})
		m := one(t, wire.ParseCalled, b.received())
		mallory.send(&wire.CalledAck{Call: m.Call})
		time.Sleep(firstRepeat)
		synctest.Wait()
		one(t, wire.ParseCalled, b.received())
	})
}

package bdt_test

import (
	"context"
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
)

// An SN that keeps to no rule, and is the first in the configuration of both, says
// everything at every moment: before its keys and after, before the registration and
// after, during a call, and while the stacks close. It gains nothing by it: the honest
// session goes on, the honest SN goes on to serve, third parties are left in peace,
// and nothing grows.
func TestHostileSN(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		sn := w.rogueSN("203.0.113.77")
		defer sn.close()
		v := w.victim("198.51.100.99")
		config := func(c *bdt.Config) {
			c.SNs, c.Listen, c.MaxPeers = []identity.Ref{sn.ref, w.ref}, fixedPort, 50
		}
		alice, bob := pair(w, config)
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		alice.ServeEcho()
		s := &siege{world: w, alice: alice, bob: bob, aliceAt: addrOf(alice, aliceHost), bobAt: addrOf(bob, bobHost), rogue: sn.rogue}
		sn.knows(map[identity.ID]netip.AddrPort{alice.ID(): s.aliceAt, bob.ID(): s.bobAt})
		c, err := alice.Dial(context.Background(), bob.ID(), bdt.EchoService)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s.stream = c
		s.exchange()
		caller := w.open("caller", w.public("caller", time.Millisecond, freshAddr()))
		defer closeAll(t, caller)

		goroutines, memory := runtime.NumGoroutine(), heap()
		a := &snAttack{barrage: s.barrage(), sn: sn, victim: v}
		for _, stage := range []struct {
			name              string
			shakes, registers bool
		}{
			{"without keys", false, false},
			{"with keys", true, false},
			{"registered", true, true},
			{"silent again", false, false},
			{"back", true, true},
		} {
			sn.behave(stage.shakes, stage.registers)
			time.Sleep(90 * time.Second)
			if m := sn.member(s.bobAt); stage.shakes && m == nil {
				t.Fatalf("%s: bob has no session with the rogue: this proves nothing", stage.name)
			}
			a.inTheClear(nowhere, s.aliceAt, netip.AddrPortFrom(superNode, 8443)) // in the honest one's name, too
			a.everySealed()
			a.during(func() { // a call that only the rogue can answer
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
				defer cancel()
				if c, err := alice.Dial(ctx, newDevice(t, "nobody").Device.ID(), "x"); err == nil {
					c.Close()
					t.Errorf("%s: dialled nobody", stage.name)
				}
			})
			s.exchange()
			if err := wellServed(alice, w.ref, bob, w.ref); err != "" {
				t.Errorf("%s: %s", stage.name, err)
			}
			ask(t, caller, bob.ID())
		}
		time.Sleep(2 * time.Minute)
		s.exchange()
		if _, sessions, _ := alice.Table(); sessions != 1 {
			t.Errorf("alice has %d sessions", sessions)
		}
		for name, st := range map[string]*bdt.Stack{"alice": alice, "bob": bob} {
			if peers, _, sns := st.Table(); peers > 50+2 || sns > 2 {
				t.Errorf("%s has %d peers and %d SNs", name, peers, sns)
			}
			if n := st.Indices(); n > 200 {
				t.Errorf("%s has %d receiver indices", name, n)
			}
		}
		if n := runtime.NumGoroutine(); n > goroutines+2*50+20 { // a peer has one
			t.Errorf("%d goroutines, %d before", n, goroutines)
		}
		if n := heap(); n > memory+64<<20 {
			t.Errorf("%d MiB, %d before", n>>20, memory>>20)
		}
		a.checkVictim()
		// While they close, too.
		var ends sync.WaitGroup
		ends.Go(func() { alice.Close() })
		ends.Go(func() { bob.Close() })
		a.everySealed()
		ends.Wait()
		a.everySealed()
	})
}

// heap returns the bytes in use.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// wellServed says what is wrong with the registrations at honest SNs.
func wellServed(pairs ...any) string {
	for i := 0; i < len(pairs); i += 2 {
		st, ref := pairs[i].(*bdt.Stack), pairs[i+1].(identity.Ref)
		for _, s := range st.SNs() {
			if s.Ref == ref && s.State != "online" {
				return "a device is " + s.State + " at the honest SN"
			}
		}
	}
	return ""
}

// An snAttack is what a hostile SN says.
type snAttack struct {
	*barrage
	sn     *rogueSN
	victim *victim
	rounds int
}

// everySealed sends every message under true keys, of any length, well-formed, again,
// and from elsewhere.
func (a *snAttack) everySealed() {
	m := a.sn.member(a.bobAt)
	if m == nil {
		return
	}
	a.rounds++
	a.sealed(m.assoc, nowhere, a.aliceAt, a.victim.addr)
	for i := range 300 {
		for _, msg := range a.wellFormed(uint64(i)) {
			b, err := m.assoc.Seal(nil, msg, time.Now())
			if err != nil {
				a.t.Fatal(err)
			}
			a.rogue.send(nowhere, a.bobAt, b)
			a.rogue.send(nowhere, a.bobAt, b) // again
			a.rogue.send(a.victim.addr, a.bobAt, b)
		}
	}
	synctest.Wait()
}

// wellFormed are messages that mean something, and lie.
func (a *snAttack) wellFormed(n uint64) [][]byte {
	here := []wire.Candidate{
		{Kind: wire.CandidateServerReflexive, Addr: a.victim.addr},
		{Kind: wire.CandidateHost, Addr: netip.AddrPortFrom(a.victim.addr.Addr(), uint16(1000+n))},
		{Kind: wire.CandidateHost, Addr: a.aliceAt},
	}
	invented := newDevice(a.t, "invented")
	initiation := a.rogue.initiate(noise.NewLocal(invented), a.bob).Packet()
	overheard := a.rogue.initiate(a.rogue.local, a.alice).Packet() // for another
	list := []interface{ Append([]byte) []byte }{
		&wire.Called{Call: n, Caller: invented.Device.ID(), Candidates: here, Device: invented.Device.Bytes(), Shared: true},
		&wire.Called{Call: n + 1<<32, Caller: invented.Device.ID(), Candidates: here, Initiation: initiation},
		&wire.Called{Call: n + 1<<33, Caller: a.alice.ID(), Candidates: here, Device: a.alice.Device().Bytes()},
		&wire.Called{Call: n + 1<<34, Caller: a.alice.ID(), Candidates: here, Initiation: initiation},
		&wire.Called{Call: n + 1<<35, Caller: a.bob.ID(), Candidates: here, Device: a.bob.Device().Bytes()},
		&wire.Signalled{From: a.alice.ID(), Packet: initiation},
		&wire.Signalled{From: a.alice.ID(), Packet: overheard},
		&wire.Signalled{From: a.alice.ID(), Packet: binary.BigEndian.AppendUint64([]byte{byte(wire.TypeSealed), 1, 0, 0}, n)},
		&wire.Challenge{Token: n},
		&wire.Pong{Request: uint32(n), Reregister: n%2 == 0, Observed: a.victim.addr},
		&wire.Registered{Request: uint32(n), Status: wire.Status(n % 8), Observed: a.victim.addr, Interval: time.Second},
		&wire.Notice{Code: wire.NoticeCode(n % 4)},
		&wire.Goodbye{Reason: "go away"},
	}
	for _, q := range a.sn.pending() {
		list = append(list, &wire.CallReply{Request: q, Status: wire.Status(n % 9), Shared: true, Candidates: here, Device: invented.Device.Bytes()})
	}
	out := make([][]byte, len(list))
	for i, m := range list {
		out[i] = m.Append(nil)
	}
	return out
}

// during attacks while f runs.
func (a *snAttack) during(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	a.everySealed()
	<-done
}

// checkVictim holds what went to the third party to what path.md §3 allows.
func (a *snAttack) checkVictim() {
	a.t.Helper()
	// A call makes bob send an opener and knocks to where the SN says that it saw
	// the caller: at most 8 packets for each of the callers that he hears, 50 a second
	// and 125 a second, of bursts of 100 and 250. All rounds together take less than
	// the time of two such bursts each.
	h := a.victim.haul()
	if limit := a.rounds * 2 * (100 + 250) * 8; h.packets > limit {
		a.t.Errorf("%d packets, %d bytes to the victim, of %v; want at most %d", h.packets, h.bytes, h.types, limit)
	}
	a.t.Logf("in %d rounds of %d lies came %d packets to the victim, of %v", a.rounds, 300*13*3, h.packets, h.types)
}

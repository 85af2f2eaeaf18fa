package snclient_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/sn"
)

// inWorld runs a test in virtual time.
func inWorld(t *testing.T, limits sn.Limits, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t, limits)) })
}

const ms = time.Millisecond

func isSealed(p netsim.Packet) bool { return p.Data[0] == byte(wire.TypeSealed) }

func TestComingOnlineTakesThreeRoundTrips(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms)
		began := time.Now()
		a.start()
		// Describe, handshake, Register.
		if took := time.Since(began); took != 90*ms {
			t.Errorf("online after %v, want 90ms", took)
		}
		if got := a.client.Observed(); got != a.addr() {
			t.Errorf("observed %v, want %v", got, a.addr())
		}
		if got := a.client.RTT(); got != 30*ms {
			t.Errorf("RTT %v, want 30ms", got)
		}
		if got := a.client.Server(); got == nil || got.ID() != w.snID.Device.ID() || a.client.Ref() != w.sn.Ref() {
			t.Errorf("server %v", got)
		}
		time.Sleep(time.Hour)
		if got := a.stateLog(); !slices.Equal(got, []snclient.State{snclient.Online}) {
			t.Errorf("states in an hour: %v", got)
		}
		// One ping at once and then every 25 s, more or less.
		if n := w.sn.Stats().Pings; n < 3600/28 || n > 3600/22+2 {
			t.Errorf("%d pings in an hour", n)
		}
		if n := w.sn.Stats().Registers; n != 1 {
			t.Errorf("%d registers", n)
		}
	})
}

func TestOnlineAgainAfterAnOutage(t *testing.T) {
	t.Run("by itself", func(t *testing.T) { testOutage(t, false) })
	t.Run("told of the network", func(t *testing.T) { testOutage(t, true) })
}

func testOutage(t *testing.T, hurry bool) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms).start()
		a.link.SetDown(true)
		time.Sleep(28*time.Second + 5*time.Second)
		if s := a.client.State(); s != snclient.Offline {
			t.Errorf("state %v", s)
		}
		if _, err := a.client.Call(context.Background(), w.snID.Device.ID(), snclient.CallOptions{}); !errors.Is(err, snclient.ErrOffline) {
			t.Errorf("call while offline: %v", err)
		}
		if err := a.client.Signal(w.snID.Device.ID(), []byte{1}); !errors.Is(err, snclient.ErrOffline) {
			t.Errorf("signal while offline: %v", err)
		}
		time.Sleep(time.Hour)
		a.link.SetDown(false)
		if hurry {
			a.client.Rehome()
			time.Sleep(60 * ms) // the server is known: a handshake and a Register
			synctest.Wait()
			if s := a.client.State(); s != snclient.Online {
				t.Errorf("state %v two round trips after Rehome", s)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 70*time.Second)
		defer cancel()
		if err := a.client.WaitOnline(ctx); err != nil {
			t.Fatalf("70 s after the outage: %v", err)
		}
		synctest.Wait() // the handler is told after the state has changed
		want := []snclient.State{snclient.Online, snclient.Offline, snclient.Online}
		if got := a.stateLog(); !slices.Equal(got, want) {
			t.Errorf("states %v, want %v", got, want)
		}
	})
}

func TestDeadServerIsLeftInPeace(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		w.snLink.SetDown(true)
		a := w.newNode(1, "198.51.100.1", 15*ms)
		a.begin()
		time.Sleep(time.Hour)
		up, _ := a.link.Stats()
		// Four packets a round of 5 s, then a minute's rest.
		if n := up.Packets[netsim.Sent]; n < 3600/66*4 || n > 300 {
			t.Errorf("%d packets to a dead server in an hour", n)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := a.client.WaitOnline(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait online: %v", err)
		}
	})
}

func TestServerOfAnotherIdentityIsNotBelieved(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms)
		ref, err := identity.NewRef(newDevice(t, 77).Device.ID(), w.sn.Ref().Addr)
		if err != nil {
			t.Fatal(err)
		}
		a.config.Ref = ref
		// An impostor answers Describe with a descriptor of its own.
		w.snLink.SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
			if m, err := wire.ParseDescribe(p.Data); err == nil {
				m.ID = w.snID.Device.ID()
				p.Data = m.Append(nil)
			}
			emit(p, 0)
		})
		a.begin()
		time.Sleep(time.Minute)
		if s := w.sn.Stats(); s.Describes == 0 || s.Handshakes != 0 || a.client.State() != snclient.Offline {
			t.Errorf("state %v, server saw %+v", a.client.State(), s)
		}
		if a.client.Server() != nil {
			t.Error("the impostor's descriptor is believed")
		}
	})
}

func TestNameWithSeveralAddresses(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms)
		ref, err := identity.NewRef(w.snID.Device.ID(), "sn.example:8443")
		if err != nil {
			t.Fatal(err)
		}
		a.config.Ref = ref
		a.begin()
		time.Sleep(30 * time.Second)
		if s := a.client.State(); s != snclient.Offline {
			t.Fatalf("state %v though the name does not resolve", s)
		}
		// Two of three addresses are dead, one of a family we have no socket for.
		w.net.SetName("sn.example", netip.MustParseAddr("203.0.113.99"),
			netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr(snAddr))
		time.Sleep(70 * time.Second)
		if s := a.client.State(); s != snclient.Online {
			t.Fatalf("state %v", s)
		}
		// The descriptor is known now: the next time, initiations alone find it.
		w.sn.Close()
		time.Sleep(time.Minute)
		w.startSN()
		time.Sleep(70 * time.Second)
		if s := a.client.State(); s != snclient.Online || w.sn.Stats().Describes != 0 {
			t.Errorf("state %v, %d describes", s, w.sn.Stats().Describes)
		}
	})
}

func TestCookieUnderLoad(t *testing.T) {
	inWorld(t, sn.Limits{Handshakes: 1}, func(t *testing.T, w *world) {
		for n := range byte(4) {
			w.newNode(n+1, netip.AddrFrom4([4]byte{198, 51, 100, n + 1}).String(), 15*ms).start()
		}
		if s := w.sn.Stats(); s.Cookies == 0 || s.Devices != 4 {
			t.Errorf("%d cookies, %d devices", s.Cookies, s.Devices)
		}
	})
}

func TestSecondInstanceSupersedesTheFirst(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms).start()
		time.Sleep(time.Second)
		twin := w.newNode(1, "198.51.100.2", 15*ms).start()
		time.Sleep(time.Hour)
		if a.client.State() != snclient.Superseded || twin.client.State() != snclient.Online {
			t.Errorf("states %v and %v", a.client.State(), twin.client.State())
		}
		if err := a.client.WaitOnline(context.Background()); !errors.Is(err, snclient.ErrSuperseded) {
			t.Errorf("wait online: %v", err)
		}
		if _, err := a.client.Lookup(context.Background(), a.id()); !errors.Is(err, snclient.ErrSuperseded) {
			t.Errorf("lookup: %v", err)
		}
		if n := len(twin.stateLog()); n != 1 {
			t.Errorf("they fought: %v", twin.stateLog())
		}
		a.client.Reregister() // the user wants this one
		time.Sleep(time.Minute)
		if a.client.State() != snclient.Online || twin.client.State() != snclient.Superseded {
			t.Errorf("states %v and %v", a.client.State(), twin.client.State())
		}
	})
}

func TestReregister(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms)
		list := []wire.Candidate{{Kind: wire.CandidateHost, Addr: netip.MustParseAddrPort("192.0.2.1:1")}}
		a.config.Candidates = func() []wire.Candidate { return list }
		a.start()
		b := w.newNode(2, "198.51.100.2", 15*ms).start()
		time.Sleep(time.Second)
		d, err := a.local.Device().Update(a.secret, identity.DeviceBody{Updated: 7000, Name: "renamed"})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.local.SetDevice(d); err != nil {
			t.Fatal(err)
		}
		list = append(list, wire.Candidate{Kind: wire.CandidateMapped, Addr: netip.MustParseAddrPort("192.0.2.2:2")})
		a.client.Reregister()
		time.Sleep(30 * ms)
		synctest.Wait()
		r, err := b.client.Call(context.Background(), a.id(), snclient.CallOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Device.Name() != "renamed" || len(r.Candidates) != 3 || r.Candidates[2] != list[1] {
			t.Errorf("reply %+v", r)
		}
		if n := w.sn.Stats().Registers; n != 3 {
			t.Errorf("%d registers, want 3", n)
		}
	})
}

func TestServerRestart(t *testing.T) {
	for _, crash := range []bool{true, false} {
		inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
			a := w.newNode(1, "198.51.100.1", 15*ms).start()
			b := w.newNode(2, "198.51.100.2", 15*ms).start()
			time.Sleep(time.Second)
			w.snLink.SetDown(crash) // a crash says nothing
			w.sn.Close()
			w.snLink.SetDown(false)
			w.startSN()
			if crash {
				// The first packet earns a hint, and the device is back after a
				// handshake and a Register; then what was asked is asked again.
				began := time.Now()
				if _, err := a.client.Lookup(context.Background(), a.id()); err != nil {
					t.Fatalf("lookup at a server that has restarted: %v", err)
				}
				if took := time.Since(began); took != 4*30*ms {
					t.Errorf("lookup took %v, want 120ms", took)
				}
				if n := w.sn.Stats().Devices; n != 1 {
					t.Errorf("%d devices", n)
				}
				return
			}
			time.Sleep(3 * time.Second) // they look for it after 2.5 s at the latest
			if n := w.sn.Stats().Devices; n != 2 {
				t.Errorf("%d of 2 devices are back after 3 s", n)
			}
			if _, err := a.client.Call(context.Background(), b.id(), snclient.CallOptions{}); err != nil {
				t.Error(err)
			}
			for _, x := range []*node{a, b} {
				if got := x.stateLog(); !slices.Equal(got, []snclient.State{snclient.Online}) {
					t.Errorf("states %v", got)
				}
			}
		})
	}
}

// Hints prove nothing: forged ones cost a handshake in 5 s at most, and nothing
// is lost.
func TestForgedHints(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms).start()
		var index uint32
		a.link.SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
			emit(p, 0)
			if p.Src != a.addr() || !isSealed(p) {
				return
			}
			if h, err := wire.ParseSealedHeader(p.Data); err == nil {
				index = h.Receiver
			}
			for range 10 {
				hint := wire.Hint{Receiver: index}
				emit(netsim.Packet{Src: p.Dst, Dst: p.Src, HopLimit: 64, Data: hint.Append(nil)}, 0)
				hint.Receiver++
				emit(netsim.Packet{Src: p.Dst, Dst: p.Src, HopLimit: 64, Data: hint.Append(nil)}, 0)
			}
		})
		before := w.sn.Stats().Handshakes
		for range 600 {
			time.Sleep(100 * ms)
			a.client.Reregister() // a packet that is answered by forged hints
		}
		s := w.sn.Stats()
		if n := s.Handshakes - before; n > 13 {
			t.Errorf("%d handshakes in a minute", n)
		}
		if got := a.stateLog(); !slices.Equal(got, []snclient.State{snclient.Online}) || s.Devices != 1 {
			t.Errorf("states %v, %d devices", got, s.Devices)
		}
	})
}

// A handshake that a forged hint has caused and that fails takes nothing with it.
func TestForgedHintAndFailedHandshake(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms).start()
		initiations := 0
		a.link.SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
			if p.Data[0] == byte(wire.TypeInitiation) {
				initiations++
				return
			}
			emit(p, 0)
			if h, err := wire.ParseSealedHeader(p.Data); err == nil && p.Src == a.addr() {
				hint := wire.Hint{Receiver: h.Receiver}
				emit(netsim.Packet{Src: p.Dst, Dst: p.Src, HopLimit: 64, Data: hint.Append(nil)}, 0)
			}
		})
		for range 4 {
			time.Sleep(time.Minute)
			if _, err := a.client.Lookup(context.Background(), a.id()); err != nil {
				t.Error(err)
			}
		}
		if got := a.stateLog(); !slices.Equal(got, []snclient.State{snclient.Online}) || initiations < 8 {
			t.Errorf("states %v after %d initiations", got, initiations)
		}
	})
}

// The NAT forgets the mapping between pings, and gives another port each time.
func TestRebindingNAT(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		nat := w.net.NAT("nat", netsim.NATConfig{
			Filtering: netsim.AddressAndPortDependent, Ports: netsim.RandomPort, Timeout: 10 * time.Second,
		})
		netsim.Must(w.net.Connect(nat, w.core, netsim.LinkConfig{Delay: 10 * ms}, "198.51.100.7"))
		host := w.net.Host("inside")
		link := netsim.Must(w.net.Connect(host, nat, netsim.LinkConfig{Delay: 5 * ms}, "198.18.1.2/24"))
		a := w.newNodeOn(host, link, newDevice(t, 1)).start()
		b := w.newNode(2, "198.51.100.2", 15*ms).start()
		first := a.client.Observed()
		time.Sleep(28*time.Second + 3*30*ms)
		if got := a.client.Observed(); got == first || got.Addr() != first.Addr() {
			t.Fatalf("observed %v, before %v", got, first)
		}
		if s := w.sn.Stats(); s.Moves == 0 {
			t.Errorf("%d moves, %d challenges", s.Moves, s.Challenges)
		}
		if got := a.stateLog(); !slices.Equal(got, []snclient.State{snclient.Online, snclient.Online}) {
			t.Errorf("states %v, want Online and once more for the new address", got)
		}
		// While the mapping lives, a call comes through it.
		if _, err := b.client.Call(context.Background(), a.id(), snclient.CallOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := len(a.calls()); n != 1 {
			t.Errorf("called %d times", n)
		}
		// A call of its own after another silence: the answer takes the challenge
		// and a repeat, a round trip each.
		time.Sleep(11 * time.Second)
		began := time.Now()
		if _, err := a.client.Call(context.Background(), b.id(), snclient.CallOptions{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 60*ms {
			t.Errorf("the call took %v, want at most 60ms", took)
		}
	})
}

func TestClose(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms).start()
		w.snLink.SetDown(true)
		done := make(chan error)
		go func() {
			_, err := a.client.Lookup(context.Background(), a.id())
			done <- err
		}()
		synctest.Wait()
		a.client.Close()
		if err := <-done; !errors.Is(err, snclient.ErrClosed) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("a lookup that was under way: %v", err)
		}
		if _, err := a.client.Call(context.Background(), a.id(), snclient.CallOptions{}); !errors.Is(err, snclient.ErrClosed) {
			t.Errorf("call: %v", err)
		}
		if err := a.client.WaitOnline(context.Background()); !errors.Is(err, snclient.ErrClosed) {
			t.Errorf("wait online: %v", err)
		}
		if n := a.table.Len(); n != 0 {
			t.Errorf("%d receiver indices are not given back", n)
		}
		if a.client.State() != snclient.Closed || a.client.Close() != nil {
			t.Error("not closed")
		}
		never := snclient.New(a.config)
		never.Close()
		if never.State() != snclient.Closed {
			t.Error("a client that was not started does not close")
		}
	})
}

// The end of the context given to Start ends the client as well.
func TestStartContext(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms)
		a.config.Indices = a.table.For(a)
		a.client = snclient.New(a.config)
		ctx, cancel := context.WithCancel(context.Background())
		a.client.Start(ctx)
		time.Sleep(10 * ms)
		cancel()
		if err := a.client.WaitOnline(context.Background()); !errors.Is(err, snclient.ErrClosed) {
			t.Errorf("wait online: %v", err)
		}
		a.client.Close()
	})
}

// A clock that was set back does not keep a device away (docs/spec/handshake.md
// §3).
func TestStampOfThePast(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms)
		a.config.Stamper = noise.NewStamper(1<<62, nil) // a device that came from the future
		a.start()
		a.client.Close()
		a.config.Stamper = noise.NewStamper(0, nil) // and lost its memory
		a.start()
		if s := w.sn.Stats(); s.Handshakes != 3 {
			t.Errorf("%d handshakes, want one, a stale one, and its retry", s.Handshakes)
		}
	})
}

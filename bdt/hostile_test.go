package bdt_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
)

const aliceHost, bobHost = "203.0.113.11", "203.0.113.12"

var (
	nowhere   = netip.AddrPort{} // the rogue's true source
	invented  = netip.MustParseAddr("198.18.0.1")
	superNode = netip.MustParseAddr("203.0.113.1")
)

// A siege is a pair of honest devices with a session that must go on, and a
// rogue.
type siege struct {
	*world
	alice, bob     *bdt.Stack
	aliceAt, bobAt netip.AddrPort
	rogue          *rogue
	stream         *bdt.Conn // from alice to bob's echo
	goroutines     int
}

// besiege runs f while alice and bob talk, and checks that they still do, over
// the same session, and that f has cost them nothing that stays.
func besiege(t *testing.T, f func(s *siege), change ...func(*bdt.Config)) {
	t.Helper()
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		s := &siege{world: w}
		// What finds out the keepalive interval would be counted among the goroutines.
		change = append(change, func(c *bdt.Config) { c.KeepAlive = 25 * time.Second })
		s.alice, s.bob = pair(w, change...)
		defer closeAll(t, s.alice, s.bob)
		s.aliceAt, s.bobAt = addrOf(s.alice, aliceHost), addrOf(s.bob, bobHost)
		s.bob.ServeEcho()
		c, err := s.alice.Dial(context.Background(), s.bob.ID(), bdt.EchoService)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s.stream = c
		s.exchange()
		s.rogue = w.rogue("203.0.113.66")
		defer s.rogue.close()
		s.goroutines = runtime.NumGoroutine()
		f(s)
		s.exchange()
		for name, st := range map[string]*bdt.Stack{"alice": s.alice, "bob": s.bob} {
			other := map[string]*bdt.Stack{"alice": s.bob, "bob": s.alice}[name]
			e, _ := st.Explain(other.ID())
			n := 0
			for _, l := range e.Lines {
				if l.Text == "session open" {
					n++
				}
			}
			if n != 1 || e.Peer.State != "connected" {
				explain(t, st, other.ID())
				t.Errorf("%s had %d sessions with the other, and is %s", name, n, e.Peer.State)
			}
		}
		time.Sleep(time.Minute)
		if n := runtime.NumGoroutine(); n > s.goroutines+20 {
			t.Errorf("%d goroutines, %d before", n, s.goroutines)
		}
	})
}

// exchange has a kilobyte go to bob and back, in the time of a lost packet at most.
func (s *siege) exchange() {
	s.t.Helper()
	want := make([]byte, 1000)
	io.ReadFull(pattern(1), want)
	s.stream.SetDeadline(time.Now().Add(time.Minute))
	took := elapsed(func() {
		if _, err := s.stream.Write(want); err != nil {
			s.t.Fatalf("the honest session: %v", err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(s.stream, got); err != nil || !slices.Equal(got, want) {
			s.t.Fatalf("the honest session: %v", err)
		}
	})
	if took > 500*time.Millisecond {
		s.t.Errorf("the honest session took %v to answer", took)
	}
}

// Who holds keys can invent sources without end, also that of another peer. The
// paths stay bounded, as does what is sent there.
func TestInventedSources(t *testing.T) {
	besiege(t, func(s *siege) {
		// Of what goes to invented addresses nothing is more than what came from
		// them, but for the probes of path.md §3: 128, and 4 a second.
		var came, went atomic.Int64
		strange := netip.MustParsePrefix("198.18.0.0/15")
		s.links["bob"].SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
			switch {
			case strange.Contains(p.Src.Addr()):
				came.Add(int64(len(p.Data)))
			case strange.Contains(p.Dst.Addr()):
				went.Add(int64(len(p.Data)))
			}
			emit(p, 0)
		})
		a := s.rogue.shake(s.bob, s.bobAt)
		const n = 5000
		addr := invented
		for i := range n {
			m := wire.Probe{Token: uint64(i), Nominated: i%2 == 0}
			s.rogue.seal(a, netip.AddrPortFrom(addr, 4000), s.bobAt, m.Append(nil))
			if i%100 == 0 {
				s.rogue.seal(a, s.aliceAt, s.bobAt, m.Append(nil))
				s.exchange()
			}
			addr = addr.Next()
		}
		start := time.Now()
		time.Sleep(time.Minute)
		probes := int64(128 + 4*(time.Since(start)/time.Second+10))
		if came.Load() == 0 || went.Load() > came.Load()+probes*100 {
			s.t.Errorf("%d bytes came from invented addresses, %d went there", came.Load(), went.Load())
		}
		e, ok := s.bob.Explain(s.rogue.id())
		if !ok || len(e.Paths) > 32 {
			s.t.Errorf("%d paths to the rogue", len(e.Paths))
		}
		if len(e.Lines) > 256+64 {
			s.t.Errorf("a record of %d lines", len(e.Lines))
		}
	})
}

// Nobody can call as another: an initiation that carries another's descriptor
// is not answered, nor is one that was overheard of any use.
func TestCallAsAnother(t *testing.T) {
	besiege(t, func(s *siege) {
		victim := newDevice(s.t, "victim")
		impostor := noise.NewLocal(&identity.LocalDevice{Secret: s.rogue.device.Secret, Device: victim.Device})
		asAlice := noise.NewLocal(&identity.LocalDevice{Secret: s.rogue.device.Secret, Device: s.alice.Device()})
		for range 20 {
			s.rogue.send(nowhere, s.bobAt, s.rogue.initiate(impostor, s.bob).Packet())
			s.rogue.send(s.aliceAt, s.bobAt, s.rogue.initiate(asAlice, s.bob).Packet())
		}
		time.Sleep(time.Second)
		if len(s.rogue.inbox) != 0 {
			s.t.Errorf("%d answers to an impostor", len(s.rogue.inbox))
		}
		if _, known := s.bob.Peer(victim.Device.ID()); known {
			s.t.Error("the callee believes in the victim's call")
		}
	})
}

// Nobody can answer for another: whoever sits at the address that a ticket
// names, and whatever is answered there, the dial fails.
func TestAnswerForAnother(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice := w.open("alice", w.public("alice", time.Millisecond, aliceHost), noSN)
		defer closeAll(t, alice)
		at := addrOf(alice, aliceHost)
		r := w.rogue("203.0.113.66")
		defer r.close()
		for _, known := range []bool{false, true} {
			victim := newDevice(t, "victim")
			ticket := identity.Ticket{ID: victim.Device.ID(), Endpoints: []netip.AddrPort{r.conn.LocalAddr()}}
			if known {
				ticket.Device = victim.Device
			}
			if err := alice.Learn(ticket); err != nil {
				t.Fatal(err)
			}
			stop := make(chan struct{})
			var answered atomic.Int64
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					select {
					case b := <-r.inbox:
						answered.Add(1)
						r.send(nowhere, at, impersonate(r, victim.Device, b))
					case <-stop:
						return
					}
				}
			})
			_, err := alice.Dial(context.Background(), victim.Device.ID(), "x")
			if !errors.Is(err, bdt.ErrUnreachable) {
				t.Errorf("descriptor known %v: %v", known, err)
			}
			close(stop)
			wg.Wait()
			if answered.Load() == 0 {
				t.Error("the rogue was not asked: this proves nothing")
			}
			if p, _ := alice.Peer(victim.Device.ID()); p.Name == "rogue" {
				t.Error("the rogue's descriptor was taken for the victim's")
			}
		}
		time.Sleep(10 * time.Minute)
		if n := alice.Describes(); n > 256 {
			t.Errorf("%d descriptors asked for", n)
		}
	})
}

// impersonate answers a control packet as well as one can without the key.
func impersonate(r *rogue, victim *identity.Device, b []byte) []byte {
	if m, err := wire.ParseDescribe(b); err == nil {
		d := wire.Described{Nonce: m.Nonce, Device: r.device.Device.Bytes()}
		return d.Append(nil)
	}
	if m, err := wire.ParseInitiation(b); err == nil {
		resp := wire.Response{Sender: 77, Receiver: m.Sender, Noise: make([]byte, 300)}
		if rand.IntN(2) == 0 {
			c := wire.CookieReply{Receiver: m.Sender}
			return c.Append(nil)
		}
		return resp.Append(nil)
	}
	return (&wire.Hint{Receiver: binary.BigEndian.Uint32(b[4:])}).Append(nil)
}

// A wiretap keeps a copy of what passes a link.
type wiretap struct {
	mu      sync.Mutex
	packets []netsim.Packet
}

func (x *wiretap) tamper(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
	x.mu.Lock()
	c := p
	c.Data = slices.Clone(p.Data)
	x.packets = append(x.packets, c)
	x.mu.Unlock()
	emit(p, 0)
}

// of returns the packets of a type.
func (x *wiretap) of(t wire.Type) (list []netsim.Packet) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range x.packets {
		if got, err := wire.ControlType(p.Data); err == nil && got == t {
			list = append(list, p)
		}
	}
	return list
}

// Everything that a session consisted of, sent again after it and to either
// end, opens no session and leaves no key.
func TestReplayedSession(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		var tap wiretap
		host := w.net.Host("alice")
		link := netsim.Must(w.net.Connect(host, w.core, netsim.LinkConfig{Delay: time.Millisecond}, aliceHost))
		link.SetTamper(tap.tamper)
		alice := w.open("alice", host)
		bob := w.open("bob", w.public("bob", time.Millisecond, bobHost))
		l := listen(t, bob, "s")
		for range 3 {
			a, b := connect(t, alice, l)
			io.WriteString(a, "hello")
			readByte(b)
			time.Sleep(time.Second)
			a.Close()
		}
		bobAt := addrOf(bob, bobHost)
		r := w.rogue("203.0.113.66")
		defer r.close()
		alice.Close()
		time.Sleep(time.Minute)
		opened := sessionsOpened(bob)
		before := bob.Indices()
		if len(tap.of(wire.TypeInitiation)) == 0 {
			t.Fatal("no initiation on the tap")
		}
		tap.mu.Lock()
		packets := tap.packets
		tap.mu.Unlock()
		for range 5 {
			for _, p := range packets {
				r.send(nowhere, bobAt, p.Data)
				r.send(p.Src, bobAt, p.Data)
			}
			time.Sleep(7 * time.Second)
		}
		if n := sessionsOpened(bob); n != opened {
			t.Errorf("%d sessions by replay", n-opened)
		}
		if _, sessions, _ := bob.Table(); sessions != 0 {
			t.Errorf("%d sessions", sessions)
		}
		time.Sleep(time.Minute)
		if n := bob.Indices(); n != before {
			t.Errorf("%d indices in use, %d before", n, before)
		}
		closeAll(t, alice, bob)
	})
}

// Handshakes of the honest peer that are sent again during its session change
// nothing.
func TestReplayDuringSession(t *testing.T) {
	besiege(t, func(s *siege) {
		tap := new(wiretap)
		hint := wire.Hint{Receiver: s.tapAlice(tap)()}
		s.rogue.send(s.bobAt, s.aliceAt, hint.Append(nil)) // so that there is a handshake on the tap
		time.Sleep(time.Second)
		initiations, responses := tap.of(wire.TypeInitiation), tap.of(wire.TypeResponse)
		if len(initiations) == 0 || len(responses) == 0 {
			s.t.Fatal("no handshake on the tap")
		}
		for range 5 {
			for _, p := range initiations {
				s.rogue.send(nowhere, s.bobAt, p.Data)
				s.rogue.send(s.aliceAt, s.bobAt, p.Data)
			}
			for _, p := range responses {
				s.rogue.send(nowhere, s.aliceAt, p.Data)
				s.rogue.send(s.bobAt, s.aliceAt, p.Data)
			}
			s.exchange()
			time.Sleep(4 * time.Second)
		}
	})
}

// A hint proves nothing: forged ones, for the very index in use, cause a
// handshake now and then, and the session goes on.
func TestForgedHints(t *testing.T) {
	besiege(t, func(s *siege) {
		tap := new(wiretap)
		index := s.tapAlice(tap)
		for range 20 {
			m := wire.Hint{Receiver: index()}
			for range 10 {
				s.rogue.send(s.bobAt, s.aliceAt, m.Append(nil))
				s.rogue.send(nowhere, s.aliceAt, m.Append(nil))
			}
			s.exchange()
			time.Sleep(time.Second)
		}
		senders := map[uint32]bool{}
		for _, p := range tap.of(wire.TypeInitiation) {
			if m, err := wire.ParseInitiation(p.Data); err == nil && p.Dst == s.bobAt {
				senders[m.Sender] = true
			}
		}
		if n := len(senders); n < 1 || n > 5 {
			s.t.Errorf("%d handshakes in 20 s of hints, want one in 5 s", n)
		}
	})
}

// Forged responses in the peer's name, for the index of a handshake that a
// forged hint has brought about, do not take the session's packets away.
func TestForgedResponse(t *testing.T) {
	besiege(t, func(s *siege) {
		tap := new(wiretap)
		index := s.tapAlice(tap)
		pending := make(chan uint32, 64)
		s.links["alice"].SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
			if t, _ := wire.ControlType(p.Data); t == wire.TypeResponse && p.Src == s.bobAt && len(p.Data) != forgedLen {
				return // the true one is lost
			}
			if p.Src.Addr() == superNode {
				return // it takes no other way
			}
			if m, err := wire.ParseInitiation(p.Data); err == nil && p.Dst == s.bobAt {
				pending <- m.Sender
			}
			emit(p, 0)
		})
		m := wire.Hint{Receiver: index()}
		s.rogue.send(s.bobAt, s.aliceAt, m.Append(nil))
		forged := wire.Response{Sender: 77, Receiver: <-pending, Noise: make([]byte, 300)}
		packet := forged.Append(nil)
		if len(packet) != forgedLen {
			s.t.Fatalf("forged %d bytes", len(packet))
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 5 {
				s.exchange()
			}
		}()
		for {
			select {
			case <-done:
				s.links["alice"].SetTamper(nil)
				return
			case <-time.After(100 * time.Microsecond):
				s.rogue.send(s.bobAt, s.aliceAt, packet)
			}
		}
	})
}

const forgedLen = 12 + 300 + wire.MACsLen

// tapAlice taps alice's link, and returns what tells the index under which she
// seals packets to bob now.
func (s *siege) tapAlice(tap *wiretap) (index func() uint32) {
	s.links["alice"].SetTamper(tap.tamper)
	time.Sleep(30 * time.Second) // a keepalive probe passes
	return func() uint32 {
		s.t.Helper()
		for _, p := range slices.Backward(tap.of(wire.TypeSealed)) {
			if h, err := wire.ParseSealedHeader(p.Data); err == nil && p.Dst == s.bobAt {
				return h.Receiver
			}
		}
		s.t.Fatal("no sealed packet on the tap")
		return 0
	}
}

// Many devices that shake hands and vanish do not keep others out, nor do they
// make the table grow.
func TestManyRogues(t *testing.T) {
	const limit = 8
	besiege(t, func(s *siege) {
		for range 200 {
			s.rogue.device = newDevice(s.t, "rogue")
			s.rogue.local = noise.NewLocal(s.rogue.device)
			s.rogue.send(nowhere, s.bobAt, s.rogue.initiate(s.rogue.local, s.bob).Packet())
			time.Sleep(50 * time.Millisecond)
		}
		if n := len(s.bob.Peers()); n > limit {
			s.t.Errorf("%d peers, of %d", n, limit)
		}
		s.exchange()
		time.Sleep(20 * time.Second)
		carol := s.open("carol", s.public("carol", time.Millisecond, "203.0.113.13"))
		defer closeAll(s.t, carol)
		ask(s.t, carol, s.bob.ID())
	}, func(c *bdt.Config) { c.MaxPeers = limit })
}

// A flood of streams without headers from one device does not touch another's.
func TestStreamFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		mallory := s.open("mallory", s.public("mallory", time.Millisecond, "203.0.113.13"))
		defer closeAll(s.t, mallory)
		for range 2000 {
			st, err := mallory.RawStream(context.Background(), s.bob.ID())
			if err != nil {
				s.t.Fatal(err)
			}
			if _, err := st.Write([]byte{1}); err != nil {
				s.t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if n := runtime.NumGoroutine(); n > s.goroutines+bdt.MaxHeaders+100 {
			s.t.Errorf("%d goroutines, %d before", n, s.goroutines)
		}
		s.exchange()
		if _, err := s.alice.Ping(context.Background(), s.bob.ID()); err != nil {
			s.t.Errorf("a new stream of another device: %v", err)
		}
	})
}

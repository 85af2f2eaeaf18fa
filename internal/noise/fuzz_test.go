package noise

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// FuzzReadInitiation reads packets that anybody can make, and payloads that only
// the owner of a key can.
func FuzzReadInitiation(f *testing.F) {
	alice, bob := newLocal(f, 1), newLocal(f, 2)
	good := initiate(f, alice, bob, Offer{Index: 1, Engines: allEngines, Early: []byte("early")})
	f.Add(good.Packet(), false)
	payload := wire.InitiationPayload{Stamp: 1, Engines: allEngines, Device: alice.Device().Bytes(), Early: []byte("early")}
	f.Add(payload.Append(nil), true)
	f.Add([]byte{}, true)
	static := bob.Device().NoiseKey()
	f.Fuzz(func(t *testing.T, b []byte, genuine bool) {
		alice, bob := newLocal(t, 1), newLocal(t, 2) // the same choices each time
		pkt := bytes.Clone(b)
		if genuine {
			state, err := alice.handshake(bob.ID(), static[:])
			if err != nil {
				t.Fatal(err)
			}
			message, _, _, err := state.WriteMessage(nil, b)
			if err != nil {
				return // longer than Noise allows
			}
			m := wire.Initiation{Sender: 1, Noise: message}
			pkt = m.Append(nil)
		}
		if len(pkt) >= wire.MACsLen {
			putMAC1(pkt, bob.macKey)
		}
		in, err := bob.ReadInitiation(pkt)
		if err != nil {
			return
		}
		if in.Device.ID() != alice.ID() {
			t.Fatalf("initiation of %v, who made none", in.Device.ID())
		}
		if _, _, err := in.Accept(Accept{Index: 2}); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzReadResponse: nothing that is not genuine spoils the true response.
func FuzzReadResponse(f *testing.F) {
	bob := newLocal(f, 2)
	payload := wire.ResponsePayload{Kind: wire.ResponseAccept, Engine: wire.EngineQUIC, Device: bob.Device().Bytes()}
	f.Add(payload.Append(nil), true)
	payload = wire.ResponsePayload{Kind: wire.ResponseStale, Stamp: 7}
	f.Add(payload.Append(nil), true)
	f.Add(make([]byte, 200), false)
	f.Fuzz(func(t *testing.T, b []byte, genuine bool) {
		alice, bob := newLocal(t, 1), newLocal(t, 2) // the same choices each time
		i := initiate(t, alice, bob, Offer{Index: 1, Engines: allEngines})
		in := read(t, bob, i.Packet())
		if genuine {
			message, _, _, err := in.noise.WriteMessage(nil, b)
			if err != nil {
				return
			}
			answer, err := i.ReadResponse(respondWith(alice.ID(), wire.Response{Sender: 2, Receiver: 1, Noise: message}))
			if err == nil && (answer.Association != nil) != (answer.Payload.Kind == wire.ResponseAccept) {
				t.Fatalf("association without agreement, or the other way round: %+v", answer)
			}
			return
		}
		pkt := bytes.Clone(b)
		if len(pkt) >= wire.MACsLen {
			putMAC1(pkt, alice.macKey)
		}
		if _, err := i.ReadResponse(pkt); err == nil {
			t.Fatal("accepted a response that nobody made")
		}
		good, _ := accept(t, in, Accept{Index: 2})
		if _, err := i.ReadResponse(good); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzOpen: nothing opens but what was sealed, whatever came before it.
func FuzzOpen(f *testing.F) {
	a, b := associate(f, newLocal(f, 1), newLocal(f, 2))
	f.Add(seal(f, a, "message", start))
	f.Add(seal(f, b, "message", start))
	f.Add([]byte{byte(wire.TypeSealed), wire.Version, 0, 1})
	f.Fuzz(func(t *testing.T, pkt []byte) {
		a, b := associate(t, newLocal(t, 1), newLocal(t, 2)) // the same keys each time
		good := seal(t, a, "message", start)
		pkt = bytes.Clone(pkt)
		if len(pkt) >= wire.SealedHeaderLen {
			copy(pkt, []byte{byte(wire.TypeSealed), wire.Version})
			copy(pkt[4:], []byte{0, 0, 0, byte(b.LocalIndex())})
		}
		if bytes.Equal(pkt, good) {
			return
		}
		if msg, err := b.Open(nil, pkt, start); err == nil {
			t.Fatalf("opened %x to %q", pkt, msg)
		}
		open(t, b, good, "message", start)
	})
}

// FuzzGate admits packets made of the fuzzer's bytes at its times and from its
// sources, and holds the gate to its bounds.
func FuzzGate(f *testing.F) {
	bob := newLocal(f, 2)
	f.Add([]byte{0, 1, 2, 3, 0, 1, 2, 3, 1, 1, 1, 1})
	f.Add(bytes.Repeat([]byte{0, 0, 9, 9}, 50))
	f.Fuzz(func(t *testing.T, b []byte) {
		const budget, responses = 4, 8
		g := NewGate(bob.ID(), GateConfig{Budget: budget, Responses: responses})
		now := start
		for ; len(b) >= 4; b = b[4:] {
			now = now.Add(time.Duration(b[0]&0x1f) * 100 * time.Millisecond)
			from := sourceNumber(int(b[1] & 7))
			if b[1] == 0xff {
				from = netip.AddrPort{}
			}
			pkt := forgedInitiation(bob, int(b[2]))
			switch b[3] & 3 {
			case 1:
				putMAC2(pkt, cookieOf(&g.jar.secrets[b[3]>>2&1], from))
			case 2:
				pkt = flip(pkt, int(b[3]))
			case 3:
				pkt = pkt[:len(pkt)*int(b[3])/256]
			}
			switch v := g.Admit(now, pkt, from); v.Action {
			case Reply:
				if len(v.Packet) == 0 || len(v.Packet) > len(pkt) {
					t.Fatalf("%d bytes answered by %d", len(pkt), len(v.Packet))
				}
			case Process:
				switch b[0] >> 6 {
				case 0:
					g.Remember(v.Hash, []byte("response"), from)
				case 1:
					g.Forget(v.Hash)
				}
			}
			if len(g.order) > responses || len(g.seen) > len(g.order) {
				t.Fatalf("%d initiations seen, %d in order", len(g.seen), len(g.order))
			}
		}
		most := 3 * budget * (now.Sub(start).Seconds() + 1)
		if c := g.Counts(); float64(c.Processed) > most {
			t.Fatalf("%d processed in %v", c.Processed, now.Sub(start))
		}
	})
}

// FuzzExchange lets the fuzzer choose what happens to two devices: which packets
// arrive, when, changed or twice, who dials, restarts, refuses, what is forged.
// Afterwards the network works, and they must come to one association.
func FuzzExchange(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 1, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0})
	f.Add([]byte{0, 1, 0, 4, 1, 2, 0, 0, 3, 9, 4, 0, 5, 0, 1, 6, 0, 4, 0, 7, 1, 4, 0, 3, 200})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 500 {
			return
		}
		choose := func(n int) int {
			if len(b) == 0 {
				return 0
			}
			c := int(b[0]) % n
			b = b[1:]
			return c
		}
		w := newWorld(t, choose)
		w.delay = time.Second
		for len(b) > 0 {
			fuzzStep(w, w.nodes[choose(2)], choose)
			w.check()
		}
		w.lossy, w.duplicates, w.mutates = false, false, false
		for _, d := range w.nodes {
			d.next, d.refuses = w.now, false
		}
		w.nodes[0].dial()
		w.after(40 * time.Second)
		if err := w.agreed(); err != nil {
			t.Fatal(err)
		}
	})
}

// fuzzStep does one thing to d.
func fuzzStep(w *world, d *node, choose func(int) int) {
	switch choose(8) {
	case 0:
		d.dial()
	case 1:
		w.now = w.now.Add(time.Duration(choose(256)) * 50 * time.Millisecond)
		d.x.Expire(w.now)
	case 2:
		d.tick()
	case 3, 4:
		if n := len(w.flights); n > 0 {
			w.deliver(choose(n))
		}
	case 5:
		if n := len(w.flights); n > 0 { // a copy, perhaps changed
			pkt := w.flights[choose(n)].pkt
			if choose(2) == 0 {
				pkt = flip(pkt, choose(len(pkt)))
			}
			d.receive(pkt)
		}
	case 6:
		switch choose(4) {
		case 0:
			d.restart()
		case 1:
			d.refuses = !d.refuses
		case 2:
			d.x.Drop()
		case 3:
			w.lossy, w.duplicates, w.mutates = choose(2) == 0, choose(2) == 0, choose(2) == 0
		}
	case 7:
		if c := d.x.Current(); c != nil {
			d.receive((&wire.Hint{Receiver: c.RemoteIndex()}).Append(nil))
		}
	}
}

package bdt_test

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
)

// A barrage is all that can be sent to bob.
type barrage struct {
	*siege
	rng *rand.Rand
}

func (s *siege) barrage() *barrage { return &barrage{s, rand.New(rand.NewPCG(1, 2))} }

func (a *barrage) junk(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(a.rng.Uint32())
	}
	return b
}

// inTheClear sends every control packet, and what is none, from each of the sources.
func (a *barrage) inTheClear(sources ...netip.AddrPort) {
	for first := range 256 {
		for _, n := range []int{0, 3, 8, 64, 700, 1100} {
			b := append([]byte{byte(first), wire.Version, 0, 0}, a.junk(n)...)
			for _, from := range sources {
				a.rogue.send(from, a.bobAt, b)
			}
		}
	}
}

// sealed sends every message under true keys, of any length.
func (a *barrage) sealed(keys *noise.Association, sources ...netip.AddrPort) {
	for first := range 64 {
		for _, n := range []int{0, 1, 4, 9, 18, 27, 130, 161, 700} {
			msg := append([]byte{byte(first)}, a.junk(n)...)
			if n == 0 && wire.MessageType(first) == wire.MsgGoodbye {
				continue
			}
			for _, from := range sources {
				a.rogue.seal(keys, from, a.bobAt, msg)
			}
		}
	}
	a.rogue.seal(keys, nowhere, a.bobAt, nil)
}

// Every message of the registry, whole, cut and garbled, in the clear and
// sealed, before the keys and after, from one's own address and another's.
func TestEveryMessageAtEveryMoment(t *testing.T) {
	besiege(t, func(s *siege) {
		a := s.barrage()
		a.inTheClear(nowhere, s.aliceAt)
		keys := s.rogue.shake(s.bob, s.bobAt)
		a.inTheClear(nowhere, s.aliceAt) // between the response and its confirmation
		a.sealed(keys, nowhere, s.aliceAt)
		s.exchange()
		m := wire.Goodbye{Reason: "and back again"}
		s.rogue.seal(keys, nowhere, s.bobAt, m.Append(nil))
		a.sealed(keys, nowhere, s.aliceAt)
		s.exchange()
		time.Sleep(time.Minute) // bob may be calling the rogue back
		a.sealed(s.rogue.shake(s.bob, s.bobAt), nowhere, s.aliceAt)
	})
}

// The same while the honest session sleeps, and while it wakes: it takes no longer.
func TestEveryMessageWhileDormant(t *testing.T) {
	besiege(t, func(s *siege) {
		a := s.barrage()
		for range 3 {
			time.Sleep(10 * time.Minute)
			keys := s.rogue.shake(s.bob, s.bobAt)
			a.sealed(keys, nowhere, s.aliceAt)
			a.inTheClear(nowhere, s.aliceAt)
			s.exchange()
			time.Sleep(10 * time.Minute)
			var waking sync.WaitGroup
			waking.Go(s.exchange)
			a.sealed(keys, nowhere, s.aliceAt)
			waking.Wait()
		}
	})
}

// The same while bob dials the rogue himself, who answers with everything but what
// is right, and while a device closes.
func TestEveryMessageWhileDialledAndClosing(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		s := &siege{world: w}
		s.alice, s.bob = pair(w)
		defer closeAll(t, s.alice, s.bob)
		s.aliceAt, s.bobAt = addrOf(s.alice, aliceHost), addrOf(s.bob, bobHost)
		s.rogue = w.rogue("203.0.113.66")
		defer s.rogue.close()
		s.bob.ServeEcho()
		ask(t, s.alice, s.bob.ID())
		acquaintAt(t, s.bob, s.rogue.id(), s.rogue.conn.LocalAddr())
		a := s.barrage()
		for range 2 {
			var dialling sync.WaitGroup
			dialling.Go(func() {
				if c, err := s.bob.Dial(t.Context(), s.rogue.id(), "x"); err == nil {
					c.Close()
					t.Error("dialled one who knows no keys")
				}
			})
			time.Sleep(100 * time.Millisecond)
			a.inTheClear(nowhere, s.aliceAt)
			ask(t, s.alice, s.bob.ID())
			dialling.Wait()
		}
		keys := s.rogue.shake(s.bob, s.bobAt)
		a.sealed(keys, nowhere)
		var closing sync.WaitGroup
		closing.Go(func() { s.bob.Close() })
		a.sealed(keys, nowhere, s.aliceAt)
		a.inTheClear(nowhere, s.aliceAt)
		closing.Wait()
		if peers, sessions, _ := s.bob.Table(); sessions != 0 {
			t.Errorf("%d peers, %d sessions after Close", peers, sessions)
		}
	})
}

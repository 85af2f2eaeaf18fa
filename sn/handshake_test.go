package sn

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
)

func TestCopyOfInitiationIsAnsweredAlike(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d := r.dev(1)
		i := d.initiation()
		r.deliver(d.addr, i.Packet())
		r.deliver(d.addr, i.Packet())
		out := r.sock.take(d.addr)
		if len(out) != 2 || string(out[0]) != string(out[1]) {
			t.Errorf("%d answers, which must be two that are equal", len(out))
		}
		if st := r.s.Stats(); st.Handshakes != 1 || r.s.sessions.Len() != 1 {
			t.Errorf("%d handshakes, %d sessions", st.Handshakes, r.s.sessions.Len())
		}
	})
}

func TestOldInitiationIsStale(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d := r.dev(1)
		i := d.initiation()
		r.deliver(d.addr, i.Packet())
		r.sock.take(d.addr)
		time.Sleep(11 * time.Second) // its response is no longer remembered
		r.deliver(d.addr, i.Packet())
		out := r.sock.take(d.addr)
		if len(out) != 1 {
			t.Fatalf("%d packets", len(out))
		}
		a, err := i.ReadResponse(out[0])
		if err != nil || a.Payload.Kind != wire.ResponseStale || a.Payload.Stamp != i.Stamp() || a.Association != nil {
			t.Errorf("answer to a replay: %+v, %v", a, err)
		}
		if n := r.s.sessions.Len(); n != 0 {
			t.Errorf("%d sessions", n)
		}
	})
}

func TestSessionThatDoesNotRegisterIsForgotten(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		silent, pinging := r.dev(1).shake(), r.dev(2).shake()
		r.online(3)
		for range 4 {
			pinging.ping(0)
			time.Sleep(freshLife / 5)
		}
		none(t, silent.received())
		if r.s.sessions.Len() != 3 {
			t.Fatalf("%d sessions, want 3", r.s.sessions.Len())
		}
		time.Sleep(freshLife/5 + sweepInterval)
		if n := r.s.sessions.Len(); n != 1 {
			t.Errorf("%d sessions after %v, want that of the registered device alone", n, freshLife)
		}
	})
}

func TestPendingHandshakesAreBounded(t *testing.T) {
	inBubble(t, Limits{Pending: 3}, func(t *testing.T, r *rig) {
		for n := range 3 {
			r.dev(256 * n).shake() // each of a network of its own
		}
		late := r.dev(256 * 9)
		i := late.initiation()
		r.deliver(late.addr, i.Packet())
		if out := r.sock.take(late.addr); len(out) != 0 || r.s.Stats().NoRoom != 1 {
			t.Errorf("handshake beyond the limit: %d answers, %d refused", len(out), r.s.Stats().NoRoom)
		}
		time.Sleep(freshLife + sweepInterval)
		late.shake()
	})
}

func TestForgedInitiations(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d, other := r.dev(1), newLocal(t, 2, identity.ID{})

		// The initiation of one device, with the descriptor of another.
		mixed := noise.NewLocal(&identity.LocalDevice{Secret: d.secret, Device: other.Device})
		i, err := mixed.Initiate(r.self.Device, noise.Offer{Index: 1, Stamp: 1})
		if err != nil {
			t.Fatal(err)
		}
		r.deliver(d.addr, i.Packet())

		// One for another server.
		i, err = d.local.Initiate(other.Device, noise.Offer{Index: 1, Stamp: 1})
		if err != nil {
			t.Fatal(err)
		}
		r.deliver(d.addr, i.Packet())

		// One with a byte changed, for each byte. Changes to mac2 alone do not
		// matter while the server is not under load.
		good := d.initiation().Packet()
		for at := range len(good) - 16 {
			bad := append([]byte(nil), good...)
			bad[at] ^= 0x10
			r.deliver(d.addr, bad)
		}
		if out := r.sock.take(d.addr); len(out) != 0 {
			t.Errorf("%d answers to forged initiations", len(out))
		}
		if st := r.s.Stats(); r.s.sessions.Len() != 0 || st.Handshakes != 1 {
			t.Errorf("%d sessions; %d initiations cost Diffie–Hellman, want the one with a right mac1",
				r.s.sessions.Len(), st.Handshakes)
		}
	})
}

// A flood from forged sources costs no more than the budget, and no device that
// is known loses anything by it.
func TestFloodOfInitiations(t *testing.T) {
	const budget, flood = 50, 3000
	inBubble(t, Limits{Handshakes: budget}, func(t *testing.T, r *rig) {
		known := []*dev{r.online(1), r.online(2)}
		attacker := r.dev(3)
		began := time.Now()
		before := r.s.Stats().Handshakes
		first := attacker.initiation().Packet()
		pongs := 0
		for i := range flood {
			// Each is new to the server: the sender index, in a packet whose
			// mac1 is right. The id is public, so anybody can make them.
			pkt := remac(first, uint32(i+1), r.self.Device.ID())
			r.s.handleControl(place{r.sock, addrOf(100 + i)}, pkt)
			if i%100 == 0 {
				for _, d := range known {
					pongs += len(d.ping(0))
				}
			}
			time.Sleep(time.Millisecond)
		}
		seconds := time.Since(began).Seconds()
		st := r.s.Stats()
		if max := uint64(budget * (seconds + 1)); st.Handshakes-before > max || st.Handshakes == before {
			t.Errorf("%d handshakes were tried in %.1f s, want some and at most %d", st.Handshakes-before, seconds, max)
		}
		if st.Cookies < flood/2 {
			t.Errorf("%d cookie replies to %d initiations", st.Cookies, flood)
		}
		if want := len(known) * flood / 100; pongs != want {
			t.Errorf("known devices got %d pongs, want %d", pongs, want)
		}
		if n := r.s.sessions.Len(); n != len(known) {
			t.Errorf("%d sessions", n)
		}
		// A newcomer gets in with a cookie.
		d := r.dev(4)
		i := d.initiation()
		for n := range 100 { // use up what the budget has gained
			r.s.handleControl(place{r.sock, addrOf(100 + n)}, remac(first, uint32(flood+n+1), r.self.Device.ID()))
		}
		r.deliver(d.addr, i.Packet())
		out := r.sock.take(d.addr)
		if len(out) != 1 {
			t.Fatalf("%d packets", len(out))
		}
		if len(out[0]) > len(i.Packet()) {
			t.Errorf("%d bytes earned %d", len(i.Packet()), len(out[0]))
		}
		reply, err := wire.ParseCookieReply(out[0])
		if err != nil {
			t.Fatalf("under load an initiation earned %v: %v", wire.Type(out[0][0]), err)
		}
		again, err := i.PacketWithCookie(reply)
		if err != nil {
			t.Fatal(err)
		}
		r.deliver(d.addr, again)
		if out = r.sock.take(d.addr); len(out) != 1 {
			t.Fatalf("initiation with a cookie earned %d packets", len(out))
		}
		if _, err := i.ReadResponse(out[0]); err != nil {
			t.Error(err)
		}
	})
}

// An initiation that was dropped because the workers were busy is no repeat when
// it comes again.
func TestInitiationAfterOverload(t *testing.T) {
	inBubble(t, Limits{Workers: 1}, func(t *testing.T, r *rig) {
		release := make(chan struct{})
		for range queueLimit + 1 {
			r.s.enqueue(func() { <-release })
			synctest.Wait()
		}
		d := r.dev(1)
		i := d.initiation()
		r.deliver(d.addr, i.Packet())
		if n := r.s.Stats().Overload; n != 1 {
			t.Fatalf("%d jobs dropped, want the initiation", n)
		}
		close(release)
		synctest.Wait()
		r.deliver(d.addr, i.Packet())
		if out := r.sock.take(d.addr); len(out) != 1 {
			t.Errorf("the copy earned %d packets", len(out))
		}
	})
}

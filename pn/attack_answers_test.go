package pn

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// TestAnswersAreNoLonger: whatever a packet is, and wherever it claims to come from, it has no more
// bytes sent to an address that has not been proven.
func TestAnswersAreNoLonger(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		rng := rand.New(rand.NewPCG(1, 2))
		victim := netip.MustParseAddrPort("[2001:db8::1]:53")
		sent := func(what string, b []byte) {
			t.Helper()
			size := len(b)
			r.deliver(victim, b)
			got := 0
			for _, p := range r.conn.take(victim) {
				got += len(p)
			}
			if got > size {
				t.Errorf("%s: %d bytes earn %d", what, size, got)
			}
			time.Sleep(2 * time.Second) // what is limited is allowed again
		}
		for b := range 256 {
			for range 20 {
				p := make([]byte, 1+rng.IntN(1500))
				for i := range p {
					p[i] = byte(rng.Uint32())
				}
				p[0] = byte(b)
				sent("garbage", bytes.Clone(p))
				if len(p) > 4 {
					p[1], p[2], p[3] = 1, 0, 0
					sent("garbage of the version", p)
				}
			}
		}
		sent("describe", (&wire.Describe{ID: r.self.Device.ID()}).Append(nil))
		d := r.dev(1)
		i := d.initiation().Packet()
		sent("initiation", i)
		sent("its copy", i)
		d.shake()
		sent("stale initiation", i)
		// A device that claims to be elsewhere has challenges sent there.
		peer := r.dev(2).id()
		for _, m := range []message{
			raw{0x7f}, &wire.Ping{}, &wire.Unbind{}, &wire.ChallengeReply{}, raw(bytes.Repeat([]byte{0x7e}, 100)),
			&wire.Bind{Tag: tagOf(1), Peer: peer, Pays: true}, &wire.Bind{Tag: tagOf(1), Peer: identity.ID{}},
			&wire.Goodbye{},
		} {
			sent("sealed", d.seal(m))
			r.conn.take(d.addr)
		}
	})
}

// raw is a message of no layout.
type raw []byte

func (m raw) Append(b []byte) []byte { return append(b, m...) }

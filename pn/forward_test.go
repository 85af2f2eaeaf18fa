package pn

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/underlay"
)

// Runs pass as they came, cut only where the tag changes, and whatever else is among
// the packets is dealt with in its place.
func TestRuns(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, b, tag := r.pair(1)
		_, d, other := r.pair(2)
		// a is in a second binding, with d.
		third := tagOf(3)
		a.bind(third, d.id(), true)
		d.bind(third, a.id(), false)
		a.received()
		join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
		for _, c := range []struct {
			name     string
			run      []byte
			size     int
			toB, toD []int // lengths of the runs that leave
		}{
			{"one packet", relayed(tag, 100), 0, []int{100}, nil},
			{"header alone", relayed(tag, 20), 0, nil, nil},
			{"a run with a short end", join(relayed(tag, 100), relayed(tag, 100), relayed(tag, 21)), 100, []int{221}, nil},
			{"a run whose end is no packet", join(relayed(tag, 100), relayed(tag, 100)[:20]), 100, []int{100}, nil},
			{"two tags", join(relayed(tag, 100), relayed(tag, 100), relayed(third, 100), relayed(tag, 50)), 100, []int{200, 50}, []int{100}},
			{"control between", join(relayed(tag, 49), a.seal(&wire.Ping{}), relayed(tag, 49)), 49, []int{49, 49}, nil},
			{"a tag of others", relayed(other, 100), 0, nil, nil},
		} {
			in := bytes.Clone(c.run)
			r.deliverRun(a.addr, c.run, c.size)
			lengths := func(packets [][]byte) (n []int) {
				for _, p := range packets {
					n = append(n, len(p))
				}
				return n
			}
			if got := lengths(r.conn.take(b.addr)); !slices.Equal(got, c.toB) {
				t.Errorf("%s: %v to b, want %v", c.name, got, c.toB)
			}
			if got := lengths(r.conn.take(d.addr)); !slices.Equal(got, c.toD) {
				t.Errorf("%s: %v to d, want %v", c.name, got, c.toD)
			}
			if !bytes.Equal(in, c.run) {
				t.Errorf("%s: the worker writes to what it forwards", c.name)
			}
		}
		if pongs := a.received(); len(pongs) != 1 {
			t.Errorf("%d answers to a ping among relayed packets", len(pongs))
		}
	})
}

// A full outbox is written before the batch is over, and a destination that fails keeps
// nobody else from being served.
func TestOutbox(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, b, tag := r.pair(1)
		c, d, other := r.pair(2)
		r.conn.err = func(to netip.AddrPort) error {
			if to == d.addr {
				return errors.New("no route")
			}
			return nil
		}
		var batch []underlay.Datagram
		for range 60 {
			batch = append(batch, underlay.Datagram{Data: relayed(tag, 100), Addr: a.addr},
				underlay.Datagram{Data: relayed(other, 100), Addr: c.addr})
		}
		r.w.handle(batch)
		if got := len(r.conn.take(b.addr)); got != 60 {
			t.Errorf("%d packets of 60 arrived", got)
		}
		if st := r.s.Stats(); st.Packets != 60 || st.DropSend != 60 || st.Bytes != 6000 {
			t.Errorf("%+v", st)
		}
	})
}

// A copy of a device's packet that comes first, from elsewhere, moves nothing, and neither
// does a replay of its answer to a challenge.
func TestCopies(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, b, tag := r.pair(1)
		thief := addrOf(100)
		ping := a.seal(&wire.Ping{Request: 9})
		r.deliver(thief, ping)
		if m := one(t, wire.ParsePong, a.received()); m.Observed != a.addr {
			t.Errorf("pong says %v", m.Observed)
		}
		c := one(t, wire.ParseChallenge, a.receivedAt(thief))
		r.deliver(a.addr, ping) // comes late, and is a replay
		if got := a.received(); len(got) != 0 {
			t.Errorf("a replay is answered with %v", got)
		}
		relay := func(from netip.AddrPort) int {
			r.deliver(from, relayed(tag, 100))
			return len(r.conn.take(b.addr))
		}
		if relay(thief) != 0 || relay(a.addr) != 1 {
			t.Error("forwards from the thief, or not from the device")
		}
		// The device answers from where it is: that is not where the challenge went.
		answer := a.seal(&wire.ChallengeReply{Token: c.Token})
		r.deliver(a.addr, answer)
		r.deliver(thief, answer)
		if relay(thief) != 0 || relay(a.addr) != 1 {
			t.Error("a replayed answer has moved the device")
		}
		// What the thief makes up is no answer either.
		time.Sleep(2 * time.Second)
		r.deliver(thief, a.seal(&wire.Ping{Request: 10})) // copied
		c = one(t, wire.ParseChallenge, a.receivedAt(thief))
		a.received()
		forged := a.seal(&wire.ChallengeReply{Token: c.Token})
		forged[len(forged)-1]++
		r.deliver(thief, forged)
		if relay(thief) != 0 || relay(a.addr) != 1 {
			t.Error("a forged answer has moved the device")
		}
		// The device moves there itself.
		r.deliver(thief, a.seal(&wire.ChallengeReply{Token: c.Token}))
		if relay(thief) != 1 || relay(a.addr) != 0 {
			t.Error("has not moved")
		}
	})
}

// A response that went to several sources proves none of them.
func TestSpread(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d := r.dev(1)
		i := d.initiation()
		r.deliver(d.addr, i.Packet())
		response := r.conn.take(d.addr)[0]
		r.deliver(addrOf(2), i.Packet())
		if got := r.conn.take(addrOf(2)); len(got) != 1 || !bytes.Equal(got[0], response) {
			t.Fatalf("a copy of the initiation earned %d packets", len(got))
		}
		a, err := i.ReadResponse(response)
		if err != nil {
			t.Fatal(err)
		}
		d.assoc = a.Association
		d.send(&wire.Bind{Request: 1, Tag: tagOf(1), Peer: r.self.Device.ID(), Pays: true})
		c := one(t, wire.ParseChallenge, d.received())
		if st := r.s.Stats(); st.Pairs != 0 || st.Unproven != 1 {
			t.Errorf("%+v", st)
		}
		d.send(&wire.ChallengeReply{Token: c.Token})
		if m := d.bind(tagOf(1), newLocal(t, 5).Device.ID(), true); m.Status != wire.StatusOK {
			t.Errorf("bind: %v", m.Status)
		}
	})
}

// Tables that are full refuse, and one session cannot ask for too much.
func TestBounds(t *testing.T) {
	inBubble(t, Limits{PerSession: 3, Payers: 2, Sessions: 8}, func(t *testing.T, r *rig) {
		peer := newLocal(t, 1000).Device.ID()
		a := r.dev(1).shake()
		for i := range 5 {
			want := wire.StatusOK
			if i >= 3 {
				want = wire.StatusTooMany
			}
			if m := a.bind(tagOf(i), peer, true); m.Status != want {
				t.Errorf("bind %d: %v", i, m.Status)
			}
		}
		if m := a.bind(tagOf(0), peer, true); m.Status != wire.StatusOK {
			t.Errorf("a repeat: %v", m.Status)
		}
		r.dev(2).shake().bind(tagOf(10), peer, true)
		c := r.dev(3).shake()
		if m := c.bind(tagOf(11), peer, true); m.Status != wire.StatusTooMany {
			t.Errorf("a third payer: %v", m.Status)
		}
		if m := c.bind(tagOf(11), peer, false); m.Status != wire.StatusOK {
			t.Errorf("who does not pay: %v", m.Status)
		}
		limited := 0
		for range 100 {
			if m := c.bind(tagOf(11), peer, false); m.Status == wire.StatusTooMany {
				limited++
			}
		}
		if limited != 100-50+2 {
			t.Errorf("%d of 100 binds at once are too many", limited)
		}
		// Half of the table is all that one network gets.
		d := r.dev(4)
		r.deliver(d.addr, r.dev(4).initiation().Packet())
		r.deliver(d.addr, r.dev(5).initiation().Packet())
		r.deliver(d.addr, r.dev(6).initiation().Packet())
		if st := r.s.Stats(); st.Sessions > 5 || st.NoRoom == 0 {
			t.Errorf("%+v", st)
		}
	})
}

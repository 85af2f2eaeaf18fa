package pn

import (
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// TestHeldBackBind: a network that holds back a Bind of a session that its device has left, until
// the device has bound from where it is now, does not take the binding there.
func TestHeldBackBind(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, b, tag := r.pair(1)
		held := a.seal(&wire.Bind{Request: 9, Tag: tag, Peer: b.id(), Pays: true})
		was := *a
		a.addr = addrOf(1000)
		a.shake()
		if m := a.bind(tag, b.id(), true); m.Status != wire.StatusOK || !m.Ready {
			t.Fatalf("from the new place: %+v", m)
		}
		r.deliver(was.addr, held)
		if got := was.received(); len(got) != 0 {
			t.Errorf("the session that was left is answered: %v", got)
		}
		r.deliver(a.addr, relayed(tag, 100))
		if got := len(r.conn.take(b.addr)); got != 1 {
			t.Error("what the device sends is not forwarded any more")
		}
		r.deliver(b.addr, relayed(tag, 100))
		if len(r.conn.take(a.addr)) != 1 || len(r.conn.take(was.addr)) != 0 {
			t.Error("the binding has gone back to where the device was")
		}
		was.send(&wire.Unbind{Tag: tag})
		was.send(&wire.Goodbye{})
		if st := r.s.Stats(); st.Pairs != 1 {
			t.Error("the session that was left has ended the binding")
		}
	})
}

// TestSessionLeft: what a device has bound anew by another session counts no more for the one
// before.
func TestSessionLeft(t *testing.T) {
	inBubble(t, Limits{PerSession: 4}, func(t *testing.T, r *rig) {
		a := r.dev(1).shake()
		later := *a
		later.shake()
		peer := r.dev(2).id()
		for i := range 10 {
			tag := tagOf(i)
			if m := a.bind(tag, peer, true); m.Status != wire.StatusOK {
				t.Fatalf("binding %d: %v", i, m.Status)
			}
			later.bind(tag, peer, true)
			later.send(&wire.Unbind{Tag: tag})
			time.Sleep(time.Second)
		}
		for _, x := range r.s.sessions.Part(0, 1) {
			if n := x.count(); n != 0 {
				t.Errorf("a session holds %d bindings that are over", n)
			}
		}
	})
}

// TestTokenRenewed: a payer that has shown a newer token in time is admitted by that.
func TestTokenRenewed(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		cfg := r.s.cfg
		cfg.Admission = Admission{Tokens: true}
		if _, err := r.s.Reload(cfg); err != nil {
			t.Fatal(err)
		}
		a, b, tag := r.dev(1).shake(), r.dev(2).shake(), tagOf(1)
		show := func(valid time.Duration) {
			token, err := NewToken(r.self.Secret, a.id(), r.self.Device.ID(), time.Now().Add(valid), 1)
			if err != nil {
				t.Fatal(err)
			}
			a.send(&wire.Bind{Request: 1, Pays: true, Tag: tag, Peer: b.id(), Token: token})
			if m := one(t, wire.ParseBound, a.received()); m.Status != wire.StatusOK {
				t.Fatalf("with a token: %v", m.Status)
			}
		}
		last := func(d time.Duration) {
			for range d / (10 * time.Second) {
				time.Sleep(10 * time.Second)
				r.deliver(a.addr, relayed(tag, 100))
				r.deliver(b.addr, relayed(tag, 100))
				r.conn.take(a.addr)
				r.conn.take(b.addr)
			}
		}
		show(2 * time.Minute)
		b.bind(tag, a.id(), false)
		a.received()
		last(time.Minute)
		show(10 * time.Minute)
		last(8 * time.Minute)
		if st := r.s.Stats(); st.Pairs != 1 {
			t.Error("the binding ended with the first token")
		}
		last(6 * time.Minute)
		if st := r.s.Stats(); st.Pairs != 0 {
			t.Error("the binding did not end with the second token")
		}
	})
}

// TestHalvesOfOthers: what others have begun counts for a session as what it has begun itself.
func TestHalvesOfOthers(t *testing.T) {
	inBubble(t, Limits{PerSession: 3}, func(t *testing.T, r *rig) {
		d := r.dev(1).shake()
		bound := 0
		for i := range 6 {
			other, tag := r.dev(10+i).shake(), tagOf(i)
			other.bind(tag, d.id(), true)
			if m := d.bind(tag, other.id(), false); m.Status == wire.StatusOK {
				bound++
			} else if m.Status != wire.StatusTooMany {
				t.Errorf("bind %d: %v", i, m.Status)
			}
		}
		if bound != 3 {
			t.Errorf("a session has %d bindings, of 3", bound)
		}
		if m := d.bind(tagOf(0), r.dev(10).id(), false); m.Status != wire.StatusOK || !m.Ready {
			t.Errorf("a repeat: %+v", m)
		}
	})
}

// TestHalvesOfStrangers: those who are admitted find room for bindings, from however many networks
// strangers hold halves for which nobody pays.
func TestHalvesOfStrangers(t *testing.T) {
	inBubble(t, Limits{Pairs: 64}, func(t *testing.T, r *rig) {
		peer := newLocal(t, 1<<20).Device.ID()
		for n := range 8 { // networks
			d := r.dev(256 * (n + 1)).shake()
			for i := range 40 {
				d.bind(tagOf(20_000+1000*n+i), peer, false)
			}
			time.Sleep(3 * time.Second)
		}
		if got := r.s.Stats().Pairs; got > 16 {
			t.Errorf("strangers hold %d of 64 places", got)
		}
		a, b, tag := r.pair(1)
		b.send(&wire.Unbind{Tag: tag})
		a.received()
		// A half for which somebody pays after all, and one that ends, make room for another.
		time.Sleep(halfLife + 10*time.Second)
		c, d := r.dev(5000).shake(), r.dev(5001).shake()
		for i := range 20 {
			tag := tagOf(5000 + i)
			if m := c.bind(tag, d.id(), false); m.Status != wire.StatusOK {
				t.Fatalf("half %d: %v", i, m.Status)
			}
			if m := d.bind(tag, c.id(), true); m.Status != wire.StatusOK || !m.Ready {
				t.Fatalf("paid %d: %+v", i, m)
			}
			c.received()
		}
		if n := r.s.pairs.unpaid.Len(); n != 0 {
			t.Errorf("%d halves count as unpaid", n)
		}
	})
}

package pn

import (
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// TestPayersOfOneNetwork: identities cost nothing. However many of one network pay, and are
// remembered for the rest of their day, there is room for those of others.
func TestPayersOfOneNetwork(t *testing.T) {
	inBubble(t, Limits{Payers: 16, PayerDaily: 1 << 20}, func(t *testing.T, r *rig) {
		use := func(n, at int) wire.Status {
			a, b := r.dev(2*n), r.dev(2*n+1)
			a.addr, b.addr = addrOf(2*at), addrOf(2*at+1)
			a.shake()
			b.shake()
			tag := tagOf(n)
			m := a.bind(tag, b.id(), true)
			if m.Status != wire.StatusOK {
				return m.Status
			}
			b.bind(tag, a.id(), false)
			a.received()
			r.deliver(a.addr, relayed(tag, 100))
			r.conn.take(b.addr)
			b.send(&wire.Unbind{Tag: tag})
			a.received()
			return m.Status
		}
		paid := 0
		for n := range 20 {
			if use(n, n) == wire.StatusOK {
				paid++
			}
		}
		if paid != 8 {
			t.Errorf("%d of one network have paid, of 16 places", paid)
		}
		if got := use(100, 1000); got != wire.StatusOK {
			t.Errorf("one of another network: %v", got)
		}
		time.Sleep(day + time.Minute)
		if got := r.s.accounts.len(); got != 0 {
			t.Errorf("%d accounts are remembered after a day", got)
		}
		if got := use(101, 1); got != wire.StatusOK {
			t.Errorf("one of the network a day later: %v", got)
		}
	})
}

// TestQuotaRaised: who has used up its day may go on when the operator gives it more.
func TestQuotaRaised(t *testing.T) {
	inBubble(t, Limits{PayerDaily: 100_000}, func(t *testing.T, r *rig) {
		a, b, tag := r.pair(1)
		for range 101 {
			r.deliver(a.addr, relayed(tag, 1000))
		}
		r.conn.take(b.addr)
		time.Sleep(10 * time.Second)
		if m := one(t, wire.ParseUnbound, a.received()); m.Reason != wire.UnboundQuota {
			t.Fatalf("ended: %v", m.Reason)
		}
		b.received()
		if m := a.bind(tag, b.id(), true); m.Status != wire.StatusTooMany {
			t.Errorf("on the same day: %v", m.Status)
		}
		cfg := r.s.cfg
		cfg.Limits.PayerDaily = 200_000
		if _, err := r.s.Reload(cfg); err != nil {
			t.Fatal(err)
		}
		if m := a.bind(tag, b.id(), true); m.Status != wire.StatusOK {
			t.Errorf("with more to use: %v", m.Status)
		}
		b.bind(tag, a.id(), false)
		a.received()
		for range 101 {
			r.deliver(a.addr, relayed(tag, 1000))
		}
		if got := len(r.conn.take(b.addr)); got != 100 {
			t.Errorf("%d packets of a second 100 kB", got)
		}
	})
}

// TestDroppedCountsForNothing: what one limit drops uses up no other: neighbours in a
// zone that take all of its rate must not use up a payer's day.
func TestDroppedCountsForNothing(t *testing.T) {
	set := &settings{
		pair:  rateOf(1 << 30),
		payer: tariff{rateOf(1 << 30), 1 << 20},
		zone:  tariff{rateOf(minRate), 1 << 30},
	}
	p := &pair{payer: new(account), zone: new(account)}
	const run = 10_000
	now, passed := time.Duration(0), int64(0)
	for range 200 {
		if set.spend(p, run, now) == fateForwarded {
			passed += run
		}
	}
	if passed == 0 || passed > 2*longestRun {
		t.Fatalf("%d bytes have passed", passed)
	}
	if p.payer.used.Load() != passed || p.zone.used.Load() != passed {
		t.Errorf("%d bytes have passed: the payer has used %d, the zone %d", passed, p.payer.used.Load(), p.zone.used.Load())
	}
	if most := set.pair.cost(int(passed)); time.Duration(p.rate.full.Load()) > most {
		t.Errorf("the binding's bucket lacks %v, want %v", time.Duration(p.rate.full.Load()), most)
	}
	// Nor does what is over the payer's day use up the zone's.
	set.zone.rate = rateOf(1 << 30)
	for range 200 {
		if set.spend(p, run, now) == fateForwarded {
			passed += run
		}
	}
	if p.payer.used.Load() != passed || p.zone.used.Load() != passed || passed > 1<<20 {
		t.Errorf("%d bytes have passed: the payer has used %d, the zone %d", passed, p.payer.used.Load(), p.zone.used.Load())
	}
}

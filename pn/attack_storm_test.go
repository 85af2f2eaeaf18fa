package pn

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
)

// A stormer is a device that does as it likes, beside others: several may be the same.
type stormer struct {
	*dev
	rng  *rand.Rand
	base int // of its addresses
	next int
	live []*dev // its sessions
}

// shakeAgain begins a session at an address of its own. One with a later stamp may be first.
func (x *stormer) shakeAgain() {
	for {
		d := *x.dev
		d.addr = addrOf(x.base + x.next%256)
		x.next++
		i := d.initiation()
		d.r.deliver(d.addr, i.Packet())
		for _, p := range d.r.conn.take(d.addr) {
			if a, err := i.ReadResponse(p); err == nil && a.Association != nil {
				d.assoc = a.Association
				d.send(&wire.Ping{})
				x.live = append(x.live, &d)
				return
			}
		}
	}
}

// leave says goodbye by one of the sessions.
func (x *stormer) leave(i int) {
	x.live[i].send(&wire.Goodbye{})
	x.live = append(x.live[:i], x.live[i+1:]...)
}

// act does one thing.
func (x *stormer) act(peers []*noise.Local) {
	if len(x.live) == 0 || len(x.live) < 4 && x.rng.IntN(10) == 0 {
		x.shakeAgain()
	}
	d := x.live[x.rng.IntN(len(x.live))]
	tag := tagOf(x.rng.IntN(6))
	switch x.rng.IntN(20) {
	case 0:
		x.leave(x.rng.IntN(len(x.live)))
	case 1, 2, 3:
		d.send(&wire.Unbind{Tag: tag})
	case 4, 5, 6, 7:
		d.r.deliverRun(d.addr, relayed(tag, 100), 0)
	default:
		d.send(&wire.Bind{Request: 1, Tag: tag, Peer: peers[x.rng.IntN(len(peers))].ID(), Pays: x.rng.IntN(2) == 0})
	}
}

// TestStorm: whatever devices do at once, by however many sessions, while the keeper sweeps and the
// operator reloads: when all have gone nothing is left of them in any table.
func TestStorm(t *testing.T) {
	const devices, stormers = 3, 6
	acts := 800
	if testing.Short() {
		acts = 300
	}
	r := newRig(t, Limits{Handshakes: -1, Pairs: 64, PerSession: 4, PayerDaily: 1 << 40, Bandwidth: 1 << 20})
	var peers []*noise.Local
	var stampers []*noise.Stamper
	for n := range devices {
		peers = append(peers, r.dev(n).local)
		stampers = append(stampers, noise.NewStamper(0, nil))
	}
	var wg, keeper sync.WaitGroup
	for n := range stormers {
		own := *r
		own.w = &worker{s: r.s, l: r.s.listeners[0], conn: r.conn, out: []outbox{{conn: r.conn}}}
		d := own.dev(n % devices)
		d.stamper = stampers[n%devices]
		x := &stormer{dev: d, rng: rand.New(rand.NewPCG(1, uint64(n))), base: 256 * n}
		wg.Go(func() {
			for range acts {
				x.act(peers)
			}
			for len(x.live) > 0 {
				x.leave(0)
			}
		})
	}
	stop := make(chan struct{})
	keeper.Go(func() {
		for part := 0; ; part = (part + 1) % sweepParts {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			now := time.Since(r.s.start)
			late := now + time.Duration(part%2)*(halfLife+time.Second) // every other time halves are too old
			r.s.sweepPairs(part, late, true)
			r.s.sweepSessions(part, now)
			r.s.accounts.sweep(r.s.settings.Load(), now)
			if _, err := r.s.Reload(r.s.cfg); err != nil {
				t.Error(err)
			}
			r.s.Stats()
		}
	})
	wg.Wait()
	close(stop)
	keeper.Wait()
	r.wait()
	st := r.s.Stats()
	if st.Pairs != 0 || st.Sessions != 0 || st.Met == 0 || len(r.conn.bytes) == 0 {
		t.Errorf("%d bindings and %d sessions are left; %d met, %d devices got something", st.Pairs, st.Sessions, st.Met, len(r.conn.bytes))
	}
	for i := range r.s.pairs.shards {
		if n := len(r.s.pairs.shards[i].m); n != 0 {
			t.Errorf("%d bindings are left in a table", n)
		}
	}
	for _, a := range r.s.accounts.m {
		if a.refs != 0 {
			t.Errorf("%d bindings are left of an account", a.refs)
		}
	}
	if n := len(r.s.sessions.Part(0, 1)); n != 0 {
		t.Errorf("%d sessions are left in the table", n)
	}
}

package pn

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/quota"
	"github.com/bdtnet/bdt/internal/wire"
)

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkMemoryPerPair binds b.N pairs of devices, of which each has a session of its own and
// one of each pair an account, and reports what memory each pair takes. Run it with -benchtime 100000x:
// the handshakes take most of the time.
func BenchmarkMemoryPerPair(b *testing.B) {
	r := newRig(b, Limits{Handshakes: -1, Sessions: 1 << 22, Pairs: 1 << 22, Payers: 1 << 22})
	r.conn.keep = false
	before := heap()
	var wg sync.WaitGroup
	for part := range 2 {
		wg.Go(func() {
			for i := part; i < b.N; i += 2 {
				r.bindForBench(b, i)
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(heap()-before)/float64(b.N), "bytes/pair")
	if st := r.s.Stats(); st.Pairs != b.N || st.Sessions != 2*b.N {
		b.Errorf("%+v", st)
	}
}

// bindForBench binds a pair without the packets.
func (r *rig) bindForBench(b *testing.B, i int) {
	var x [2]*session
	for j := range x {
		d := r.dev(2*i + j)
		ini := d.initiation()
		in, err := r.s.local.ReadInitiation(ini.Packet())
		if err != nil {
			b.Error(err)
			return
		}
		at := place{r.s.listeners[0], d.addr}
		x[j] = &session{at: at}
		x[j].network, x[j].used = quota.NetworkOf(d.addr.Addr()), true
		x[j].heard.Store(int64(24 * time.Hour)) // however long the others take
		if _, ok := r.s.accept(in, x[j], time.Now()); !ok {
			b.Error("no room")
			return
		}
		x[j].where.Store(&at)
	}
	for j := range x {
		m := wire.Bind{Tag: tagOf(i), Peer: x[1-j].id(), Pays: j == 0}
		if status, _, _ := r.s.bind(&request{x: x[j], clock: time.Now(), now: 24 * time.Hour}, &m); status != wire.StatusOK {
			b.Errorf("bind: %v", status)
			return
		}
	}
}

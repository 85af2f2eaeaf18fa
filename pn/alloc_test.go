//go:build !race

package pn

// The race detector makes sync.Pool drop a quarter of what it is given.

import (
	"testing"

	"github.com/bdtnet/bdt/underlay"
)

// TestNoAllocation: what is forwarded at once, and what waits, is not allocated for.
func TestNoAllocation(t *testing.T) {
	for name, bandwidth := range map[string]int64{"at once": 0, "through the shaper": 1 << 30} {
		inBubble(t, Limits{Pair: -1, Payer: -1, Bandwidth: bandwidth}, func(t *testing.T, r *rig) {
			r.conn.keep = true
			a, b, tag := r.pair(1)
			r.conn.keep = false
			run, single := relayed(tag, 100), relayed(tag, 1000)
			for range 9 {
				run = append(run, relayed(tag, 100)...)
			}
			out := make([]outbox, 1)
			out[0].conn = r.conn
			batch := make([]underlay.Datagram, 2)
			n := testing.AllocsPerRun(1000, func() {
				batch[0] = underlay.Datagram{Data: run, Addr: a.addr, SegmentSize: 100}
				batch[1] = underlay.Datagram{Data: single, Addr: b.addr}
				if h := r.s.shaper; h != nil { // all of it has to wait
					h.tokens.full.Store(1 << 62)
				}
				r.w.handle(batch)
				if h := r.s.shaper; h != nil {
					h.tokens.full.Store(0)
					h.send(out)
				}
			})
			if n != 0 {
				t.Errorf("%s: %v allocations for 11 packets", name, n)
			}
			if st := r.s.Stats(); st.Packets != 1001*11 {
				t.Errorf("%s: %d packets", name, st.Packets)
			}
		})
	}
}

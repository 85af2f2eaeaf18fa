package pn

import (
	"testing"

	"github.com/bdtnet/bdt/internal/wire"
)

// TestTinyPacketsWait: packets of no size, of many bindings, that wait for the bandwidth make the
// server hold no more than a few times the bytes that may wait.
func TestTinyPacketsWait(t *testing.T) {
	const bandwidth, pairs, packets = 1_000_000, 8, 1200
	inBubble(t, Limits{Pair: -1, Payer: -1, Bandwidth: bandwidth}, func(t *testing.T, r *rig) {
		var from [pairs]*dev
		var tags [pairs]wire.Tag
		for i := range pairs {
			from[i], _, tags[i] = r.pair(i)
		}
		r.conn.keep = false
		h := r.s.shaper
		h.tokens.full.Store(1 << 62) // nothing leaves
		before := heap()
		for i := range pairs {
			tiny := relayed(tags[i], wire.RelayedHeaderLen+1)
			for range packets {
				r.deliverRun(from[i].addr, tiny, 0)
			}
		}
		held := int(heap() - before)
		t.Logf("%d bytes that wait take %d", h.held(), held)
		if most := 5 * h.limit; held > most {
			t.Errorf("%d bytes that wait take %d, want at most %d", h.held(), held, most)
		}
		// All of it is let go, and what is kept for later is little.
		h.tokens.full.Store(0)
		out := []outbox{{conn: r.conn}}
		for h.held() > 0 {
			h.tokens.full.Store(0)
			h.send(out)
		}
		if h.memory != 0 {
			t.Errorf("%d bytes of memory are still counted", h.memory)
		}
		if left := int(heap() - before); left > 1<<20 {
			t.Errorf("%d bytes are kept", left)
		}
	})
}

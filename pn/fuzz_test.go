package pn

import (
	"testing"

	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/underlay"
)

// FuzzEntry: whatever comes in a run, from wherever, what is forwarded is packets of the pair's
// tag from one end's place, as they came, to the other's; each packet is counted once.
func FuzzEntry(f *testing.F) {
	one := relayed(tagOf(1), 30)
	f.Add(one, 0, uint8(0))
	f.Add(append(append(append([]byte(nil), one...), one...), one[:25]...), 30, uint8(0))
	f.Add(append(append([]byte(nil), one...), relayed(tagOf(2), 30)...), 30, uint8(1))
	f.Add([]byte{0x2a, 1, 0, 0}, 0, uint8(0))
	f.Add([]byte{0x23, 1, 0, 0, 0, 0, 0, 0}, 1, uint8(2))
	r := newRig(f, Limits{Pair: -1, Payer: -1})
	a, b, tag := r.pair(1)
	ends := []*dev{a, b, r.dev(9)} // the last is nobody's
	f.Fuzz(func(t *testing.T, run []byte, size int, from uint8) {
		if len(run) > 4096 {
			return
		}
		src := ends[int(from)%len(ends)]
		before := r.s.Stats()
		r.conn.take(a.addr)
		r.conn.take(b.addr)
		r.w.handle([]underlay.Datagram{{Data: run, Addr: src.addr, SegmentSize: size}})
		forwarded := 0
		for _, d := range ends[:2] {
			for _, p := range r.conn.take(d.addr) {
				if len(p) == 0 || p[0] != byte(wire.TypeRelayed) {
					continue
				}
				m, err := wire.ParseRelayed(p)
				if err != nil || m.Tag != tag || d == src || src == ends[2] {
					t.Fatalf("forwarded %x of %v to %v", p[:min(len(p), 24)], src.addr, d.addr)
				}
				forwarded += len(p)
			}
		}
		if now := r.s.Stats(); int(now.Bytes-before.Bytes) != forwarded || forwarded > len(run) {
			t.Fatalf("%d bytes of %d forwarded, %d counted", forwarded, len(run), now.Bytes-before.Bytes)
		}
	})
}

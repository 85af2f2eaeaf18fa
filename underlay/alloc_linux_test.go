//go:build !race

package underlay

// The race detector makes sync.Pool drop a quarter of what it is given.

import "testing"

// Neither direction allocates, once the arrays exist.
func TestNoAllocation(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		a, b := listenLoopback(t, addr), listenLoopback(t, addr)
		out := []Datagram{{Data: make([]byte, 1000), Addr: b.local, SegmentSize: 100, ECN: 1}, {Data: []byte("x"), Addr: b.local}}
		buf := make([]byte, 64<<10)
		in := make([]Datagram, 1)
		got := 0
		allocs := testing.AllocsPerRun(100, func() {
			if _, err := a.WriteBatch(out); err != nil {
				t.Error(err)
			}
			for got = 0; got < 11; got += segments(&in[0]) {
				in[0].Data = buf
				if _, err := b.ReadBatch(in); err != nil {
					t.Error(err)
					return
				}
			}
		})
		if allocs > 0 {
			t.Errorf("%s: %v allocations", addr, allocs)
		}
	}
}

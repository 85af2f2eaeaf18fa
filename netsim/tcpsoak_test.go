package netsim

import (
	"bytes"
	"io"
	"testing"
	"time"
)

// soakLink draws a link with a bit of everything that links do.
func soakLink(draw func(i, n uint64) uint64) LinkConfig {
	cfg := LinkConfig{
		Delay:     time.Duration(draw(1, 100)) * time.Millisecond,
		Jitter:    time.Duration(draw(2, 3)*draw(3, 20)) * time.Millisecond,
		Loss:      float64(draw(4, 15)) / 100,
		MTU:       int(minMTU + draw(5, 1500)),
		Duplicate: float64(draw(6, 3)) / 20,
		Reorder:   float64(draw(7, 3)) / 20,
		ReorderBy: 5 * time.Millisecond,
		Corrupt:   float64(draw(13, 3)) / 50,
	}
	if draw(9, 2) == 1 {
		cfg.Rate = int64(100_000 + draw(10, 20_000_000))
		cfg.Queue = int(3000 + draw(11, 100_000))
		cfg.CoDel = draw(8, 2) == 1
	}
	return cfg
}

// TestTCPSoak: two streams cross, and both arrive, whatever links do to them; then nothing
// is left.
func TestTCPSoak(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		draw := func(i, n uint64) uint64 { return mix(seed, i) % n }
		cfg := soakLink(draw)
		onLine(t, cfg, func(t *testing.T, l *line) {
			c, d := l.pipe(t)
			want := noise(int(draw(12, 100_000)))
			start := time.Now()
			got := make(chan []byte, 2)
			for _, p := range [][2]*TCPConn{{c, d}, {d, c}} {
				go func() { // writes pieces of any size
					for rest := want; len(rest) > 0; {
						k := min(len(rest), int(1+draw(uint64(len(rest)), 20_000)))
						if _, err := p[0].Write(rest[:k]); err != nil {
							t.Errorf("seed %d, %+v: %v", seed, cfg, err)
							return
						}
						rest = rest[k:]
					}
					p[0].CloseWrite()
				}()
				go func() {
					b, err := io.ReadAll(p[0])
					if err != nil {
						t.Errorf("seed %d, %+v: %v", seed, cfg, err)
					}
					got <- b
				}()
			}
			for range 2 {
				if b := <-got; !bytes.Equal(b, want) {
					t.Errorf("seed %d, %+v: got %d bytes that are not the %d written", seed, cfg, len(b), len(want))
				}
			}
			// The slowest: a segment of 28 bytes each few round trips and timeouts.
			if took := time.Since(start); took > time.Hour {
				t.Errorf("seed %d, %+v: %d bytes took %v", seed, cfg, len(want), took)
			}
			c.Close()
			d.Close()
			time.Sleep(time.Hour)
			if up, down := l.link.Stats(); up.Packets[DropMTU]+down.Packets[DropMTU] > 0 {
				t.Errorf("seed %d, %+v: segments were larger than the link", seed, cfg)
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			if len(l.a.tcp.conns)+len(l.b.tcp.conns)+len(l.timers) > 0 {
				t.Errorf("seed %d: %d and %d connections and %d timers are left", seed, len(l.a.tcp.conns), len(l.b.tcp.conns), len(l.timers))
			}
		})
	}
}

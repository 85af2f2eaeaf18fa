package noise

import (
	"math/rand/v2"
	"testing"
)

// TestWindow runs the cases that RFC 6479's reference code is tested with, in
// the terms of a window of exactly windowSize.
func TestWindow(t *testing.T) {
	const w = windowSize
	type step struct {
		counter uint64
		fresh   bool
	}
	upTo := func(from, to uint64, fresh bool) (s []step) {
		for c := from; c <= to; c++ {
			s = append(s, step{c, fresh})
		}
		return s
	}
	downTo := func(from, to uint64, fresh bool) (s []step) {
		for c := from; c >= to && c != ^uint64(0); c-- {
			s = append(s, step{c, fresh})
		}
		return s
	}
	for name, steps := range map[string][]step{
		"in order, then each again": append(upTo(0, 3*w, true), upTo(0, 3*w, false)...),
		"repeats and gaps": {
			{0, true}, {1, true}, {1, false}, {9, true}, {8, true}, {7, true}, {7, false},
			{w, true}, {w - 1, true}, {w - 1, false}, {w - 2, true}, {2, true}, {2, false},
			{w + 16, true}, {3, false}, {w + 16, false}, {w * 4, true}, {w*4 - (w - 1), true},
			{10, false}, {w*4 - w, false}, {w*4 - (w + 1), false}, {w*4 - (w - 2), true}, {w*4 + 1 - w, false},
			{0, false}, {1 << 40, true}, {1<<40 - w + 1, true}, {1<<40 - w, false}, {w * 4, false},
		},
		"backwards":                  append(downTo(w, 1, true), step{0, false}),
		"backwards from the edge":    append(downTo(w-1, 0, true), downTo(w-1, 0, false)...),
		"jump of exactly a window":   {{0, true}, {w, true}, {0, false}, {1, true}},
		"jump of a window and one":   {{0, true}, {w + 1, true}, {1, false}, {2, true}},
		"jump lands on a set bit":    {{5, true}, {5 + w, true}, {5, false}, {5 + w, false}},
		"skipped bits are cleared":   append(upTo(0, w-1, true), step{w + 99, true}, step{w + 50, true}, step{w, true}),
		"far jump, then within it":   append(append([]step{{100, true}, {10 * w, true}}, downTo(10*w-1, 9*w+1, true)...), step{9 * w, false}),
		"first is not zero":          {{w * 7, true}, {w*7 - 1, true}, {w*7 - w, false}, {w * 7, false}},
		"last counters there can be": {{counterLimit - 1, true}, {counterLimit - 1, false}, {counterLimit - w, true}, {counterLimit - w - 1, false}},
	} {
		var win window
		for n, s := range steps {
			if got := win.fresh(s.counter); got != s.fresh {
				t.Errorf("%s: step %d: counter %d: fresh is %v", name, n, s.counter, got)
				break
			}
			if s.fresh {
				win.see(s.counter)
			}
		}
	}
}

// TestWindowAgainstModel compares with a set that forgets nothing.
func TestWindowAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var w window
	seen := make(map[uint64]bool)
	var highest uint64
	for range 200_000 {
		c := highest + random.Uint64N(100)
		if back := random.Uint64N(2 * windowSize); random.IntN(3) > 0 && back <= highest {
			c = highest - back
		} else if random.IntN(1000) == 0 {
			c = highest + random.Uint64N(3*windowSize)
		}
		want := !seen[c] && (c > highest || highest-c < windowSize)
		if got := w.fresh(c); got != want {
			t.Fatalf("counter %d, highest %d: fresh is %v", c, highest, got)
		}
		if want {
			w.see(c)
			seen[c] = true
			highest = max(highest, c)
		}
	}
}

package jitter_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/bdtnet/bdt/internal/jitter"
)

// TestN: uniform in [0, n), within five standard deviations, and the same from one seed.
func TestN(t *testing.T) {
	const n, count = 10, 10000
	cryptotest.SetGlobalRandom(t, 1)
	var got [count]time.Duration
	var seen [n]int
	for i := range got {
		got[i] = jitter.N(time.Duration(n))
		seen[got[i]]++ // panics outside [0, n)
	}
	// Each is drawn count/n times, with a deviation of √(count · 1/n · (1 - 1/n)) = 30.
	for d, k := range seen {
		if math.Abs(float64(k)-count/n) > 5*30 {
			t.Errorf("%d is drawn %d times in %d", d, k, count)
		}
	}
	cryptotest.SetGlobalRandom(t, 1)
	for i := range got {
		if again := jitter.N(time.Duration(n)); again != got[i] {
			t.Fatalf("number %d is %v, then %v", i, got[i], again)
		}
	}
	cryptotest.SetGlobalRandom(t, 2)
	other := make([]time.Duration, count)
	for i := range other {
		other[i] = jitter.N(time.Duration(n))
	}
	if slices.Equal(other, got[:]) {
		t.Error("another seed gives the same")
	}
	if jitter.N(1) != 0 || jitter.N(math.MaxInt64) < 0 {
		t.Error("wrong at an end")
	}
	if a, b := jitter.Uint64(), jitter.Uint64(); a == b {
		t.Errorf("%x twice", a)
	}
}

// TestOf: uniform over time and over who waits, and of nothing else.
func TestOf(t *testing.T) {
	const n, count = 10, 10000
	now := time.Unix(0, 0)
	draws := map[string]func(i int) time.Duration{
		"time": func(i int) time.Duration { return jitter.Of(n, now.Add(time.Duration(i)), []byte("a"), []byte("b")) },
		"who":  func(i int) time.Duration { return jitter.Of(n, now, []byte("a"), fmt.Append(nil, i)) },
	}
	for name, draw := range draws {
		var seen [n]int
		for i := range count {
			d := draw(i)
			if again := draw(i); again != d {
				t.Fatalf("%s: %v, then %v", name, d, again)
			}
			seen[d]++ // panics outside [0, n)
		}
		for d, k := range seen {
			if math.Abs(float64(k)-count/n) > 5*30 {
				t.Errorf("%s: %d is drawn %d times in %d", name, d, k, count)
			}
		}
	}
}

func TestNothingToDraw(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("N(0) returned")
		}
	}()
	jitter.N(0)
}

package session

import "testing"

// TestWindows: the first sessions have the whole, all together no more than the budget
// and the least for each, and what is given back is there again.
func TestWindows(t *testing.T) {
	const budget, most = 512 << 20, 32 << 20
	w := windows{left: budget}
	var taken []int
	sum := 0
	for range 1000 {
		n := w.take(most)
		if n > most || n < minSessionWindow || len(taken) > 0 && n > taken[len(taken)-1] {
			t.Fatalf("session %d gets %d", len(taken), n)
		}
		taken = append(taken, n)
		sum += n
	}
	if taken[7] != most {
		t.Errorf("the eighth session gets %d", taken[7])
	}
	if limit := budget + 1000*minSessionWindow; sum > limit {
		t.Errorf("a thousand sessions have %d, want at most %d", sum, limit)
	}
	for _, n := range taken {
		w.give(n)
	}
	if w.left != budget {
		t.Errorf("%d are left of %d", w.left, budget)
	}
	if n := w.take(minSessionWindow / 2); n != minSessionWindow/2 {
		t.Errorf("who asks for less gets %d", n)
	}
}

// WindowsLeft tells tests of an engine what is left of its budget.
func WindowsLeft(e Engine) int {
	w := &e.(*quicEngine).windows
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.left
}

package quota

import "testing"

// fill takes all that a network may have.
func fill(q *Share, n Network, each int) (got int) {
	for q.Take(n, each) {
		got++
	}
	return got
}

func TestQuotaSharesFairly(t *testing.T) {
	q := NewShare(1200)
	if n := fill(q, 1, 1200); n != 600 {
		t.Errorf("one network got %d of 1,200", n)
	}
	// Each that comes later finds room, and the table is never full.
	if n := fill(q, 2, 1200); n != 300 {
		t.Errorf("a second got %d", n)
	}
	for n := Network(3); n < 9; n++ {
		if fill(q, n, 1200) == 0 {
			t.Errorf("network %d got nothing", n)
		}
	}
	for q.Held(1) > 0 {
		q.Give(1)
	}
	if n := fill(q, 20, 100); n != 100 {
		t.Errorf("got %d, at most 100 each", n)
	}
	total := 0
	for n := range Network(21) {
		total += q.Held(n)
	}
	if q.Len() != total || total > 1200 {
		t.Errorf("%d places of %d", q.Len(), total)
	}
}

func TestQuotaInStep(t *testing.T) {
	q := NewShare(1000)
	for more := true; more; {
		more = false
		for n := range Network(9) {
			more = q.Take(n, 1000) || more
		}
	}
	for n := range Network(9) {
		if h := q.Held(n); h < 95 || h > 105 {
			t.Errorf("network %d of 9 greedy ones got %d of 1,000", n, h)
		}
	}
}

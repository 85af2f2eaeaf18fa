package noise

import "testing"

func TestRecent(t *testing.T) {
	const limit = 10
	r := newRecent[int, int](limit)
	for k := range 1000 {
		r.put(k, -k)
		if n := len(r.young) + len(r.old); n > limit {
			t.Fatalf("%d entries", n)
		}
		for back := range min(k+1, limit/2) {
			if _, young := r.young[k-back]; !young && r.old[k-back] != back-k {
				t.Fatalf("after %d, %d is forgotten", k, k-back)
			}
		}
		if v, ok := r.get(0); !ok || v != 0 {
			t.Fatalf("after %d, an entry used all the time is forgotten", k)
		}
	}
	if _, ok := r.get(1); ok {
		t.Error("an unused entry is not forgotten")
	}
	r.put(0, 7)
	if v, _ := r.get(0); v != 7 {
		t.Errorf("replaced value is %d", v)
	}
}

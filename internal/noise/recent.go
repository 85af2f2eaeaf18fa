package noise

// A recent is a map of bounded size that forgets what was not used for longest:
// it holds at least the limit/2 entries used last, and at most limit. It is not
// safe for concurrent use.
//
// Two generations suffice. What is used moves to the young one; when that is
// full it becomes the old one, and the old one is forgotten.
type recent[K comparable, V any] struct {
	limit      int
	young, old map[K]V
	forget     func(K, V) // told of each entry that is forgotten; nil: nobody is
}

func newRecent[K comparable, V any](limit int) recent[K, V] {
	return recent[K, V]{limit: max(limit, 2), young: make(map[K]V)}
}

func (r *recent[K, V]) get(k K) (V, bool) {
	if v, ok := r.young[k]; ok {
		return v, true
	}
	v, ok := r.old[k]
	if ok {
		r.put(k, v)
	}
	return v, ok
}

func (r *recent[K, V]) put(k K, v V) {
	if _, ok := r.young[k]; !ok && len(r.young) >= r.limit/2 {
		if r.forget != nil {
			for old, v := range r.old {
				if _, kept := r.young[old]; !kept && old != k {
					r.forget(old, v)
				}
			}
		}
		r.old, r.young = r.young, make(map[K]V)
	}
	r.young[k] = v
}

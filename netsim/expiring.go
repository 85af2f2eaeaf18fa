package netsim

import "time"

// expiring is a bounded table whose entries vanish when they have not been
// touched for their life. Lives are few: each has a list in the order of touching, which is
// that of expiry.
type expiring[K comparable, V any] struct {
	life    time.Duration // of entries that put makes
	limit   int
	expired func(V) // called with each value that expires, may be nil
	entries map[K]*entry[K, V]
	rings   []*ring[K, V] // one for each life
	last    *entry[K, V]  // that was found: packets come in runs
}

// ring is the entries of a life: last is a sentinel, whose next is the oldest, prev the newest.
type ring[K comparable, V any] struct {
	life time.Duration
	last entry[K, V]
}

type entry[K comparable, V any] struct {
	key        K
	value      V
	touched    time.Duration
	prev, next *entry[K, V]
}

func newExpiring[K comparable, V any](life time.Duration, limit int, expired func(V)) *expiring[K, V] {
	return &expiring[K, V]{
		life: life, limit: limit, expired: expired, entries: make(map[K]*entry[K, V]),
	}
}

// find returns the entry of k, or nil.
func (x *expiring[K, V]) find(k K) *entry[K, V] {
	if e := x.last; e != nil && e.key == k {
		return e
	}
	e := x.entries[k]
	if e != nil {
		x.last = e
	}
	return e
}

// expire removes what was not touched for its life before now.
func (x *expiring[K, V]) expire(now time.Duration) {
	for _, r := range x.rings {
		for e := r.last.next; e != &r.last && now-e.touched >= r.life; e = r.last.next {
			x.remove(e)
		}
	}
}

// clear removes all.
func (x *expiring[K, V]) clear() { x.expire(forever) }

func (x *expiring[K, V]) remove(e *entry[K, V]) {
	e.unlink()
	delete(x.entries, e.key)
	if x.last == e {
		x.last = nil
	}
	if x.expired != nil {
		x.expired(e.value)
	}
}

// get returns the value of k without touching it.
func (x *expiring[K, V]) get(k K, now time.Duration) (v V, ok bool) {
	x.expire(now)
	if e := x.find(k); e != nil {
		return e.value, true
	}
	return v, false
}

// put sets and touches k for the table's life. It reports false if the table is full.
func (x *expiring[K, V]) put(k K, v V, now time.Duration) bool {
	return x.putFor(k, v, now, x.life)
}

// putFor is put with a life of the entry's own.
func (x *expiring[K, V]) putFor(k K, v V, now, life time.Duration) bool {
	x.expire(now)
	e := x.find(k)
	switch {
	case e != nil:
		e.unlink()
	case len(x.entries) >= x.limit:
		return false
	default:
		e = &entry[K, V]{key: k}
		x.entries[k] = e
	}
	last := x.ring(life)
	e.value, e.touched = v, now
	e.prev, e.next = last.prev, last
	e.prev.next, e.next.prev = e, e
	return true
}

// ring returns the sentinel of the entries of a life.
func (x *expiring[K, V]) ring(life time.Duration) *entry[K, V] {
	for _, r := range x.rings {
		if r.life == life {
			return &r.last
		}
	}
	r := &ring[K, V]{life: life}
	r.last.prev, r.last.next = &r.last, &r.last
	x.rings = append(x.rings, r)
	return &r.last
}

func (e *entry[K, V]) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
}

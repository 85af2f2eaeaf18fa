package netsim

import "time"

// expiring is a bounded table whose entries vanish when they have not been
// touched for life. Because life is the same for all, the order of touching is
// the order of expiry, and a list finds the expired ones.
type expiring[K comparable, V any] struct {
	life    time.Duration
	limit   int
	expired func(V) // called with each value that expires, may be nil
	entries map[K]*entry[K, V]
	ring    *entry[K, V] // sentinel: next is the oldest, prev the newest
}

type entry[K comparable, V any] struct {
	key        K
	value      V
	touched    time.Duration
	prev, next *entry[K, V]
}

func newExpiring[K comparable, V any](life time.Duration, limit int, expired func(V)) *expiring[K, V] {
	ring := new(entry[K, V])
	ring.prev, ring.next = ring, ring
	return &expiring[K, V]{life: life, limit: limit, expired: expired, entries: make(map[K]*entry[K, V]), ring: ring}
}

// expire removes what was not touched for life before now.
func (x *expiring[K, V]) expire(now time.Duration) {
	for e := x.ring.next; e != x.ring && now-e.touched >= x.life; e = x.ring.next {
		e.unlink()
		delete(x.entries, e.key)
		if x.expired != nil {
			x.expired(e.value)
		}
	}
}

// get returns the value of k without touching it.
func (x *expiring[K, V]) get(k K, now time.Duration) (v V, ok bool) {
	x.expire(now)
	if e := x.entries[k]; e != nil {
		return e.value, true
	}
	return v, false
}

// put sets and touches k. It reports false if the table is full.
func (x *expiring[K, V]) put(k K, v V, now time.Duration) bool {
	x.expire(now)
	e := x.entries[k]
	switch {
	case e != nil:
		e.unlink()
	case len(x.entries) >= x.limit:
		return false
	default:
		e = &entry[K, V]{key: k}
		x.entries[k] = e
	}
	e.value, e.touched = v, now
	e.prev, e.next = x.ring.prev, x.ring
	e.prev.next, e.next.prev = e, e
	return true
}

func (e *entry[K, V]) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
}

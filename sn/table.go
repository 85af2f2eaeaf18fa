package sn

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/quota"
)

// pairLife is how long two devices may signal after a call (spec §3).
const pairLife = 60 * time.Second

const tableShards = 64

// A table maps keys to values that stop to matter with time. It is bounded: in
// a full one new keys find no place. It may be used concurrently.
type table[K, V comparable] struct {
	seed   maphash.Seed
	limit  int // of a shard
	shards [tableShards]tableShard[K, V]
}

type tableShard[K, V comparable] struct {
	mu sync.Mutex
	m  map[K]V
}

func newTable[K, V comparable](limit int) *table[K, V] {
	t := &table[K, V]{seed: maphash.MakeSeed(), limit: (limit + tableShards - 1) / tableShards}
	for i := range t.shards {
		t.shards[i].m = make(map[K]V)
	}
	return t
}

// update replaces the value of a key by what change makes of it; a key that is
// not there has the zero value, and one that is to have it is not kept. It reports
// false, without a call, if the key is new and the table full.
func (t *table[K, V]) update(k K, change func(V) V) bool {
	sh := &t.shards[maphash.Comparable(t.seed, k)%tableShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	v, ok := sh.m[k]
	if !ok && len(sh.m) >= t.limit {
		return false
	}
	var zero V
	if v = change(v); v != zero {
		sh.m[k] = v
	} else {
		delete(sh.m, k)
	}
	return true
}

// get returns the value of a key, zero if it is not there.
func (t *table[K, V]) get(k K) V {
	sh := &t.shards[maphash.Comparable(t.seed, k)%tableShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.m[k]
}

// len returns how many keys there are.
func (t *table[K, V]) len() (n int) {
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		n += len(sh.m)
		sh.mu.Unlock()
	}
	return n
}

// sweep removes what gone says from one shard.
func (t *table[K, V]) sweep(shard int, gone func(V) bool) {
	sh := &t.shards[shard%tableShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for k, v := range sh.m {
		if gone(v) {
			delete(sh.m, k)
		}
	}
}

// A pair is two devices of which one has called the other, the lower id first.
type pair struct{ lower, higher identity.ID }

func pairOf(a, b identity.ID) pair {
	if a.Compare(b) > 0 {
		a, b = b, a
	}
	return pair{a, b}
}

// pairs holds, for each pair, until when the two may signal.
type pairs struct {
	*table[pair, pairing]
	quota *quota.Share
}

// A pairing is until when a pair may signal, and the network of who called first.
type pairing struct {
	until  time.Duration
	caller network
}

func newPairs(limit int) pairs {
	// The quota bounds all of them, so that no shard is full before.
	return pairs{newTable[pair, pairing](2 * limit), quota.NewShare(limit)}
}

// allow lets two devices signal from now on for pairLife, at a call from a
// network. It reports false if that has no room to remember it.
func (p pairs) allow(a, b identity.ID, from network, now time.Duration) bool {
	ok := true
	return p.update(pairOf(a, b), func(v pairing) pairing {
		if v.until == 0 {
			if ok = p.quota.Take(from, p.quota.Limit()); !ok {
				return v
			}
			v.caller = from
		}
		v.until = now + pairLife
		return v
	}) && ok
}

// expire forgets what is over in one shard.
func (p pairs) expire(shard int, now time.Duration) {
	p.sweep(shard, func(v pairing) bool {
		if v.until > now {
			return false
		}
		p.quota.Give(v.caller)
		return true
	})
}

// allowed reports whether two devices may signal.
func (p pairs) allowed(a, b identity.ID, now time.Duration) bool {
	return p.get(pairOf(a, b)).until > now
}

// A callerPrefix is where calls to one callee come from.
type callerPrefix struct {
	caller network
	callee identity.ID
	known  bool // of its zone, or called by it
}

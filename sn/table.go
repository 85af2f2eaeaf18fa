package sn

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// pairLife is how long two devices may signal after a call (spec §3).
const pairLife = 60 * time.Second

const tableShards = 64

// A table maps keys to values that stop to matter with time. It is bounded: in
// a full one new keys find no place. It may be used concurrently.
type table[K comparable, V any] struct {
	seed   maphash.Seed
	limit  int // of a shard
	shards [tableShards]tableShard[K, V]
}

type tableShard[K comparable, V any] struct {
	mu sync.Mutex
	m  map[K]V
}

func newTable[K comparable, V any](limit int) *table[K, V] {
	t := &table[K, V]{seed: maphash.MakeSeed(), limit: (limit + tableShards - 1) / tableShards}
	for i := range t.shards {
		t.shards[i].m = make(map[K]V)
	}
	return t
}

// update replaces the value of a key by what change makes of it; a key that is
// not there has the zero value. It reports false, without a call, if the key is
// new and the table full.
func (t *table[K, V]) update(k K, change func(V) V) bool {
	sh := &t.shards[maphash.Comparable(t.seed, k)%tableShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	v, ok := sh.m[k]
	if !ok && len(sh.m) >= t.limit {
		return false
	}
	sh.m[k] = change(v)
	return true
}

// get returns the value of a key, zero if it is not there.
func (t *table[K, V]) get(k K) V {
	sh := &t.shards[maphash.Comparable(t.seed, k)%tableShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.m[k]
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
	*table[pair, time.Duration]
}

// allow lets two devices signal from now on for pairLife. It reports false if
// there is no room to remember it.
func (p pairs) allow(a, b identity.ID, now time.Duration) bool {
	return p.update(pairOf(a, b), func(time.Duration) time.Duration { return now + pairLife })
}

// allowed reports whether two devices may signal.
func (p pairs) allowed(a, b identity.ID, now time.Duration) bool {
	return p.get(pairOf(a, b)) > now
}

// A callerPrefix is where calls to one callee come from.
type callerPrefix struct {
	prefix netip.Prefix
	callee identity.ID
}

// prefixOf returns the network that an address counts as: its /24 or /56.
func prefixOf(a netip.Addr) netip.Prefix {
	bits := 24
	if a.Is6() {
		bits = 56
	}
	p, _ := a.Prefix(bits) // fails only for a longer prefix than the address
	return p
}

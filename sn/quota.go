package sn

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A network is what one party is taken to hold of the internet: a /24 of IPv4 or
// a /56 of IPv6, in a number.
type network uint64

// networkOf returns the network that an address is of.
func networkOf(a netip.Addr) network {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return network(binary.BigEndian.Uint32(b[:])>>8) | 1<<63
	}
	b := a.As16()
	return network(binary.BigEndian.Uint64(b[:8]) >> 8)
}

// A quota counts what each network has in a table, and refuses more than its
// share: a network may have as much as is still free. So one greedy network gets
// half of the table, n of them 1/(n+1) each and leave as much free, and who has
// nothing in it yet finds a place. (That is the dynamic threshold of Choudhury
// and Hahne, with a factor of 1.) It may be used concurrently.
type quota struct {
	limit  int // of the table
	seed   maphash.Seed
	total  atomic.Int64
	shards [tableShards]quotaShard
}

type quotaShard struct {
	mu   sync.Mutex
	held map[network]int32 // above 0
}

func newQuota(limit int) *quota {
	q := &quota{limit: limit, seed: maphash.MakeSeed()}
	for i := range q.shards {
		q.shards[i].held = make(map[network]int32)
	}
	return q
}

func (q *quota) shard(n network) *quotaShard {
	return &q.shards[maphash.Comparable(q.seed, n)%tableShards]
}

// take gives a network one place more, and reports whether it may have it: at most
// each of them.
func (q *quota) take(n network, each int) bool {
	sh := q.shard(n)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	held := int(sh.held[n])
	if free := q.limit - int(q.total.Load()); held >= free || held >= each {
		return false
	}
	sh.held[n]++
	q.total.Add(1)
	return true
}

// force gives a network a place whatever its share.
func (q *quota) force(n network) {
	sh := q.shard(n)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.held[n]++
	q.total.Add(1)
}

// give takes a place back.
func (q *quota) give(n network) {
	sh := q.shard(n)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.held[n]--; sh.held[n] <= 0 {
		delete(sh.held, n)
	}
	q.total.Add(-1)
}

// held returns how many places a network has.
func (q *quota) held(n network) int {
	sh := q.shard(n)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return int(sh.held[n])
}

// len returns how many places are taken.
func (q *quota) len() int { return int(q.total.Load()) }

// A sieve holds token buckets for any number of keys in a fixed number of places,
// which a secret hash chooses. Keys that share a place share its tokens: with many
// more places than keys in use few do, and who they are nobody can choose. It may
// be used concurrently.
type sieve[K comparable] struct {
	seed    maphash.Seed
	buckets []atomic.Int64
}

func newSieve[K comparable](places int) *sieve[K] {
	return &sieve[K]{maphash.MakeSeed(), make([]atomic.Int64, places)}
}

// take takes a token from the bucket of a key, and reports whether there was one.
func (s *sieve[K]) take(k K, r Rate, now time.Duration) bool {
	place := &s.buckets[maphash.Comparable(s.seed, k)%uint64(len(s.buckets))]
	for {
		held := place.Load()
		b := bucket(held)
		if !b.take(r, now) {
			return false
		}
		if place.CompareAndSwap(held, int64(b)) {
			return true
		}
	}
}

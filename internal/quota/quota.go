// Package quota divides what is bounded among those who want it: a table's places
// among networks.
package quota

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
)

// A Network is what one party is taken to hold of the internet: a /24 of IPv4 or
// a /56 of IPv6, in a number.
type Network uint64

// NetworkOf returns the network that an address is of.
func NetworkOf(a netip.Addr) Network {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return Network(binary.BigEndian.Uint32(b[:])>>8) | 1<<63
	}
	b := a.As16()
	return Network(binary.BigEndian.Uint64(b[:8]) >> 8)
}

// shards divides the locks of a Share.
const shards = 64

// A Share counts what each network has in a table, and refuses more than its
// share: a network may have as much as is still free. So one greedy network gets
// half of the table, n of them 1/(n+1) each and leave as much free, and who has
// nothing in it yet finds a place. (That is the dynamic threshold of Choudhury
// and Hahne, with a factor of 1.) It may be used concurrently.
type Share struct {
	limit  int
	seed   maphash.Seed
	total  atomic.Int64
	shards [shards]shareShard
}

type shareShard struct {
	mu   sync.Mutex
	held map[Network]int32 // above 0
}

// NewShare returns the share of a table of limit places, all free.
func NewShare(limit int) *Share {
	q := &Share{limit: limit, seed: maphash.MakeSeed()}
	for i := range q.shards {
		q.shards[i].held = make(map[Network]int32)
	}
	return q
}

func (q *Share) shard(n Network) *shareShard {
	return &q.shards[maphash.Comparable(q.seed, n)%shards]
}

// Take gives a network one place more, and reports whether it may have it: at most
// each of them.
func (q *Share) Take(n Network, each int) bool {
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

// Force gives a network a place whatever its share.
func (q *Share) Force(n Network) {
	sh := q.shard(n)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.held[n]++
	q.total.Add(1)
}

// Give takes a place back.
func (q *Share) Give(n Network) {
	sh := q.shard(n)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.held[n]--; sh.held[n] <= 0 {
		delete(sh.held, n)
	}
	q.total.Add(-1)
}

// Held returns how many places a network has.
func (q *Share) Held(n Network) int {
	sh := q.shard(n)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return int(sh.held[n])
}

// Len returns how many places are taken.
func (q *Share) Len() int { return int(q.total.Load()) }

// Limit returns how many places the table has.
func (q *Share) Limit() int { return q.limit }

package sn

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/internal/quota"
)

// A network is what one party is taken to hold of the internet.
type network = quota.Network

func networkOf(a netip.Addr) network { return quota.NetworkOf(a) }

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

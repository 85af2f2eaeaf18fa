package pn

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/quota"
	"github.com/bdtnet/bdt/internal/wire"
)

// A stage is how far a pair has come.
type stage uint32

const (
	// half: one end has bound. To ready by the other, to over after 30 s.
	half stage = iota
	// ready: both have, and somebody pays. To over when an end leaves, nothing is sent for
	// long, or whoever pays may not go on.
	ready
	// over: no longer in the table.
	over
)

// A pair is a binding: two devices that want to exchange packets under a tag (spec §2).
//
// What the workers read of it is set before it is ready and does not change, or is
// atomic. All else is guarded by the lock of the tag's shard.
type pair struct {
	tag     wire.Tag
	stage   atomic.Uint32
	ends    [2]end // the one that bound first is the first
	payer   *account
	zone    *account // of the payer; nil: none
	paying  uint8    // which end pays, if payer is not nil
	token   []byte   // that it showed; empty: none
	network quota.Network
	unpaid  bool          // a half that counts among those for which nobody pays
	since   time.Duration // the last Bind of a half

	rate bucket
	last atomic.Int64 // when something was forwarded, or the pair got ready, since the server's start

	queue *queue // guarded by the lock of the shaper; nil: nothing waits
}

// An end is one of the two devices of a pair.
type end struct {
	id      identity.ID
	session atomic.Pointer[session] // nil until it has bound
}

// endOf returns which end of the pair binds if a device wants another; -1: neither.
func (p *pair) endOf(id, peer identity.ID) int {
	for i := range p.ends {
		if p.ends[i].id == id && p.ends[1-i].id == peer {
			return i
		}
	}
	return -1
}

// endOn returns which end of the pair is on a session; -1: neither.
func (p *pair) endOn(x *session) int {
	for i := range p.ends {
		if p.ends[i].session.Load() == x {
			return i
		}
	}
	return -1
}

func (p *pair) at() stage { return stage(p.stage.Load()) }

// pairShards divides the table of pairs. A power of two.
const pairShards = 256

// unpaidPart is the part of the table, one in so many, that halves may take for which nobody pays
// yet: anybody may ask for those.
const unpaidPart = 4

// A pairTable holds the pairs by their tags.
type pairTable struct {
	seed   maphash.Seed
	quota  *quota.Share
	unpaid *quota.Share // of halves for which nobody pays
	shards [pairShards]pairShard
}

type pairShard struct {
	mu sync.RWMutex
	m  map[wire.Tag]*pair
}

func newPairTable(limit int) *pairTable {
	t := &pairTable{seed: maphash.MakeSeed(), quota: quota.NewShare(limit), unpaid: quota.NewShare(max(1, limit/unpaidPart))}
	for i := range t.shards {
		t.shards[i].m = make(map[wire.Tag]*pair)
	}
	return t
}

func (t *pairTable) shard(tag wire.Tag) *pairShard {
	return &t.shards[maphash.Comparable(t.seed, tag)%pairShards]
}

// get returns the pair with a tag, nil if there is none.
func (t *pairTable) get(tag wire.Tag) *pair {
	sh := t.shard(tag)
	sh.mu.RLock()
	p := sh.m[tag]
	sh.mu.RUnlock()
	return p
}

// part returns the pairs of one of so many parts of the table.
func (t *pairTable) part(i, parts int) (list []*pair) {
	for ; i < pairShards; i += parts {
		sh := &t.shards[i]
		sh.mu.RLock()
		for _, p := range sh.m {
			list = append(list, p)
		}
		sh.mu.RUnlock()
	}
	return list
}

package socket

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// routeShards divides the table so that a writer that is descheduled while it
// holds a lock seldom stands in the reader's way. A power of two.
const routeShards = 64

// routes maps source addresses to sinks. It is read for every run that comes
// in and written when a path comes or goes; there may be 100,000 entries.
type routes struct {
	gen    atomic.Uint64 // changes after every change to a shard
	shards [routeShards]routeShard
}

type routeShard struct {
	mu sync.RWMutex
	m  map[netip.AddrPort]Sink
}

func (r *routes) init() {
	for i := range r.shards {
		r.shards[i].m = make(map[netip.AddrPort]Sink)
	}
}

// shard picks a shard by bits that tend to differ. Peers can choose them, and
// all end up in one: that only costs what the division was for.
func (r *routes) shard(from netip.AddrPort) *routeShard {
	ip := from.Addr().As16()
	return &r.shards[(uint16(ip[15])^from.Port())%routeShards]
}

func (r *routes) set(from netip.AddrPort, sink Sink) {
	sh := r.shard(from)
	sh.mu.Lock()
	sh.m[from] = sink
	sh.mu.Unlock()
	r.gen.Add(1)
}

// add is set, unless there is a route already to another sink.
func (r *routes) add(from netip.AddrPort, sink Sink) bool {
	sh := r.shard(from)
	sh.mu.Lock()
	held, taken := sh.m[from]
	if !taken {
		sh.m[from] = sink
	}
	sh.mu.Unlock()
	if !taken {
		r.gen.Add(1)
	}
	return !taken || held == sink
}

// replace is set, if the route is to old.
func (r *routes) replace(from netip.AddrPort, old, sink Sink) {
	sh := r.shard(from)
	sh.mu.Lock()
	if sh.m[from] == old {
		sh.m[from] = sink
	}
	sh.mu.Unlock()
	r.gen.Add(1)
}

func (r *routes) delete(from netip.AddrPort, sink Sink) {
	sh := r.shard(from)
	sh.mu.Lock()
	if sh.m[from] == sink {
		delete(sh.m, from)
	}
	sh.mu.Unlock()
	r.gen.Add(1)
}

// get returns nil if there is no route.
func (r *routes) get(from netip.AddrPort) Sink {
	sh := r.shard(from)
	sh.mu.RLock()
	sink := sh.m[from]
	sh.mu.RUnlock()
	return sink
}

// A routeCache is the last answer of a table. Bursts come from one source, and
// then it saves the hash and the lock. It belongs to one goroutine.
type routeCache struct {
	valid bool
	gen   uint64
	from  netip.AddrPort
	sink  Sink
}

func (c *routeCache) lookup(r *routes, from netip.AddrPort) Sink {
	// The generation is read before the table: a change in between leaves an
	// old generation beside the new sink, which costs one more lookup.
	gen := r.gen.Load()
	if !c.valid || c.gen != gen || c.from != from {
		*c = routeCache{valid: true, gen: gen, from: from, sink: r.get(from)}
	}
	return c.sink
}

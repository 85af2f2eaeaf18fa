package socket

import (
	"net/netip"
	"sync"
	"testing"
)

func TestRoutes(t *testing.T) {
	var r routes
	r.init()
	one, two := new(countingSink), new(countingSink)
	r.set(peer1, one)
	if r.get(peer1) != Sink(one) || r.get(peer2) != nil {
		t.Fatal("a route is not found, or found where there is none")
	}
	r.set(peer1, two)
	r.delete(peer1, one)
	if r.get(peer1) != Sink(two) {
		t.Error("a sink that was replaced took the route with it")
	}
	r.delete(peer1, two)
	r.delete(peer2, two)
	if r.get(peer1) != nil {
		t.Error("a route survives its deletion")
	}
}

// What the cache knows is never older than the last change.
func TestRouteCache(t *testing.T) {
	var r routes
	r.init()
	var c routeCache
	one, two := new(countingSink), new(countingSink)
	if c.lookup(&r, netip.AddrPort{}) != nil || c.lookup(&r, peer1) != nil {
		t.Error("an empty table has routes")
	}
	r.set(peer1, one)
	for range 2 {
		if c.lookup(&r, peer1) != Sink(one) {
			t.Error("a new route is not seen")
		}
		if c.lookup(&r, peer2) != nil {
			t.Error("another source takes the route")
		}
	}
	c.lookup(&r, peer1)
	r.set(peer1, two)
	if c.lookup(&r, peer1) != Sink(two) {
		t.Error("a changed route is not seen")
	}
	r.delete(peer1, two)
	if c.lookup(&r, peer1) != nil {
		t.Error("a deleted route is still seen")
	}
}

// A writer's own change is visible to the reader from the moment that the
// writer says so.
func TestRouteVisibility(t *testing.T) {
	var r routes
	r.init()
	said, seen := make(chan Sink), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 500 {
			sink := new(countingSink)
			r.set(peer1, sink)
			said <- sink
			<-seen
		}
		close(said)
	})
	noise := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-noise:
				return
			default:
				r.set(peer2, nil)
			}
		}
	})
	var c routeCache
	for sink := range said {
		if c.lookup(&r, peer1) != sink {
			t.Error("stale route")
		}
		seen <- struct{}{}
	}
	close(noise)
	wg.Wait()
}

func TestRouteLookupAllocates(t *testing.T) {
	var r routes
	r.init()
	r.set(peer1, new(countingSink))
	var c routeCache
	if n := testing.AllocsPerRun(100, func() { c.lookup(&r, peer1); c.lookup(&r, peer2) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkRoute looks up sources in turn (a miss of the cache each time) and
// one source over and over, among 100,000.
func BenchmarkRoute(b *testing.B) {
	var r routes
	r.init()
	addrs := make([]netip.AddrPort, 100_000)
	for i := range addrs {
		addrs[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), uint16(1+i>>16))
		r.set(addrs[i], new(countingSink))
	}
	var c routeCache
	b.Run("scattered", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			c.lookup(&r, addrs[i%len(addrs)])
		}
	})
	b.Run("burst", func(b *testing.B) {
		for b.Loop() {
			c.lookup(&r, addrs[0])
		}
	})
	b.Run("set", func(b *testing.B) {
		sink := new(countingSink)
		for i := 0; b.Loop(); i++ {
			r.set(addrs[i%len(addrs)], sink)
		}
	})
}

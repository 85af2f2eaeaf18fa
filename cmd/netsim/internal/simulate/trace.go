package simulate

import (
	"fmt"
	"hash/fnv"
	"io"
	"net/netip"
	"sync"

	"github.com/bdtnet/bdt/netsim"
)

// A tracer is told of all that happens to packets: it counts and hashes it, and counts the
// probes of those who dial.
type tracer struct {
	next func(netsim.Event)

	mu      sync.Mutex
	packets uint64
	hash    uint64
	links   map[*netsim.Link]uint64 // hashes of their names
	sns     map[netip.Addr]bool
	dials   map[*probes]struct{}
}

func newTracer(next func(netsim.Event)) *tracer {
	return &tracer{next: next, links: make(map[*netsim.Link]uint64), sns: make(map[netip.Addr]bool), dials: make(map[*probes]struct{})}
}

// event takes in one event.
func (t *tracer) event(e netsim.Event) {
	t.mu.Lock()
	if e.Fate == netsim.Sent {
		t.packets++
	}
	link, ok := t.links[e.Link]
	if !ok {
		h := fnv.New64a()
		io.WriteString(h, e.Link.String()) // never fails
		link = h.Sum64()
		t.links[e.Link] = link
	}
	// A sum, so that the order of what happens at one instant does not count.
	t.hash += mix(uint64(e.Time), link, uint64(e.Fate)<<32|uint64(e.Proto), uint64(e.Size))
	for p := range t.dials {
		p.event(e, t.sns)
	}
	t.mu.Unlock()
	if t.next != nil {
		t.next(e)
	}
}

// sum returns how many packets were sent, and the hash of all events.
func (t *tracer) sum() (packets uint64, hash string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.packets, fmt.Sprintf("%016x", t.hash)
}

// mix hashes numbers in order (the finaliser of SplitMix64: Steele, Lea, Flood 2014).
func mix(vs ...uint64) (h uint64) {
	for _, v := range vs {
		h += v + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// probes counts the datagrams that two hosts send elsewhere than to SNs, until one arrives at
// either from elsewhere. The tracer's lock guards it.
type probes struct {
	hosts [2]string
	sent  int
	met   bool
}

// nat64 is the well-known prefix of RFC 6052 §2.1, by which SNs are reached from IPv6.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// plain returns the IPv4 address that an address stands for behind a NAT64.
func plain(a netip.Addr) netip.Addr {
	if b := a.As16(); nat64.Contains(a) {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}

func (p *probes) event(e netsim.Event, sns map[netip.Addr]bool) {
	if p.met || e.Proto != netsim.UDP || e.Node != p.hosts[0] && e.Node != p.hosts[1] {
		return
	}
	switch e.Fate {
	case netsim.Sent:
		if !sns[plain(e.Dst.Addr())] && !e.Dst.Addr().IsMulticast() {
			p.sent++
		}
	case netsim.Delivered:
		p.met = !sns[plain(e.Src.Addr())] && !e.Dst.Addr().IsMulticast()
	}
}

// watch begins to count the probes of two hosts.
func (t *tracer) watch(a, b string) *probes {
	p := &probes{hosts: [2]string{a, b}}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dials[p] = struct{}{}
	return p
}

// count ends that, and returns the number.
func (t *tracer) count(p *probes) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.dials, p)
	return p.sent
}

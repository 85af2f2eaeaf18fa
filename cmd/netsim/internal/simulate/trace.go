package simulate

import (
	"net/netip"
	"sync"

	"github.com/bdtnet/bdt/netsim"
)

// A tracer counts the probes of those who dial. It listens to the network only while somebody
// dials, or while somebody else wants to know of all events.
type tracer struct {
	net     *netsim.Network
	next    func(netsim.Event)
	servers map[netip.Addr]bool // addresses of SNs and PNs; not changed once steps run

	mu    sync.Mutex
	dials map[*probes]struct{}
}

func newTracer(next func(netsim.Event)) *tracer {
	return &tracer{next: next, servers: make(map[netip.Addr]bool), dials: make(map[*probes]struct{})}
}

// arm listens to the network if there is a reason to.
func (t *tracer) arm() {
	if t.next != nil || len(t.dials) > 0 {
		t.net.Trace(t.event)
	} else {
		t.net.Trace(nil)
	}
}

// event takes in one event.
func (t *tracer) event(e netsim.Event) {
	t.mu.Lock()
	for p := range t.dials {
		p.event(e, t.servers)
	}
	t.mu.Unlock()
	if t.next != nil {
		t.next(e)
	}
}

// probes counts the datagrams that two hosts send elsewhere than to SNs and PNs, until one arrives at
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

func (p *probes) event(e netsim.Event, servers map[netip.Addr]bool) {
	if p.met || e.Proto != netsim.UDP || e.Node != p.hosts[0] && e.Node != p.hosts[1] {
		return
	}
	switch e.Fate {
	case netsim.Sent:
		if !servers[plain(e.Dst.Addr())] && !e.Dst.Addr().IsMulticast() {
			p.sent++
		}
	case netsim.Delivered:
		p.met = !servers[plain(e.Src.Addr())] && !e.Dst.Addr().IsMulticast()
	}
}

// watch begins to count the probes of two hosts.
func (t *tracer) watch(a, b string) *probes {
	p := &probes{hosts: [2]string{a, b}}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dials[p] = struct{}{}
	t.arm()
	return p
}

// count ends that, and returns the number.
func (t *tracer) count(p *probes) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.dials, p)
	t.arm()
	return p.sent
}

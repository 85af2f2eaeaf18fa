package bdt

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/bdtnet/bdt/internal/nat64"
	"github.com/bdtnet/bdt/underlay"
)

const (
	// prefixLife is how long the prefix of a NAT64 is used, and prefixRetry when
	// it is asked for again after there was none, in one and the same network.
	prefixLife  = time.Hour
	prefixRetry = 30 * time.Second
	// prefixTimeout bounds the question, and how long anybody waits for its answer.
	prefixTimeout = 3 * time.Second
)

// A translator knows how to name IPv4 hosts to the NAT64 of a network that has
// IPv6 only (docs/adr/0018). The zero value, with its stack, is ready.
type translator struct {
	stack *Stack

	mu       sync.Mutex
	network  []netip.Prefix // the addresses of the interfaces, for which the rest holds
	prefixes []netip.Prefix // none: there is no NAT64, or it is not known
	until    time.Time      // when to ask again; zero: now
	asking   chan struct{}  // closed when the question under way is answered; nil: there is none
}

// unreachable4 are the IPv4 addresses that mean something on one network only, and
// so nothing to a NAT64 (RFC 6052 §3.1), beside those that netip knows.
var unreachable4 = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
}

// isGlobal4 reports whether a is an IPv4 address that means the same everywhere.
func isGlobal4(a netip.Addr) bool {
	return a.Is4() && a.IsGlobalUnicast() && !a.IsPrivate() &&
		!slices.ContainsFunc(unreachable4, func(p netip.Prefix) bool { return p.Contains(a) })
}

// lacks4 reports whether a host with these addresses has IPv6 and no IPv4.
func lacks4(own []netip.Prefix) bool {
	has := func(is4 bool) bool {
		return slices.ContainsFunc(own, func(p netip.Prefix) bool {
			return p.Addr().Is4() == is4 && p.Addr().IsGlobalUnicast()
		})
	}
	return has(false) && !has(true)
}

// prepare, given the addresses of the interfaces, asks for the prefix if the host has no IPv4 and the prefix is not known
// of late. It returns a channel that is closed when it is; nil: there is nothing to
// wait for. It does not block.
func (t *translator) prepare(own []netip.Prefix) <-chan struct{} {
	t.mu.Lock()
	if !slices.Equal(own, t.network) {
		t.network, t.prefixes, t.until, t.asking = own, nil, time.Time{}, nil
	}
	if !lacks4(own) {
		t.mu.Unlock()
		return nil
	}
	answered, begin := t.asking, false
	if answered == nil && !time.Now().Before(t.until) {
		answered, begin = make(chan struct{}), true
		t.asking = answered
	}
	t.mu.Unlock()
	if begin {
		t.stack.work(func() { t.ask(answered) })
	}
	return answered
}

// ask asks the network's resolver, which knows (RFC 7050 §3).
func (t *translator) ask(answered chan struct{}) {
	defer close(answered)
	ctx, cancel := context.WithTimeout(t.stack.ctx, prefixTimeout)
	defer cancel()
	addrs, err := t.stack.cfg.Network.LookupNetIP(ctx, nat64.DiscoveryName)
	found := nat64.Find(addrs)
	t.stack.log.Debug("looked for a NAT64", "prefixes", found, "err", err)
	t.mu.Lock()
	current := t.asking == answered // else the network has changed meanwhile
	if current {
		wait := prefixRetry
		if len(found) > 0 {
			wait = prefixLife
		}
		t.prefixes, t.until, t.asking = found, time.Now().Add(wait), nil
	}
	t.mu.Unlock()
	if current && len(found) > 0 {
		t.tellPeers()
	}
}

// tellPeers has what peers have been told of IPv4 addresses tried by way of the
// NAT64.
func (t *translator) tellPeers() {
	for _, p := range t.stack.allPeers() {
		p.HandleTranslation()
	}
}

// wait waits until the prefix is known, if the host needs one.
func (t *translator) wait(ctx context.Context, own []netip.Prefix) {
	answered := t.prepare(own)
	if answered == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, prefixTimeout)
	defer cancel()
	select {
	case <-answered:
	case <-ctx.Done():
	}
}

// translate returns the IPv6 address that stands for a global IPv4 one; false if
// the host has IPv4 itself, or there is no NAT64 that is known.
func (t *translator) translate(a netip.Addr) (netip.Addr, bool) {
	if !isGlobal4(a) {
		return netip.Addr{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.prefixes) == 0 {
		return netip.Addr{}, false
	}
	return nat64.Embed(t.prefixes[0], a)
}

// Translate implements peer.Host.
func (h host) Translate(addr netip.AddrPort) (netip.AddrPort, bool) {
	if !addr.Addr().Is4() {
		return netip.AddrPort{}, false
	}
	h.translator.prepare(h.prefixes())
	a, ok := h.translator.translate(addr.Addr())
	return netip.AddrPortFrom(a, addr.Port()), ok
}

// A resolver is the network below for those who resolve names and literals: on a
// network without IPv4 it adds what stands for IPv4 addresses there.
type resolver struct {
	underlay.Network
	stack *Stack
}

func (s *Stack) resolver() underlay.Network { return resolver{s.cfg.Network, s} }

// LookupNetIP implements underlay.Network.
func (r resolver) LookupNetIP(ctx context.Context, name string) ([]netip.Addr, error) {
	addrs, err := r.Network.LookupNetIP(ctx, name)
	if err != nil || !slices.ContainsFunc(addrs, isGlobal4) {
		return addrs, err
	}
	t := &r.stack.translator
	t.wait(ctx, host{r.stack}.lookPrefixes()) // as they are now: the network may just have changed
	var out []netip.Addr
	for _, a := range addrs {
		if to, ok := t.translate(a); ok && !slices.Contains(addrs, to) {
			out = append(out, to)
		}
	}
	return append(out, addrs...), nil
}

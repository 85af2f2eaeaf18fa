package netsim

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/internal/nat64"
)

// A Behavior says how much of the remote address a NAT looks at. The names are
// those of RFC 4787 §4.1 for mapping and §5 for filtering.
type Behavior uint8

const (
	EndpointIndependent Behavior = iota
	AddressDependent
	AddressAndPortDependent
)

// reduce returns the part of a remote address that the behaviour looks at.
func (b Behavior) reduce(remote netip.AddrPort) netip.AddrPort {
	switch b {
	case EndpointIndependent:
		return netip.AddrPort{}
	case AddressDependent:
		return netip.AddrPortFrom(remote.Addr(), 0)
	default:
		return remote
	}
}

// A PortPolicy says which external port a new mapping gets (RFC 4787 §4.2).
type PortPolicy uint8

const (
	PreservePort PortPolicy = iota // the internal port, or if it is taken the next free one
	RandomPort                     // a random port, but never the internal one
)

// A NATConfig describes a NAT. The zero value is [FullCone].
//
// IPv6 is never translated to IPv6: there the NAT is a stateful firewall with the same
// filtering (RFC 6092).
type NATConfig struct {
	Mapping       Behavior
	Filtering     Behavior
	Ports         PortPolicy
	Hairpin       bool          // hosts behind it reach each other by its external address (RFC 4787 §6)
	NoTranslation bool          // a firewall: IPv4 keeps its addresses too
	Timeout       time.Duration // life of a mapping since the last packet out, 0: 120 s (RFC 4787 §4.3)
	MaxMappings   int           // mappings, and remotes let in, at a time; 0: 65,536

	// Prefix64 makes it a NAT64 as well (RFC 6146): IPv6 packets from below to
	// addresses of this prefix go on as IPv4, and hosts below it resolve names
	// through a DNS64 (RFC 6147). Its length is one that RFC 6052 §2.2 allows.
	Prefix64 netip.Prefix

	// StealPorts has it track connections as Linux does when its WAN side does
	// not drop what nobody asked for: such a packet makes an entry of its own,
	// for 30 s, and mappings must use other ports towards that remote.
	StealPorts bool
}

// The classical kinds of NAT of RFC 3489 §5.
var (
	FullCone       = NATConfig{}
	RestrictedCone = NATConfig{Filtering: AddressDependent}
	PortRestricted = NATConfig{Filtering: AddressAndPortDependent}
	Symmetric      = NATConfig{Mapping: AddressAndPortDependent, Filtering: AddressAndPortDependent, Ports: RandomPort}
)

// NAT64 serves hosts that have IPv6 only.
var NAT64 = NATConfig{Filtering: AddressAndPortDependent, Prefix64: nat64.WellKnown}

// Firewall drops what nobody behind it asked for and translates nothing.
var Firewall = NATConfig{Filtering: AddressAndPortDependent, NoTranslation: true}

const (
	defaultTimeout     = 120 * time.Second
	defaultMaxMappings = 1 << 16
	stealTimeout       = 30 * time.Second // net.netfilter.nf_conntrack_udp_timeout
	firstNATPort       = 1024             // RFC 4787 §4.2.1: not a well-known port
	numNATPorts        = 1<<16 - firstNATPort
)

// A NAT translates the addresses of what is below it to its own external one.
type NAT struct {
	base
	cfg      NATConfig
	uplink   *Link
	external netip.Addr // IPv4
	mappings *expiring[endpoints, *mapping]
	byOuter  map[endpoint]*mapping
	pinholes *expiring[endpoints, struct{}] // outer endpoint and the remotes let in
	stolen   *expiring[endpoints, struct{}] // outer endpoint and the remote that took it
	resets   uint64                         // how often it was reset
}

// An endpoint is one end of a flow. Each protocol has ports of its own.
type endpoint struct {
	proto Protocol
	netip.AddrPort
}

// endpoints is an endpoint of the NAT and as much of a remote one as matters.
type endpoints struct {
	proto         Protocol
	local, remote netip.AddrPort
}

// A mapping joins an internal endpoint to an external one. Without translation
// they are the same.
type mapping struct {
	proto        Protocol
	inner, outer netip.AddrPort
}

// NAT adds a NAT. Its first address in [Network.Connect] to the node above is
// its external one.
func (n *Network) NAT(name string, cfg NATConfig) *NAT {
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.MaxMappings <= 0 {
		cfg.MaxMappings = defaultMaxMappings
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	t := &NAT{base: n.newBase(name), cfg: cfg, byOuter: make(map[endpoint]*mapping)}
	t.mappings = newExpiring[endpoints](cfg.Timeout, cfg.MaxMappings, func(m *mapping) { delete(t.byOuter, endpoint{m.proto, m.outer}) })
	t.pinholes = newExpiring[endpoints, struct{}](cfg.Timeout, cfg.MaxMappings, nil)
	t.stolen = newExpiring[endpoints, struct{}](stealTimeout, cfg.MaxMappings, nil)
	return t
}

func (t *NAT) adopt(l *Link, addrs []netip.Prefix) ([]netip.Prefix, error) {
	if t.uplink != nil {
		return nil, errors.New("a NAT has one uplink")
	}
	if p := t.cfg.Prefix64; p.IsValid() && (!nat64.Valid(p) || t.cfg.NoTranslation) {
		return nil, fmt.Errorf("%v cannot be the prefix of this NAT64", p)
	}
	told := make([]netip.Prefix, len(addrs))
	var external netip.Addr
	for i, p := range addrs {
		told[i] = single(p.Addr())
		switch {
		case t.cfg.NoTranslation || p.Addr().Is6():
			told[i] = p // a prefix below it
		case external.IsValid():
			return nil, fmt.Errorf("%v: a NAT has one external address", p.Addr())
		default:
			external = p.Addr()
		}
	}
	if err := free(l, told); err != nil {
		return nil, err
	}
	t.uplink, t.external = l, external
	t.routes.add(default4, l.up)
	t.routes.add(default6, l.up)
	return told, nil
}

func (t *NAT) hides(p netip.Prefix) bool { return t.translates(p.Addr()) }

// translates reports whether packets that are to go on in a's family, to or from
// addresses above, are translated.
func (t *NAT) translates(a netip.Addr) bool { return a.Is4() && !t.cfg.NoTranslation }

func (t *NAT) receive(p *packet, in *pipe) {
	src, dst := p.Src, p.Dst
	if in.link == t.uplink {
		t.inward(p, in, src, dst)
		return
	}
	if !t.to4(p) {
		t.drop(DropNoRoute, p, in)
		return
	}
	out := t.routes.lookup(p.Dst.Addr())
	switch {
	case dst.Addr().IsMulticast():
		t.drop(DropNoRoute, p, in)
	case p.Dst.Addr() == t.external:
		t.hairpin(p, in, src, dst)
	case out == nil:
		t.drop(DropNoRoute, p, in)
	case !p.forward():
		p.Dst = dst
		t.expire(p, in) // before it makes a mapping, as in Linux
	case out.link != t.uplink:
		out.send(p) // from one host below to another
	case !t.outward(p):
		t.drop(DropFull, p, in)
	default:
		t.translated(p, in, src, dst)
		out.send(p)
	}
}

// translated records that p was let through, with its addresses before.
func (t *NAT) translated(p *packet, in *pipe, src, dst netip.AddrPort) {
	p.setFlow()
	t.stats.add(Translated, p)
	t.net.event(Translated, &t.base, in, p, src, dst)
}

// hairpin turns a packet from below to the external address around. It comes
// back from the sender's external endpoint (RFC 4787 §6, REQ-9a).
func (t *NAT) hairpin(p *packet, in *pipe, src, dst netip.AddrPort) {
	switch {
	case !t.cfg.Hairpin:
		t.drop(DropFilter, p, in)
	case p.HopLimit <= 1:
		t.expire(p, in)
	case !t.outward(p):
		t.drop(DropFull, p, in)
	default:
		t.inward(p, in, src, dst)
	}
}

// outward gives p its external source, refreshes the mapping and opens a
// pinhole to the remote. It reports false if a table is full.
func (t *NAT) outward(p *packet) bool {
	now := t.net.at
	key, m := t.find(p.Proto, p.Src, p.Dst)
	if m == nil {
		outer, ok := t.allocate(p.Proto, p.Src, p.Dst)
		if !ok {
			return false
		}
		m = &mapping{proto: p.Proto, inner: p.Src, outer: outer}
	}
	if !t.mappings.put(key, m, now) {
		return false
	}
	t.byOuter[endpoint{p.Proto, m.outer}] = m
	p.Src = m.outer
	return t.pinholes.put(endpoints{p.Proto, m.outer, t.cfg.Filtering.reduce(p.Dst)}, struct{}{}, now)
}

// untranslated is the remote under which the one mapping of an endpoint to itself
// is filed.
var untranslated = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)

// find returns the mapping of inner towards remote, or nil and the key to
// enter a new one under. What was pushed off a stolen port has a mapping of
// its own, under the whole remote address.
func (t *NAT) find(proto Protocol, inner, remote netip.AddrPort) (endpoints, *mapping) {
	now := t.net.at
	general := endpoints{proto, inner, t.cfg.Mapping.reduce(remote)}
	if !t.translates(remote.Addr()) {
		general.remote = untranslated
	}
	own := endpoints{proto, inner, remote}
	m, ok := t.mappings.get(general, now)
	if !t.cfg.StealPorts || !t.translates(remote.Addr()) {
		return general, m
	}
	if m, ok := t.mappings.get(own, now); ok {
		return own, m
	}
	outer := netip.AddrPortFrom(t.external, inner.Port())
	if ok {
		outer = m.outer
	}
	if _, stolen := t.stolen.get(endpoints{proto, outer, remote}, now); stolen {
		return own, nil
	}
	return general, m
}

// allocate returns a free external endpoint for inner towards remote.
func (t *NAT) allocate(proto Protocol, inner, remote netip.AddrPort) (netip.AddrPort, bool) {
	if !t.translates(remote.Addr()) {
		return inner, true
	}
	if !t.external.IsValid() || len(t.byOuter) >= numNATPorts {
		return netip.AddrPort{}, false
	}
	num := inner.Port()
	if t.cfg.Ports == RandomPort {
		num = t.draw(proto, inner, remote)
	}
	for range numNATPorts + 1 { // the first may be a well-known port
		outer := netip.AddrPortFrom(t.external, num)
		_, stolen := t.stolen.get(endpoints{proto, outer, remote}, t.net.at)
		kept := t.cfg.Ports == RandomPort && num == inner.Port()
		if _, used := t.byOuter[endpoint{proto, outer}]; !used && !stolen && !kept {
			return outer, true
		}
		if num++; num < firstNATPort {
			num = firstNATPort
		}
	}
	return netip.AddrPort{}, false
}

// draw returns a random port for inner towards remote. It comes from the flow and the
// instant: what else the NAT has translated until then makes no difference.
func (t *NAT) draw(proto Protocol, inner, remote netip.AddrPort) uint16 {
	flow := Packet{Proto: proto, Src: inner, Dst: remote}
	return uint16(firstNATPort + mix(t.net.cfg.Seed, t.id, t.resets, flow.hash(), uint64(t.net.at))%numNATPorts)
}

// inward lets p in if it was asked for, and gives it its internal destination.
// src and dst are p's addresses as they reached the NAT.
func (t *NAT) inward(p *packet, in *pipe, src, dst netip.AddrPort) {
	now := t.net.at
	t.mappings.expire(now)
	m := t.byOuter[endpoint{p.Proto, p.Dst}]
	_, open := t.pinholes.get(endpoints{p.Proto, p.Dst, t.cfg.Filtering.reduce(p.Src)}, now)
	if m == nil || !open {
		if t.cfg.StealPorts && in.link == t.uplink {
			t.stolen.put(endpoints{p.Proto, p.Dst, p.Src}, struct{}{}, now) // when full, as if it were dropped
		}
		t.drop(DropFilter, p, in)
		return
	}
	out := t.routes.lookup(m.inner.Addr())
	switch {
	case out == nil || out.link == t.uplink: // the host has left
		t.drop(DropNoRoute, p, in)
	case !p.forward():
		p.Src = src // a hairpin has translated it
		t.expire(p, in)
	default:
		p.Dst = m.inner
		t.to6(p)
		t.translated(p, in, src, dst)
		out.send(p)
	}
}

// Reset has the NAT forget all mappings and whom it lets in, as when it restarts. What
// is sent next gets a mapping anew: another port with RandomPort, the same with
// PreservePort if it is still the first to ask for it.
func (t *NAT) Reset() {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	t.resets++
	t.mappings.expire(forever)
	t.pinholes.expire(forever)
	t.stolen.expire(forever)
}

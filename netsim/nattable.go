package netsim

import (
	"net/netip"
	"time"
)

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
	key          endpoints // under which it is filed
	replied      bool      // a packet has come in
	explicit     bool      // a host has asked for it: [explicitMapping]
}

// A pinhole lets packets in that come from where some went to.
type pinhole struct {
	replied bool // a packet has come in
	closing bool // TCP: a FIN or RST has passed, and no SYN since
}

// see notes what a packet that passes says of the connection.
func (h pinhole) see(p *packet) pinhole {
	if p.Proto != TCP {
		return h
	}
	switch {
	case p.TCP.Flags&(FIN|RST) != 0:
		h.closing = true
	case p.TCP.Flags&SYN != 0:
		h.closing = false
	}
	return h
}

// life returns how long a pinhole or mapping lives from the last packet that counts.
func (t *NAT) life(proto Protocol, h pinhole) time.Duration {
	switch {
	case proto == TCP && h.replied && !h.closing:
		return t.cfg.TCPTimeout
	case proto == TCP:
		return t.cfg.TCPTransitory
	case h.replied:
		return t.cfg.Timeout
	}
	return t.cfg.UnrepliedTimeout
}

// refresh has a mapping live on from now. That of TCP lives as long as an established
// connection once there was one. It reports false if the table is full.
func (t *NAT) refresh(m *mapping) bool {
	return t.mappings.putFor(m.key, m, t.net.at, t.life(m.proto, pinhole{replied: m.replied}))
}

// outward gives p its external source, refreshes the mapping and opens a
// pinhole to the remote. If p cannot pass it returns p's fate and false.
func (t *NAT) outward(p *packet) (Fate, bool) {
	if p.Proto == ICMP {
		return DropFilter, t.errorOut(p)
	}
	if m := t.portmap.outward(p.Proto, p.Src, p.Dst); m != nil {
		p.Src = m.outer
		return Translated, true
	}
	key, m := t.find(p.Proto, p.Src, p.Dst)
	isNew := m == nil
	if isNew {
		if len(t.mappings.entries)+t.portmap.count() >= t.cfg.MaxMappings {
			return DropFull, false // without a search for a port
		}
		outer, ok := t.allocate(p.Proto, p.Src, p.Dst)
		if !ok {
			return DropFull, false
		}
		m = &mapping{proto: p.Proto, inner: p.Src, outer: outer, key: key}
	}
	if !t.refresh(m) {
		return DropFull, false
	}
	if isNew {
		t.occupy(m)
	}
	hole := endpoints{p.Proto, m.outer, t.cfg.Filtering.reduce(p.Dst)}
	h, _ := t.pinholes.get(hole, t.net.at)
	h = h.see(p)
	p.Src = m.outer
	return DropFull, t.pinholes.putFor(hole, h, t.net.at, t.life(p.Proto, h))
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

// inward lets p in if it was asked for, and gives it its internal destination.
// src and dst are p's addresses as they reached the NAT.
func (t *NAT) inward(p *packet, in *pipe, src, dst netip.AddrPort) {
	now := t.net.at
	t.mappings.expire(now)
	if p.Proto == ICMP {
		t.errorIn(p, in, src, dst)
		return
	}
	m := t.byOuter[endpoint{p.Proto, p.Dst}]
	hole := endpoints{p.Proto, p.Dst, t.cfg.Filtering.reduce(p.Src)}
	h, open := t.pinholes.get(hole, now)
	if e := t.portmap.inward(p.Proto, p.Dst); e != nil {
		m, open = e, true
	}
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
		t.replied(m, hole, h, p)
		p.Dst = m.inner
		if t.cfg.HairpinInner && in.link != t.uplink {
			p.Src = src
		}
		t.to6(p)
		t.translated(p, in, src, dst)
		out.send(p)
	}
}

// replied notes that p has come in. That keeps the mapping alive where the configuration
// has it so, for TCP, and where the first packet in gives it a longer life.
func (t *NAT) replied(m *mapping, hole endpoints, h pinhole, p *packet) {
	first := !h.replied
	h.replied = true
	h = h.see(p)
	if m.explicit {
		t.portmap.admit(m, p.Src, t.life(p.Proto, h))
		return
	}
	if !t.cfg.InboundRefresh && p.Proto != TCP && !(first && t.cfg.UnrepliedTimeout != t.cfg.Timeout) {
		return
	}
	m.replied = true
	t.refresh(m) // it is there: the table cannot be full
	t.pinholes.putFor(hole, h, t.net.at, t.life(p.Proto, h))
}

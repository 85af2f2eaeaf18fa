package netsim

import (
	"net/netip"

	"github.com/bdtnet/bdt/internal/nat64"
)

// nat64MTU is what an IPv6 header is longer than an IPv4 one (RFC 7915 §4.2).
const nat64MTU = 20

// errorIn lets an ICMP error in that is about a packet which has gone out, as the sender
// of that packet would see it (RFC 4787 §9, RFC 5508 §4). It refreshes nothing.
func (t *NAT) errorIn(p *packet, in *pipe, src, dst netip.AddrPort) {
	m := *p.ICMP
	q := &m.Quote
	mp := t.byOuter[endpoint{q.Proto, q.Src}]
	_, open := t.pinholes.get(endpoints{q.Proto, q.Src, t.cfg.Filtering.reduce(q.Dst)}, t.net.at)
	if e := t.portmap.inward(q.Proto, q.Src); e != nil {
		mp, open = e, true
	}
	if mp == nil || !open || p.Dst.Addr() != q.Src.Addr() {
		t.drop(DropFilter, p, in)
		return
	}
	out := t.routes.lookup(mp.inner.Addr())
	switch {
	case out == nil || out.link == t.uplink:
		t.drop(DropNoRoute, p, in)
	case !p.forward():
		t.drop(DropTTL, p, in)
	default:
		q.Src = mp.inner
		p.Dst = netip.AddrPortFrom(mp.inner.Addr(), icmpSource)
		if mp.inner.Addr().Is6() && q.Dst.Addr().Is4() {
			a, _ := nat64.Embed(t.cfg.Prefix64, q.Dst.Addr()) // valid: there is a mapping
			q.Dst = netip.AddrPortFrom(a, q.Dst.Port())
			if m.Type == PacketTooBig {
				m.MTU += nat64MTU
			}
		}
		p.ICMP = &m
		t.to6(p)
		t.translated(p, in, src, dst)
		out.send(p)
	}
}

// errorOut gives an ICMP error from below the form in which the sender of the packet that
// it is about knows that packet. It reports false if no such packet can have come in.
func (t *NAT) errorOut(p *packet) bool {
	m := *p.ICMP
	q := &m.Quote
	if t.cfg.Prefix64.IsValid() && t.cfg.Prefix64.Contains(q.Src.Addr()) {
		a, ok := nat64.Extract(t.cfg.Prefix64, q.Src.Addr())
		if !ok {
			return false
		}
		q.Src = netip.AddrPortFrom(a, q.Src.Port())
		if m.Type == PacketTooBig {
			m.MTU -= nat64MTU
		}
	}
	mp := t.portmap.outward(q.Proto, q.Dst, q.Src)
	if mp == nil {
		_, mp = t.find(q.Proto, q.Dst, q.Src)
	}
	if mp == nil {
		return false
	}
	q.Dst = mp.outer
	if t.translates(p.Dst.Addr()) {
		p.Src = netip.AddrPortFrom(t.external, icmpSource) // RFC 5508 §4.3, REQ-6
	}
	p.ICMP = &m
	return true
}

package netsim

import (
	"net/netip"
	"slices"
	"time"
)

// A mapRequest is what a host asks for, in any protocol.
type mapRequest struct {
	by    mapper
	nonce nonce
	proto Protocol
	inner netip.AddrPort
	outer netip.AddrPort // what it would like; its family says which is wanted
	exact bool           // that port or none
	life  time.Duration  // not 0
}

// A mapRefusal is why a mapping was not made or deleted. Each protocol has numbers of its own.
type mapRefusal uint8

const (
	granted       mapRefusal = iota
	notAuthorized            // the mapping is another's
	noNetwork                // there is no external address
	noResources              // the table is full, or all ports are taken
	notThatPort              // what was wanted exactly cannot be had
)

// same returns the mapping that a request is about: PCP and NAT-PMP have one for each internal
// endpoint, and family outside.
func (pm *portMapper) same(proto Protocol, inner netip.AddrPort, is4 bool) *explicitMapping {
	pm.prune()
	for _, e := range pm.byInner[endpoint{proto, inner}] {
		if e.outer.Addr().Is4() == is4 {
			return e
		}
	}
	return nil
}

// open makes a mapping, or renews the one that there is (RFC 6887 §11.3). With notAuthorized it
// returns the one that is in the way.
func (pm *portMapper) open(r mapRequest) (*explicitMapping, mapRefusal) {
	now := pm.nat.net.at
	e := pm.same(r.proto, r.inner, r.outer.Addr().Is4())
	switch {
	case e == nil:
	case e.by != r.by || e.nonce != r.nonce:
		return e, notAuthorized
	case r.exact && r.outer.Port() != 0 && e.outer != r.outer:
		return nil, notThatPort // RFC 6887 §13.2
	default:
		e.until = now + r.life
		pm.due = min(pm.due, e.until) // it may be shorter than it was
		return e, granted
	}
	if pm.full() {
		return nil, noResources
	}
	outer, why := pm.place(r)
	if why != granted {
		return nil, why
	}
	e = &explicitMapping{by: r.by, nonce: r.nonce, until: now + r.life}
	e.mapping = mapping{proto: r.proto, inner: r.inner, outer: outer, explicit: true}
	pm.add(e)
	return e, granted
}

// full reports whether there is no room for one more mapping.
func (pm *portMapper) full() bool {
	t := pm.nat
	t.mappings.expire(t.net.at)
	return len(pm.list) >= pm.cfg.MaxMappings || len(pm.list)+len(t.mappings.entries) >= t.cfg.MaxMappings
}

// place chooses the outer endpoint of a new mapping.
func (pm *portMapper) place(r mapRequest) (netip.AddrPort, mapRefusal) {
	t, want := pm.nat, r.outer
	if !t.translates(want.Addr()) {
		if r.exact && want != r.inner {
			return netip.AddrPort{}, notThatPort
		}
		return r.inner, granted
	}
	if !t.external.IsValid() {
		return netip.AddrPort{}, noNetwork
	}
	anyone := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	if t.cfg.Mapping == EndpointIndependent {
		// RFC 6887 §11.3: what the endpoint has already is what it gets.
		if m, ok := t.mappings.get(endpoints{r.proto, r.inner, netip.AddrPort{}}, t.net.at); ok {
			if r.exact && m.outer != want {
				return netip.AddrPort{}, notThatPort
			}
			return m.outer, granted
		}
	}
	if suggested := netip.AddrPortFrom(t.external, want.Port()); pm.canHave(r.proto, suggested, r.inner) && (!r.exact || want == suggested) {
		return suggested, granted
	}
	if r.exact {
		return netip.AddrPort{}, notThatPort
	}
	if outer, ok := t.allocate(r.proto, r.inner, anyone); ok {
		return outer, granted
	}
	return netip.AddrPort{}, noResources
}

// canHave reports whether inner may have outer as the port that it asked for.
func (pm *portMapper) canHave(proto Protocol, outer, inner netip.AddrPort) bool {
	t := pm.nat
	anyone := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	return t.cfg.PortRange.contains(outer.Port()) && t.isFree(proto, outer, inner, anyone)
}

// close deletes a mapping. One that is not there is deleted already. With notAuthorized it
// returns the one that is another's.
func (pm *portMapper) close(r mapRequest) (*explicitMapping, mapRefusal) {
	e := pm.same(r.proto, r.inner, r.outer.Addr().Is4())
	switch {
	case e == nil:
	case e.by != r.by || e.nonce != r.nonce:
		return e, notAuthorized
	default:
		pm.remove(e)
	}
	return nil, granted
}

// closeAll deletes what a host has opened of a protocol.
func (pm *portMapper) closeAll(by mapper, proto Protocol, host netip.Addr) {
	for _, e := range slices.Clone(pm.list) {
		if e.by == by && e.proto == proto && e.inner.Addr() == host {
			pm.remove(e)
		}
	}
}

// life returns for how long a mapping is made that was asked for so many seconds, at least 1.
func (pm *portMapper) life(seconds uint32, least time.Duration) time.Duration {
	return min(max(time.Duration(seconds)*time.Second, least), pm.cfg.MaxLifetime)
}

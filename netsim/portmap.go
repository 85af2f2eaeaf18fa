package netsim

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A PortMapping says by which protocols hosts below a NAT may open ports to themselves. The
// zero value is none.
type PortMapping struct {
	PCP    bool // RFC 6887, for IPv6, too: there it opens the firewall
	NATPMP bool // RFC 6886
	IGD    int  // UPnP InternetGatewayDevice of version 1 or 2, 0: none

	// Gateway is the inside address that answers, zero: the first of the prefix below that nobody
	// has. Without a prefix below nothing answers.
	Gateway     netip.Addr
	ThirdParty  bool          // a host may map for another: PCP's THIRD_PARTY, and UPnP
	MaxMappings int           // opened so at a time, 0: 128; they count against those of the NAT as well
	MaxLifetime time.Duration // of a mapping, 0: 24 h (RFC 6887 §15)
}

const (
	defaultPortMappings = 128
	maxPortMappings     = 1 << 14
	defaultMapLifetime  = 24 * time.Hour
	minMapLifetime      = 2 * time.Minute // RFC 6887 §15
	maxMapLifetime      = 1<<32*time.Second - time.Second
)

func (c PortMapping) on() bool { return c.PCP || c.NATPMP || c.IGD != 0 }

// normalize fills in the defaults and refuses what makes no sense. A NAT's other
// configuration is told by whether it translates.
func (c PortMapping) normalize(translates bool) (PortMapping, error) {
	c.MaxMappings = cmp.Or(max(c.MaxMappings, 0), defaultPortMappings)
	c.MaxLifetime = cmp.Or(max(c.MaxLifetime, 0), defaultMapLifetime)
	switch {
	case c.IGD < 0 || c.IGD > 2:
		return c, fmt.Errorf("no InternetGatewayDevice has version %d: give 1 or 2, or 0 for none", c.IGD)
	case c.MaxMappings > maxPortMappings:
		return c, fmt.Errorf("%d port mappings are more than %d", c.MaxMappings, maxPortMappings)
	case c.MaxLifetime < minMapLifetime || c.MaxLifetime > maxMapLifetime:
		return c, fmt.Errorf("a lifetime of port mappings of %v is not in %v to %v", c.MaxLifetime, minMapLifetime, maxMapLifetime)
	case !translates && (c.NATPMP || c.IGD != 0):
		return c, errors.New("what translates nothing has no ports to map: of port mapping it can do PCP alone")
	case c.Gateway.Zone() != "" || c.Gateway.Is4In6() || c.Gateway.IsMulticast() || c.Gateway.IsLoopback():
		return c, fmt.Errorf("%v cannot be the address of a gateway", c.Gateway)
	}
	return c, nil
}

// A mapper is a protocol that opens ports.
type mapper uint8

const (
	byPCP mapper = iota
	byNATPMP
	byIGD
)

// A nonce is what a PCP client knows its mapping by (RFC 6887 §11.1).
type nonce [12]byte

// An explicitMapping is one that a host has asked for (RFC 6887 §2). It lets in everybody and
// lives without traffic.
type explicitMapping struct {
	mapping
	by    mapper
	nonce nonce
	until time.Duration // forever: it does not end
	text  string        // UPnP: what it is for
}

// lifetime returns what is left at an instant.
func (e *explicitMapping) lifetime(now time.Duration) time.Duration {
	if e.until == forever {
		return 0 // as UPnP says it
	}
	return e.until - now
}

// portMapper is what a NAT knows of explicit mappings. Nil is one that has none.
type portMapper struct {
	nat      *NAT
	cfg      PortMapping
	list     []*explicitMapping // oldest first
	byOuter  map[endpoint]*explicitMapping
	byInner  map[endpoint][]*explicitMapping
	due      time.Duration                  // nothing ends before
	admitted *expiring[endpoints, struct{}] // outer endpoint of an explicit mapping and a remote that came in by it
	gateway
}

func newPortMapper(t *NAT) *portMapper {
	pm := &portMapper{nat: t, cfg: t.cfg.PortMap}
	pm.admitted = newExpiring[endpoints, struct{}](t.cfg.Timeout, t.cfg.MaxMappings, nil)
	pm.clear()
	pm.gateway.init(t)
	return pm
}

// clear forgets all mappings.
func (pm *portMapper) clear() {
	pm.list = nil
	pm.byOuter = make(map[endpoint]*explicitMapping)
	pm.byInner = make(map[endpoint][]*explicitMapping)
	pm.admitted.clear()
}

// restart is what happens to port mapping when the NAT restarts.
func (pm *portMapper) restart() {
	if pm == nil {
		return
	}
	pm.clear()
	pm.gateway.restart()
}

// prune removes mappings whose life is over.
func (pm *portMapper) prune() {
	now := pm.nat.net.at
	if now < pm.due {
		return
	}
	pm.due = forever
	for _, e := range slices.Clone(pm.list) {
		if e.until <= now {
			pm.remove(e)
		} else {
			pm.due = min(pm.due, e.until)
		}
	}
}

func (pm *portMapper) add(e *explicitMapping) {
	inner := endpoint{e.proto, e.inner}
	pm.due = min(pm.due, e.until)
	pm.list = append(pm.list, e)
	pm.byOuter[endpoint{e.proto, e.outer}] = e
	pm.byInner[inner] = append(pm.byInner[inner], e)
}

func (pm *portMapper) remove(e *explicitMapping) {
	inner := endpoint{e.proto, e.inner}
	same := func(o *explicitMapping) bool { return o == e }
	pm.list = slices.DeleteFunc(pm.list, same)
	delete(pm.byOuter, endpoint{e.proto, e.outer})
	if pm.byInner[inner] = slices.DeleteFunc(pm.byInner[inner], same); len(pm.byInner[inner]) == 0 {
		delete(pm.byInner, inner)
	}
}

// at returns the mapping that has an outer endpoint, or nil.
func (pm *portMapper) at(proto Protocol, outer netip.AddrPort) *explicitMapping {
	if pm == nil {
		return nil
	}
	if e := pm.byOuter[endpoint{proto, outer}]; e != nil && e.until > pm.nat.net.at {
		return e
	}
	return nil
}

// free reports whether inner may have an outer endpoint. Where NAT-PMP has mapped a port of
// one protocol, that of the other is the same host's (RFC 6886 §3.3).
func (pm *portMapper) free(proto Protocol, outer, inner netip.AddrPort) bool {
	if pm == nil {
		return true
	}
	for _, p := range []Protocol{UDP, TCP} {
		if e := pm.at(p, outer); e != nil && (p == proto || e.by == byNATPMP && e.inner.Addr() != inner.Addr()) {
			return false
		}
	}
	return true
}

// inward returns the mapping by which p, which is addressed to its outer endpoint, comes in, or
// nil.
func (pm *portMapper) inward(proto Protocol, outer netip.AddrPort) *mapping {
	if e := pm.at(proto, outer); e != nil {
		return &e.mapping
	}
	return nil
}

// admit notes that remote has come in by m: answers go out by m, too.
func (pm *portMapper) admit(m *mapping, remote netip.AddrPort, life time.Duration) {
	pm.admitted.putFor(endpoints{m.proto, m.outer, remote}, struct{}{}, pm.nat.net.at, life) // when full, as if it had not
}

// outward returns the mapping by which inner sends to remote, or nil: one that remote came in
// by, or, unless inner has another towards it already, the oldest.
func (pm *portMapper) outward(proto Protocol, inner, remote netip.AddrPort) *mapping {
	if pm == nil {
		return nil
	}
	now := pm.nat.net.at
	var first *mapping
	for _, e := range pm.byInner[endpoint{proto, inner}] {
		if e.until <= now || e.outer.Addr().Is4() != remote.Addr().Is4() {
			continue
		}
		if _, ok := pm.admitted.get(endpoints{proto, e.outer, remote}, now); ok {
			return &e.mapping
		}
		if first == nil {
			first = &e.mapping
		}
	}
	if first == nil {
		return nil
	}
	if _, m := pm.nat.find(proto, inner, remote); m != nil && m.outer != first.outer {
		return nil
	}
	return first
}

// count returns how many mappings there are.
func (pm *portMapper) count() int {
	if pm == nil {
		return 0
	}
	pm.prune()
	return len(pm.list)
}

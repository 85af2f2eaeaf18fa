package netsim

import (
	"net/netip"
	"slices"
	"time"
)

// A natModel is a NAT as RFC 4787 would have it of one configuration, told by lists that
// are searched from end to end: what FuzzNAT holds the tables of a NAT to.
type natModel struct {
	cfg      NATConfig // normalized
	external netip.Addr
	taken    func(port uint16) bool // by other subscribers
	mappings []*modelMapping
	holes    []*modelHole
	stolen   []*modelStolen
}

// A modelMapping is of an inner endpoint towards as much of a remote one as matters.
type modelMapping struct {
	proto                Protocol
	inner, remote, outer netip.AddrPort
	replied              bool
	last                 time.Duration
}

// A modelHole lets in what comes to outer from as much of a remote as matters.
type modelHole struct {
	proto            Protocol
	outer, remote    netip.AddrPort
	replied, closing bool
	last             time.Duration
}

// A modelStolen is a port that an unsolicited packet holds towards its sender.
type modelStolen struct {
	proto         Protocol
	outer, remote netip.AddrPort
	last          time.Duration
}

// matters is as much of a remote endpoint as b looks at.
func matters(b Behavior, remote netip.AddrPort) netip.AddrPort {
	switch b {
	case EndpointIndependent:
		return netip.AddrPort{}
	case AddressDependent:
		return netip.AddrPortFrom(remote.Addr(), 0)
	}
	return remote
}

func (m *natModel) life(proto Protocol, replied, closing bool) time.Duration {
	if proto == TCP {
		if replied && !closing {
			return m.cfg.TCPTimeout
		}
		return m.cfg.TCPTransitory
	}
	if replied {
		return m.cfg.Timeout
	}
	return m.cfg.UnrepliedTimeout
}

// tick forgets what has not been used for its life.
func (m *natModel) tick(now time.Duration) {
	m.mappings = slices.DeleteFunc(m.mappings, func(x *modelMapping) bool { return now-x.last >= m.life(x.proto, x.replied, false) })
	m.holes = slices.DeleteFunc(m.holes, func(x *modelHole) bool { return now-x.last >= m.life(x.proto, x.replied, x.closing) })
	m.stolen = slices.DeleteFunc(m.stolen, func(x *modelStolen) bool { return now-x.last >= 30*time.Second })
}

// towards returns the mapping of a packet from inner to remote; if it has none yet,
// under which remote it gets one.
func (m *natModel) towards(proto Protocol, inner, remote netip.AddrPort) (*modelMapping, netip.AddrPort) {
	find := func(key netip.AddrPort) *modelMapping {
		for _, x := range m.mappings {
			if x.proto == proto && x.inner == inner && x.remote == key {
				return x
			}
		}
		return nil
	}
	key := matters(m.cfg.Mapping, remote)
	if m.cfg.NoTranslation {
		return find(netip.AddrPort{}), netip.AddrPort{}
	}
	x := find(key)
	if !m.cfg.StealPorts {
		return x, key
	}
	if own := find(remote); own != nil {
		return own, remote
	}
	outer := netip.AddrPortFrom(m.external, inner.Port())
	if x != nil {
		outer = x.outer
	}
	if m.isStolen(proto, outer, remote) {
		return nil, remote
	}
	return x, key
}

func (m *natModel) isStolen(proto Protocol, outer, remote netip.AddrPort) bool {
	return slices.ContainsFunc(m.stolen, func(x *modelStolen) bool {
		return x.proto == proto && x.outer == outer && x.remote == remote
	})
}

// free returns the ports that a new mapping may get.
func (m *natModel) free(proto Protocol, inner, remote netip.AddrPort) (ports []uint16) {
	if m.cfg.NoTranslation {
		return []uint16{inner.Port()}
	}
	for port := int(m.cfg.PortRange.Low); port <= int(m.cfg.PortRange.High); port++ {
		outer := netip.AddrPortFrom(m.external, uint16(port))
		used := slices.ContainsFunc(m.mappings, func(x *modelMapping) bool { return x.proto == proto && x.outer == outer })
		if used || m.taken(uint16(port)) || m.isStolen(proto, outer, remote) || m.cfg.Ports == RandomPort && outer.Port() == inner.Port() {
			continue
		}
		ports = append(ports, uint16(port))
	}
	return ports
}

// out is a packet from below. got is the endpoint that it has in fact got, if it has passed. out
// returns the endpoint that it must have had, or false if it must not have passed; what it may
// not be is a complaint.
func (m *natModel) out(proto Protocol, flags TCPFlags, inner, remote, got netip.AddrPort, now time.Duration) (outer netip.AddrPort, passes bool, complaint string) {
	m.tick(now)
	x, key := m.towards(proto, inner, remote)
	if x == nil {
		free := m.free(proto, inner, remote)
		if len(m.mappings) >= m.cfg.MaxMappings || len(free) == 0 {
			return outer, false, ""
		}
		x = &modelMapping{proto: proto, inner: inner, remote: key}
		m.mappings = append(m.mappings, x)
		switch {
		case m.cfg.NoTranslation:
			got = inner
		case !got.IsValid(): // it was dropped later on: which it got is not known
		case got.Addr() != m.external || !slices.Contains(free, got.Port()):
			complaint = "its port was not free"
		case m.cfg.Ports == PreservePort && slices.Contains(free, inner.Port()) && got.Port() != inner.Port():
			complaint = "its port was not preserved"
		}
		x.outer = got
	}
	x.last = now
	h := m.hole(proto, x.outer, remote)
	if h == nil {
		if len(m.holes) >= m.cfg.MaxMappings {
			return x.outer, false, complaint
		}
		h = &modelHole{proto: proto, outer: x.outer, remote: matters(m.cfg.Filtering, remote)}
		m.holes = append(m.holes, h)
	}
	h.see(flags)
	h.last = now
	return x.outer, true, complaint
}

func (m *natModel) hole(proto Protocol, outer, remote netip.AddrPort) *modelHole {
	for _, h := range m.holes {
		if h.proto == proto && h.outer == outer && h.remote == matters(m.cfg.Filtering, remote) {
			return h
		}
	}
	return nil
}

func (h *modelHole) see(flags TCPFlags) {
	if h.proto == TCP && flags&(FIN|RST) != 0 {
		h.closing = true
	} else if h.proto == TCP && flags&SYN != 0 {
		h.closing = false
	}
}

// in is a packet to an outer endpoint. It returns the inner one that it must get to, or
// false if it must not pass.
func (m *natModel) in(proto Protocol, flags TCPFlags, remote, outer netip.AddrPort, around bool, now time.Duration) (netip.AddrPort, bool) {
	m.tick(now)
	x, h := m.entries(proto, remote, outer)
	if x == nil {
		if m.cfg.StealPorts && !around {
			m.steal(proto, outer, remote, now)
		}
		return netip.AddrPort{}, false
	}
	first := !h.replied
	if m.cfg.InboundRefresh || proto == TCP || first && m.cfg.UnrepliedTimeout != m.cfg.Timeout {
		x.replied, h.replied = true, true
		h.see(flags)
		x.last, h.last = now, now
	}
	return x.inner, true
}

// entries returns what lets a packet in, nil if nothing does.
func (m *natModel) entries(proto Protocol, remote, outer netip.AddrPort) (*modelMapping, *modelHole) {
	h := m.hole(proto, outer, remote)
	i := slices.IndexFunc(m.mappings, func(x *modelMapping) bool { return x.proto == proto && x.outer == outer })
	if i < 0 || h == nil {
		return nil, nil
	}
	return m.mappings[i], h
}

func (m *natModel) steal(proto Protocol, outer, remote netip.AddrPort, now time.Duration) {
	for _, s := range m.stolen {
		if s.proto == proto && s.outer == outer && s.remote == remote {
			s.last = now
			return
		}
	}
	if len(m.stolen) < m.cfg.MaxMappings {
		m.stolen = append(m.stolen, &modelStolen{proto, outer, remote, now})
	}
}

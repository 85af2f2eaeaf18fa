package netsim

import (
	"net/netip"
	"time"
)

const (
	portMapPort       = 5351 // of NAT-PMP and PCP
	announcePort      = 5350
	announcements     = 10 // RFC 6886 §3.2.1, RFC 6887 §14.1.1
	firstAnnounceGap  = 250 * time.Millisecond
	ssdpAnnouncements = 3 // UPnP Device Architecture 2.0 §1.2.2: more than once
)

var (
	allHosts4 = netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 0, 1}), announcePort)
	allHosts6 = netip.AddrPortFrom(netip.MustParseAddr("ff02::1"), announcePort)
)

// A gateway is the inside of a NAT that hosts can talk to: a host of its own, on a link that
// leads up to the NAT. Until there is a prefix below, it is none.
type gateway struct {
	host   *Host // nil: none
	link   *Link
	booted time.Duration // when the epoch began (RFC 6887 §8.5)
	told   int           // announcements since
	tell   timer

	clients int // of serveHTTP
}

func (g *gateway) init(t *NAT) {
	g.booted = t.net.now()
	g.tell = timer{net: t.net, key: mix(t.id), f: t.announce}
}

// restart begins a new epoch, when the NAT is back if it is off.
func (g *gateway) restart() {
	b := g.tell.net
	g.booted = b.now()
	if g.host != nil {
		g.booted = max(g.booted, g.link.up.end.off)
		for _, c := range g.host.tcp.conns { // it knows nothing of them any more
			c.end(nil)
			if c.arrived != nil {
				c.arrived()
			}
		}
	}
	g.announceAnew()
}

// announceAnew begins to announce, from the time that the NAT is up.
func (g *gateway) announceAnew() {
	if g.host == nil {
		return
	}
	g.told = 0
	g.tell.arm(max(g.booted, g.tell.net.now()))
	g.tell.net.kick()
}

// epoch returns the seconds since the NAT has its mappings from.
func (g *gateway) epoch() uint32 { return uint32(max(0, g.tell.net.at-g.booted) / time.Second) }

// inside has the NATs above a node that was connected to up choose their inside addresses, where
// they have none: low has addrs, and what is below it may have others. The network is locked.
func (n *Network) inside(up, low Node, addrs []netip.Prefix) {
	if !n.mapping {
		return
	}
	seen := make(map[*base]bool) // there may be rings
	var climb func(at Node)
	climb = func(at Node) {
		b := at.common()
		if seen[b] {
			return
		}
		seen[b] = true
		if t, ok := at.(*NAT); ok {
			if t.portmap != nil {
				t.portmap.discover(low, addrs, map[*base]bool{b: true})
			}
			return
		}
		for _, l := range b.uplinks {
			climb(l.up.to)
		}
	}
	climb(up)
}

// discover chooses the inside address of each family that has none yet, by the prefixes of a node
// and those below it. It passes over what it has seen.
func (pm *portMapper) discover(low Node, addrs []netip.Prefix, seen map[*base]bool) {
	b := low.common()
	if seen[b] {
		return
	}
	seen[b] = true
	if h, ok := low.(*Host); ok {
		for _, i := range h.ifaces {
			addrs = append(addrs, i.prefixes...)
		}
	}
	for _, p := range addrs {
		if p.Bits() < p.Addr().BitLen() && !pm.has(p.Addr().Is4()) {
			pm.settle(p)
		}
	}
	if _, ok := low.(*NAT); ok {
		return
	}
	for _, l := range b.below {
		pm.discover(l.low(), nil, seen)
	}
}

// low returns the node at the lower end.
func (l *Link) low() Node { return l.up.from }

// has reports whether there is an inside address of a family.
func (g *gateway) has(is4 bool) bool { return g.addr(is4).IsValid() }

// addr returns the inside address of a family.
func (g *gateway) addr(is4 bool) netip.Addr {
	if g.host == nil {
		return netip.Addr{}
	}
	for _, p := range g.host.ifaces[0].prefixes {
		if p.Addr().Is4() == is4 {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// settle takes an inside address in a prefix.
func (pm *portMapper) settle(p netip.Prefix) {
	t := pm.nat
	a := p.Masked().Addr().Next()
	for ; p.Contains(a); a = a.Next() {
		if _, taken := t.routes.to[single(a)]; !taken && a != p.Addr() {
			break
		}
	}
	if g := pm.cfg.Gateway; g.IsValid() && g.Is4() == p.Addr().Is4() {
		a = g
	}
	if !p.Contains(a) {
		return
	}
	if pm.host == nil {
		pm.host = t.net.newHost(t.name + " inside")
		plain, _, _ := LinkConfig{}.directions() // the zero value makes sense
		pm.link = t.net.newLink(pm.host, t, plain, plain)
		pm.host.ifaces = []*iface{{out: pm.link.up}}
		pm.host.uplinks = []*Link{pm.link}
	}
	pm.host.own(pm.host.ifaces[0], netip.PrefixFrom(a, p.Bits()))
	t.routes.add(single(a), pm.link.down) // nobody else can have it
	if pm.cfg.IGD != 0 && a.Is4() {
		pm.serveHTTP()
	}
	pm.announceAnew()
}

// takes reports whether p, which comes from below or from the gateway, is for the gateway or
// its group, and has then dealt with it.
func (pm *portMapper) takes(p *packet, in *pipe) bool {
	t, dst := pm.nat, p.Dst.Addr()
	switch {
	case pm.host == nil:
		return false
	case in.link == pm.link:
		if dst.IsMulticast() {
			t.flood(p)
			return true
		}
		return false
	case p.Proto == UDP && p.Dst == ssdpGroup && pm.cfg.IGD != 0:
	case pm.host.owner(dst) == nil:
		return false
	}
	if back := t.routes.lookup(p.Src.Addr()); back == nil || back.link == t.uplink {
		t.drop(DropFilter, p, in) // no host below has that address: whom the answer reached had not asked
		return true
	}
	if p.Proto != UDP || p.damaged {
		pm.host.receive(p, in)
		return true
	}
	switch {
	case p.Dst == ssdpGroup || p.Dst.Port() == ssdpPort && pm.cfg.IGD != 0:
		pm.host.record(Delivered, p, in)
		for _, b := range pm.search(p.Data) {
			pm.sendUDP(netip.AddrPortFrom(pm.addr(p.Src.Addr().Is4()), ssdpPort), p.Src, ssdpHops, b)
		}
	case p.Dst.Port() == portMapPort && (pm.cfg.PCP || pm.cfg.NATPMP):
		pm.host.record(Delivered, p, in)
		if b := pm.answer(p.Src.Addr(), p.Data); b != nil {
			pm.sendUDP(p.Dst, p.Src, defaultHopLimit, b)
		}
	default:
		pm.host.receive(p, in)
		return true
	}
	p.release()
	return true
}

// answer returns the answer to a datagram of NAT-PMP or PCP from a host, or nil for none. Their
// first byte tells them apart (RFC 6887 appendix A).
func (pm *portMapper) answer(from netip.Addr, b []byte) []byte {
	pm.prune()
	switch {
	case len(b) < 2:
		return nil
	case pm.cfg.NATPMP && from.Is4() && (b[0] == natPMPVersion || !pm.cfg.PCP):
		return pm.natPMP(from, b)
	case pm.cfg.PCP:
		return pm.pcp(from, b)
	}
	return nil
}

// sendUDP sends a datagram from the gateway.
func (g *gateway) sendUDP(src, dst netip.AddrPort, hops uint8, b []byte) {
	g.link.up.send(newPacket(Packet{Src: src, Dst: dst, HopLimit: hops, Data: b}))
}

// flood sends p by every link below.
func (t *NAT) flood(p *packet) {
	for _, l := range t.below {
		l.down.send(p.clone())
	}
	p.release()
}

// announce tells all hosts of the epoch and the external address, ten times at growing gaps.
func (t *NAT) announce() {
	pm := t.portmap
	if v6 := pm.addr(false); v6.IsValid() && pm.cfg.PCP {
		pm.sendUDP(netip.AddrPortFrom(v6, portMapPort), allHosts6, 1, pm.pcpAnnounce())
	}
	if v4 := pm.addr(true); v4.IsValid() {
		src := netip.AddrPortFrom(v4, portMapPort)
		if pm.cfg.PCP {
			pm.sendUDP(src, allHosts4, 1, pm.pcpAnnounce())
		}
		if pm.cfg.NATPMP && t.external.IsValid() {
			pm.sendUDP(src, allHosts4, 1, pm.natPMPAddress())
		}
		if pm.cfg.IGD != 0 && pm.told < ssdpAnnouncements {
			for _, b := range pm.notifications() {
				pm.sendUDP(netip.AddrPortFrom(v4, ssdpPort), ssdpGroup, ssdpHops, b)
			}
		}
	}
	if pm.told++; pm.told < announcements {
		pm.tell.arm(t.net.at + firstAnnounceGap<<(pm.told-1))
	}
}

package netsim

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"

	"github.com/bdtnet/bdt/underlay"
)

var _ underlay.Network = (*Host)(nil)

// A Host is a machine with addresses and sockets. It is an [underlay.Network].
type Host struct {
	base
	lo       *Link // to itself
	ifaces   []*iface
	ports    map[port][]*socket // by the port they are bound to
	joined   []*socket          // those of ListenMulticast
	nextPort uint16
	tcp      tcpStack
	pmtu     *expiring[netip.Addr, int] // by destination, as PacketTooBig told
	watchers map[chan struct{}]struct{}
}

// An iface is a host's end of a link.
type iface struct {
	out      *pipe
	prefixes []netip.Prefix // each address with the length of its on-link prefix
}

// port is a UDP port of one family: IPv4 and IPv6 do not share ports.
type port struct {
	is4 bool
	num uint16
}

// Host adds a host. It has loopback addresses, and others as it is connected.
func (n *Network) Host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.newHost(name)
}

func (n *Network) newHost(name string) *Host {
	h := &Host{base: n.newBase(name), ports: make(map[port][]*socket)}
	h.nextPort = uint16(mix(n.cfg.Seed, h.id)) // any: freePort brings it into range
	h.tcp.nextPort = h.nextPort
	lo := LinkConfig{MTU: maxMTU}
	h.lo = n.newLink(h, h, lo, lo)
	n.hosts = append(n.hosts, h)
	return h
}

func (h *Host) hides(netip.Prefix) bool { return true } // hosts do not forward

func (h *Host) adopt(l *Link, addrs []netip.Prefix) ([]netip.Prefix, error) {
	told := make([]netip.Prefix, len(addrs))
	for i, p := range addrs {
		if h.owner(p.Addr()) != nil {
			return nil, fmt.Errorf("%v: %w", p.Addr(), ErrAddressInUse)
		}
		told[i] = single(p.Addr())
	}
	if err := free(l, told); err != nil {
		return nil, err
	}
	h.ifaces = append(h.ifaces, &iface{out: l.up})
	for _, p := range addrs {
		h.own(h.ifaces[len(h.ifaces)-1], p)
	}
	h.changed()
	return told, nil
}

// own adds an address to an interface, with its on-link and default routes.
func (h *Host) own(i *iface, p netip.Prefix) {
	i.prefixes = append(i.prefixes, p)
	h.addRoutes(i, p)
}

// addRoutes adds the on-link and default routes that an address gives, where there
// are none.
func (h *Host) addRoutes(i *iface, p netip.Prefix) {
	h.routes.add(p, i.out)
	if i.out != i.out.link.up {
		return // the link leads down
	}
	if p.Addr().Is4() {
		h.routes.add(default4, i.out)
	} else {
		h.routes.add(default6, i.out)
	}
}

// disown takes an address from an interface, with its routes.
func (h *Host) disown(i *iface, p netip.Prefix) {
	i.prefixes = slices.DeleteFunc(i.prefixes, func(q netip.Prefix) bool { return q == p })
	h.routes.remove(p, i.out)
	h.reroute()
}

// reroute chooses the default routes again: by the first interface that has an address of the
// family and whose link is not cut; if all are cut, by the first.
func (h *Host) reroute() {
	delete(h.routes.to, default4)
	delete(h.routes.to, default6)
	for _, isDown := range []bool{false, true} {
		for _, i := range h.ifaces {
			if i.out.link.isDown != isDown {
				continue
			}
			for _, p := range i.prefixes {
				h.addRoutes(i, p)
			}
		}
	}
}

// single returns the prefix that holds a alone.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// free reports an error if the upper node of l already routes one of ps.
func free(l *Link, ps []netip.Prefix) error {
	for _, p := range ps {
		if _, ok := l.up.to.common().routes.to[p.Masked()]; ok {
			return fmt.Errorf("%v: %w", p, ErrAddressInUse)
		}
	}
	return nil
}

// AddAddr gives h a further address on a link it is connected to, written as
// for [Network.Connect].
func (h *Host) AddAddr(l *Link, addr string) error {
	p, err := parsePrefix(addr)
	if err != nil {
		return fmt.Errorf("netsim: add address to %s: %w", h.name, err)
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	out, back := l.up, l.down
	if l.up.to == h {
		out, back = l.down, l.up
	}
	if out.from != h || l == h.lo {
		return fmt.Errorf("netsim: add address to %s: not connected to %v", h.name, l)
	}
	if _, taken := back.from.common().routes.to[single(p.Addr())]; taken || h.owner(p.Addr()) != nil {
		return fmt.Errorf("netsim: add address to %s: %v: %w", h.name, p.Addr(), ErrAddressInUse)
	}
	n := slices.IndexFunc(h.ifaces, func(i *iface) bool { return i.out == out })
	if n < 0 { // the upper end of a link between hosts
		h.ifaces = append(h.ifaces, &iface{out: out})
		n = len(h.ifaces) - 1
	}
	h.own(h.ifaces[n], p)
	announce(back, single(p.Addr()))
	h.changed()
	return nil
}

// RemoveAddr takes an address from h. Sockets bound to it stay open, but
// neither send nor receive.
func (h *Host) RemoveAddr(a netip.Addr) error {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	i := h.owner(a)
	if i == nil {
		return fmt.Errorf("netsim: remove address from %s: %v is not its own", h.name, a)
	}
	n := slices.IndexFunc(i.prefixes, func(p netip.Prefix) bool { return p.Addr() == a })
	h.disown(i, i.prefixes[n])
	l := i.out.link
	if i.out == l.up {
		withdraw(l.down, single(a))
	} else {
		withdraw(l.up, single(a))
	}
	h.changed()
	return nil
}

// Addrs returns the host's addresses in the order they were given, without
// loopback.
func (h *Host) Addrs() []netip.Addr {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	var addrs []netip.Addr
	for _, i := range h.ifaces {
		for _, p := range i.prefixes {
			addrs = append(addrs, p.Addr())
		}
	}
	return addrs
}

// owner returns the interface that has address a, or nil.
func (h *Host) owner(a netip.Addr) *iface {
	for _, i := range h.ifaces {
		for _, p := range i.prefixes {
			if p.Addr() == a {
				return i
			}
		}
	}
	return nil
}

// Interfaces implements [underlay.Network]: lo, then eth0 and so on.
func (h *Host) Interfaces() ([]underlay.Interface, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	all := []underlay.Interface{{
		Name: "lo", Index: 1, MTU: maxMTU, Up: true, Loopback: true,
		Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")},
	}}
	for n, i := range h.ifaces {
		all = append(all, underlay.Interface{
			Name: h.ifname(i), Index: n + 2, MTU: i.out.cfg.MTU, Up: !i.out.link.isDown,
			Prefixes: slices.Clone(i.prefixes),
		})
	}
	return all, nil
}

// ifname returns the name of an interface.
func (h *Host) ifname(i *iface) string { return "eth" + strconv.Itoa(slices.Index(h.ifaces, i)) }

// LookupNetIP implements [underlay.Network] with the names of
// [Network.SetName], and with ipv4only.arpa (RFC 7050). Behind a NAT64 a name with
// IPv4 addresses only has IPv6 ones, too. A name that has none is a [*net.DNSError].
func (h *Host) LookupNetIP(ctx context.Context, host string) ([]netip.Addr, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	h.net.mu.Lock()
	addrs := slices.Clone(h.net.names[canonicalName(host)])
	h.net.mu.Unlock()
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.dns64(addrs), nil
}

// route chooses the pipe and the source address for a packet to dst. src is
// what the sender asks for, or not valid. The errors are those of Linux.
func (h *Host) route(src, dst netip.Addr) (*pipe, netip.Addr, error) {
	if dst.IsUnspecified() || src.IsValid() && src.Is4() != dst.Is4() {
		return nil, src, syscall.EINVAL
	}
	if dst.IsLoopback() || h.owner(dst) != nil {
		switch {
		case !src.IsValid():
			src = dst
		case !src.IsLoopback() && h.owner(src) == nil:
			return nil, src, syscall.EADDRNOTAVAIL
		}
		return h.lo.up, src, nil
	}
	if src.IsValid() {
		// By source first, as a host with several uplinks must (RFC 6724 §5
		// rule 5.5, RFC 8028): another uplink would drop or translate it.
		switch i := h.owner(src); {
		case src.IsLoopback():
			return nil, src, syscall.EINVAL
		case i == nil:
			return nil, src, syscall.EADDRNOTAVAIL
		default:
			return i.out, src, nil
		}
	}
	out := h.routes.lookup(dst)
	if out == nil || dst.IsMulticast() {
		return nil, src, syscall.ENETUNREACH
	}
	for _, i := range h.ifaces {
		if i.out == out {
			src = i.source(dst)
		}
	}
	if !src.IsValid() {
		return nil, src, syscall.ENETUNREACH
	}
	return out, src, nil
}

// source chooses the address to send to dst from: one that shares an on-link
// prefix with it, else the first of its family.
func (i *iface) source(dst netip.Addr) (src netip.Addr) {
	for _, p := range i.prefixes {
		if p.Contains(dst) {
			return p.Addr()
		}
		if !src.IsValid() && p.Addr().Is4() == dst.Is4() {
			src = p.Addr()
		}
	}
	return src
}

func (h *Host) receive(p *packet, in *pipe) {
	dst := p.Dst.Addr()
	if p.damaged {
		h.drop(DropChecksum, p, in)
		return
	}
	if dst.IsMulticast() {
		if p.Proto != UDP || !h.toGroup(p, in, in) {
			h.record(DropClosed, p, in)
		}
		p.release()
		return
	}
	if in != h.lo.up && h.owner(dst) == nil {
		h.drop(DropNoRoute, p, in)
		return
	}
	switch p.Proto {
	case TCP:
		h.receiveTCP(p, in)
		return
	case ICMP:
		h.receiveICMP(p, in)
		return
	}
	for _, s := range h.ports[port{dst.Is4(), p.Dst.Port()}] {
		if a := s.local.Addr(); (a == dst || a.IsUnspecified()) && (!s.remote.IsValid() || s.remote == p.Src) {
			h.deliver(s, p, in)
			return
		}
	}
	h.unreachable(p, in)
}

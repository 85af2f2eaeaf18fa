package netsim

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"

	"github.com/bdtnet/bdt/underlay"
)

var _ underlay.Multicaster = (*Host)(nil)

// ListenMulticast implements [underlay.Multicaster]. Only a [Switch] carries what
// is sent to a group any further than to the other end of the link.
func (h *Host) ListenMulticast(ifname string, group netip.AddrPort) (underlay.UDPConn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	s, err := h.join(ifname, group)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: net.UDPAddrFromAddrPort(group), Err: err}
	}
	return s, nil
}

func (h *Host) join(ifname string, group netip.AddrPort) (*socket, error) {
	a := group.Addr()
	n := slices.IndexFunc(h.ifaces, func(i *iface) bool { return h.ifname(i) == ifname })
	switch {
	case h.net.closed:
		return nil, net.ErrClosed
	case !a.IsMulticast() || a.Is4In6() || a.Zone() != "" || group.Port() == 0:
		return nil, os.NewSyscallError("bind", syscall.EINVAL)
	case n < 0:
		return nil, os.NewSyscallError("setsockopt", syscall.ENODEV)
	case !h.ifaces[n].source(a).IsValid():
		return nil, os.NewSyscallError("setsockopt", syscall.EADDRNOTAVAIL)
	}
	s := &socket{host: h, local: group, iface: h.ifaces[n], limit: h.net.cfg.ReceiveBuffer}
	s.ready.L = &s.mu
	h.joined = append(h.joined, s)
	return s, nil
}

// routeGroup is route for a packet to a group, which the sockets that have
// joined one can send.
func (s *socket) routeGroup(src, dst netip.Addr) (*pipe, netip.Addr, error) {
	if s.iface == nil {
		return nil, src, syscall.ENETUNREACH
	}
	if !src.IsValid() {
		src = s.iface.source(dst)
	}
	if !slices.ContainsFunc(s.iface.prefixes, func(p netip.Prefix) bool { return p.Addr() == src }) {
		return nil, src, syscall.EADDRNOTAVAIL
	}
	return s.iface.out, src, nil
}

// toGroup gives a copy of p, which came by an interface or leaves by it, to each
// socket that has joined p's group there. It reports whether there is one.
func (h *Host) toGroup(p *packet, i *pipe, in *pipe) (any bool) {
	for _, s := range h.joined {
		if s.iface.out.link == i.link && s.local == p.Dst {
			h.deliver(s, newPacket(p.Packet), in)
			any = true
		}
	}
	return any
}

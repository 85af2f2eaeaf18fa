package netsim

import (
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Routers have no addresses of their own here, but an error must come from somewhere.
// In IPv4 that is the dummy address of RFC 7600 §4.8; in IPv6 one for each node.
var (
	routerAddr4 = netip.AddrFrom4([4]byte{192, 0, 0, 8})
	routerNet6  = netip.MustParseAddr("2001:db8:ffff:ffff::").As16()
)

const (
	pmtuLife   = 10 * time.Minute // RFC 8201 §4
	maxPMTUs   = 1 << 12          // destinations whose path MTU a host remembers
	minMTU6    = 1280             // RFC 8200 §5
	icmpSource = 0                // ICMP has no ports
)

// SetQuiet has a node send no ICMP errors, or send them again. At first a router, NAT
// or host sends those that RFC 1812 and RFC 1122 have it send: PacketTooBig and
// TimeExceeded, and a host PortUnreachable. A switch never sends any. Nothing limits
// their rate.
func (b *base) SetQuiet(quiet bool) {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	b.quiet = quiet
}

// addr returns the address that the node's errors come from.
func (b *base) addr(is4 bool) netip.Addr {
	if is4 {
		return routerAddr4
	}
	a := routerNet6
	for i := range 8 {
		a[15-i] = byte(b.id >> (8 * i))
	}
	return netip.AddrFrom16(a)
}

// icmpError returns an error about p that src sends to p's sender, or nil where there
// is none to be sent (RFC 1122 §3.2.2, RFC 4443 §2.4).
func (b *base) icmpError(m ICMPMessage, src netip.Addr, p *packet) *packet {
	if b.quiet || p.Proto == ICMP || p.damaged || p.Dst.Addr().IsMulticast() {
		return nil
	}
	m.Quote = Quote{Proto: p.Proto, Src: p.Src, Dst: p.Dst}
	if p.Proto == TCP {
		m.Quote.Seq = p.TCP.Seq
	}
	return newPacket(Packet{
		Proto: ICMP, HopLimit: defaultHopLimit, ICMP: &m,
		Src: netip.AddrPortFrom(src, icmpSource), Dst: netip.AddrPortFrom(p.Src.Addr(), icmpSource),
	})
}

// tooBig answers p, which is larger than pi may carry. A host learns the same from the
// call that sends p, and a switch has no say in IP.
func (pi *pipe) tooBig(p *packet) {
	if pi.cfg.NoICMP {
		return
	}
	b := pi.from.common()
	switch from := pi.from.(type) {
	case *Router:
		from.answer(ICMPMessage{Type: PacketTooBig, MTU: pi.cfg.MTU}, p)
	case *NAT:
		// p bears the addresses that it has on pi's side. So does the error: it
		// comes in by pi's link as from a router behind it, and the NAT translates it
		// like one.
		q := b.icmpError(ICMPMessage{Type: PacketTooBig, MTU: pi.cfg.MTU}, b.addr(p.Dst.Addr().Is4()), p)
		if q != nil {
			from.receive(q, pi.back())
		}
	}
}

// expire drops p, which in has brought and whose hop limit is used up, and tells the
// sender. p has the addresses that it came with.
func (b *base) expire(p *packet, in *pipe) {
	if q := b.icmpError(ICMPMessage{Type: TimeExceeded}, b.addr(p.Dst.Addr().Is4()), p); q != nil {
		defer in.back().send(q)
	}
	b.drop(DropTTL, p, in)
}

// answer sends an error about p to p's sender.
func (r *Router) answer(m ICMPMessage, p *packet) {
	out := r.routes.lookup(p.Src.Addr())
	if out == nil {
		return
	}
	if q := r.icmpError(m, r.addr(p.Dst.Addr().Is4()), p); q != nil {
		out.send(q)
	}
}

// unreachable drops p, a datagram for which there is no socket, and tells the sender.
func (h *Host) unreachable(p *packet, in *pipe) {
	if q := h.icmpError(ICMPMessage{Type: PortUnreachable}, p.Dst.Addr(), p); q != nil {
		if out, _, err := h.route(p.Dst.Addr(), p.Src.Addr()); err == nil {
			defer out.send(q)
		} else {
			q.release()
		}
	}
	h.drop(DropClosed, p, in)
}

// receiveICMP takes an error that a packet of this host's has met.
func (h *Host) receiveICMP(p *packet, in *pipe) {
	m := p.ICMP
	if src := m.Quote.Src.Addr(); !src.IsLoopback() && h.owner(src) == nil {
		h.drop(DropClosed, p, in)
		return
	}
	h.record(Delivered, p, in)
	if m.Type == PacketTooBig {
		h.learnPMTU(m.Quote.Dst.Addr(), m.MTU)
	}
	switch m.Quote.Proto {
	case UDP:
		h.udpError(m)
	case TCP:
		h.tcpError(m)
	}
	p.release()
}

// learnPMTU remembers the MTU of the path to dst for pmtuLife, unless it is larger than
// what is known (RFC 8201 §4). A full table learns nothing.
func (h *Host) learnPMTU(dst netip.Addr, mtu int) {
	if mtu < minMTU || dst.Is6() && mtu < minMTU6 {
		return // RFC 8201 §4: discarded
	}
	if h.pmtu == nil {
		h.pmtu = newExpiring[netip.Addr, int](pmtuLife, maxPMTUs, nil)
	}
	if known, ok := h.pmtu.get(dst, h.net.at); !ok || mtu < known {
		h.pmtu.put(dst, mtu, h.net.at)
	}
}

// pathMTU returns the largest IP packet that is to be sent from src, which may be
// zero, to dst: the MTU of the first link, or what an ICMP error has told since. It is
// 0 if there is no route. The network is locked and its instant set.
func (h *Host) pathMTU(src, dst netip.Addr) int {
	out, _, err := h.route(src, dst)
	if err != nil {
		return 0
	}
	mtu := out.cfg.MTU
	if h.pmtu != nil {
		if known, ok := h.pmtu.get(dst, h.net.at); ok {
			mtu = min(mtu, known)
		}
	}
	return mtu
}

// errno returns what a connected socket is told, or 0 for nothing: as Linux, which
// takes TimeExceeded for a passing trouble.
func (m *ICMPMessage) errno() syscall.Errno {
	switch m.Type {
	case PortUnreachable:
		return syscall.ECONNREFUSED
	case PacketTooBig:
		return syscall.EMSGSIZE
	case AdminProhibited:
		return syscall.EHOSTUNREACH
	}
	return 0
}

// udpError tells the connected socket whose datagram has met an error. Others are not
// told, as without IP_RECVERR.
func (h *Host) udpError(m *ICMPMessage) {
	errno := m.errno()
	if errno == 0 {
		return
	}
	local := m.Quote.Src
	for _, s := range h.ports[port{local.Addr().Is4(), local.Port()}] {
		if a := s.local.Addr(); s.remote == m.Quote.Dst && (a == local.Addr() || a.IsUnspecified()) {
			s.fail(errno)
		}
	}
}

// fail has the next read or write of a connected socket return an error.
func (s *socket) fail(errno syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.icmp = errno
	s.ready.Signal()
}

// failure returns the error of fail once.
func (s *socket) failure(call string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failureLocked(call)
}

func (s *socket) failureLocked(call string) error {
	if s.icmp == 0 {
		return nil
	}
	err := os.NewSyscallError(call, s.icmp)
	s.icmp = 0
	return err
}

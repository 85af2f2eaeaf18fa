package netsim

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/bdtnet/bdt/underlay"
)

// The dynamic ports of Linux (ip_local_port_range); RFC 6056 §3.2 allows more.
const (
	firstDynamicPort = 32768
	numDynamicPorts  = 60999 - firstDynamicPort + 1
)

// A socket is a bound UDP socket of a host.
type socket struct {
	host  *Host
	local netip.AddrPort // of ListenMulticast: the group
	iface *iface         // where it has joined the group; nil: an ordinary socket

	// Of a [PacketConn] only. They are set before anybody else knows of it.
	both   bool           // an unspecified address stands for those of IPv4, too
	remote netip.AddrPort // nobody else is heard; zero: all are

	mu         sync.Mutex    // guards all below; taken after the network's
	ready      sync.Cond     // head or closed was set
	head, tail *packet       // the receive queue
	queued     int           // its cost
	limit      int           // of queued
	expired    bool          // the read deadline of a PacketConn has passed
	icmp       syscall.Errno // what an ICMP error tells the next call, if the socket is connected; 0: nothing
	closed     bool
}

// ListenUDP implements [underlay.Network].
func (h *Host) ListenUDP(laddr netip.AddrPort) (underlay.UDPConn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	s, err := h.bind(laddr, false)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: net.UDPAddrFromAddrPort(laddr), Err: err}
	}
	return s, nil
}

// bind opens a socket; both has it receive IPv4, too, at an IPv6 address that is
// unspecified.
func (h *Host) bind(laddr netip.AddrPort, both bool) (*socket, error) {
	a := laddr.Addr()
	switch {
	case h.net.closed:
		return nil, net.ErrClosed
	case !a.IsValid() || a.Is4In6() || a.Zone() != "":
		return nil, os.NewSyscallError("bind", syscall.EINVAL)
	case !a.IsUnspecified() && !a.IsLoopback() && h.owner(a) == nil:
		return nil, os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)
	}
	num := laddr.Port()
	if num == 0 {
		num = h.freePort(a, both)
	}
	if num == 0 || h.taken(a, num, both) {
		return nil, os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	s := &socket{host: h, local: netip.AddrPortFrom(a, num), limit: h.net.cfg.ReceiveBuffer, both: both}
	s.ready.L = &s.mu
	for _, p := range s.ports() {
		h.ports[p] = append(h.ports[p], s)
	}
	return s, nil
}

// ports returns where the host is to look for s.
func (s *socket) ports() []port {
	ps := []port{{s.local.Addr().Is4(), s.local.Port()}}
	if s.both {
		ps = append(ps, port{true, s.local.Port()})
	}
	return ps
}

// taken reports whether a socket excludes a binding to a and num, or to num of both
// families.
func (h *Host) taken(a netip.Addr, num uint16, both bool) bool {
	if both && len(h.ports[port{true, num}]) > 0 {
		return true
	}
	return slices.ContainsFunc(h.ports[port{a.Is4(), num}], func(s *socket) bool {
		b := s.local.Addr()
		return a == b || a.IsUnspecified() || b.IsUnspecified()
	})
}

// freePort returns the next free dynamic port, or 0.
func (h *Host) freePort(a netip.Addr, both bool) uint16 {
	for range numDynamicPorts {
		num := uint16(firstDynamicPort + int(h.nextPort)%numDynamicPorts)
		h.nextPort = num - firstDynamicPort + 1
		if !h.taken(a, num, both) {
			return num
		}
	}
	return 0
}

func (s *socket) LocalAddr() netip.AddrPort { return s.local }

func (s *socket) Features() underlay.Features {
	return underlay.Features{GSO: true, GRO: true, HopLimit: true, ECN: true}
}

func (s *socket) WriteBatch(ds []underlay.Datagram) (int, error) {
	n := s.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.outbox.waiting() >= maxPending && !n.closed {
		n.kick()
		n.room.Wait()
	}
	n.at = n.now()
	defer n.kick()
	for i := range ds {
		if err := s.write(&ds[i]); err != nil {
			return i, &net.OpError{Op: "write", Net: "udp", Source: net.UDPAddrFromAddrPort(s.local),
				Addr: net.UDPAddrFromAddrPort(ds[i].Addr), Err: err}
		}
	}
	return len(ds), nil
}

// write sends one entry, cut into segments. The network is locked.
func (s *socket) write(d *underlay.Datagram) error {
	if s.closed { // set only while the network is locked
		return net.ErrClosed
	}
	dst := d.Addr.Addr()
	segment := len(d.Data)
	if d.SegmentSize > 0 && d.SegmentSize < segment {
		segment = d.SegmentSize
	}
	switch {
	case !dst.IsValid() || d.Addr.Port() == 0 || dst.Is4() != s.local.Addr().Is4() && !s.both || dst.Is4In6(),
		d.SegmentSize < 0 || segment > 0 && (len(d.Data)+segment-1)/segment > underlay.MaxSegments:
		return os.NewSyscallError("sendmsg", syscall.EINVAL)
	case len(d.Data) > maxPayload:
		return os.NewSyscallError("sendmsg", syscall.EMSGSIZE)
	}
	src := d.Local
	if a := s.local.Addr(); !src.IsValid() && !a.IsUnspecified() && !a.IsMulticast() {
		src = a
	}
	route, hopLimit := s.host.route, uint8(defaultHopLimit)
	if dst.IsMulticast() {
		route, hopLimit = s.routeGroup, 1 // RFC 1112 §6.1
	}
	out, src, err := route(src, dst)
	if err != nil {
		return os.NewSyscallError("sendmsg", err)
	}
	q := Packet{
		Src: netip.AddrPortFrom(src, s.local.Port()), Dst: d.Addr,
		HopLimit: d.HopLimit, ECN: d.ECN & 3,
	}
	if q.HopLimit == 0 {
		q.HopLimit = hopLimit
	}
	for rest := d.Data; ; rest = rest[segment:] {
		q.Data = rest[:min(segment, len(rest))]
		p := newPacket(q)
		tooBig := p.size > out.cfg.MTU
		if dst.IsMulticast() && !tooBig {
			s.host.toGroup(p, out, out) // who has joined here hears it, too
		}
		out.send(p) // counts it even so
		if tooBig {
			return os.NewSyscallError("sendmsg", syscall.EMSGSIZE)
		}
		if len(rest) <= segment {
			return nil
		}
	}
}

// deliver queues p on s, or drops it.
func (h *Host) deliver(s *socket, p *packet, in *pipe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queued+p.cost() > s.limit {
		h.drop(DropBuffer, p, in)
		return
	}
	h.record(Delivered, p, in)
	if s.head == nil {
		s.head = p
		s.ready.Signal()
	} else {
		s.tail.next = p
	}
	s.tail = p
	s.queued += p.cost()
}

func (s *socket) ReadBatch(ds []underlay.Datagram) (int, error) {
	p, err := s.take(len(ds))
	if err != nil {
		return 0, &net.OpError{Op: "read", Net: "udp", Source: net.UDPAddrFromAddrPort(s.local), Err: err}
	}
	n := 0
	for ; p != nil; n++ {
		d := &ds[n]
		*d = underlay.Datagram{Data: d.Data[:copy(d.Data, p.Data)], Addr: p.Src, Local: p.Dst.Addr(), ECN: p.ECN}
		next := p.next
		p.release()
		p = next
	}
	return n, nil
}

// take waits for packets and removes at most limit of them from the queue.
func (s *socket) take(limit int) (*packet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.head == nil && !s.closed && !s.expired && s.icmp == 0 && limit > 0 {
		s.ready.Wait()
	}
	if s.closed {
		return nil, net.ErrClosed
	}
	if s.expired {
		return nil, os.ErrDeadlineExceeded
	}
	if err := s.failureLocked("read"); err != nil {
		return nil, err
	}
	if limit == 0 {
		return nil, nil
	}
	first, last := s.head, s.head
	s.queued -= last.cost()
	for ; limit > 1 && last.next != nil; limit-- {
		last = last.next
		s.queued -= last.cost()
	}
	s.head, last.next = last.next, nil
	if s.head != nil {
		s.ready.Signal() // another reader may wait
	}
	return first, nil
}

// Close closes the socket. A second Close returns net.ErrClosed.
func (s *socket) Close() error {
	h := s.host
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if s.closed {
		return &net.OpError{Op: "close", Net: "udp", Source: net.UDPAddrFromAddrPort(s.local), Err: net.ErrClosed}
	}
	if s.iface != nil {
		h.joined = slices.DeleteFunc(h.joined, func(t *socket) bool { return t == s })
		s.shut()
		return nil
	}
	for _, p := range s.ports() {
		left := slices.DeleteFunc(h.ports[p], func(t *socket) bool { return t == s })
		if h.ports[p] = left; len(left) == 0 {
			delete(h.ports, p)
		}
	}
	s.shut()
	return nil
}

// shut marks s closed, wakes its readers and frees its queue. The network is
// locked.
func (s *socket) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.head, s.tail, s.queued = nil, nil, 0
	s.ready.Broadcast()
}

func (h *Host) closeSockets() {
	for _, ss := range h.ports {
		for _, s := range ss {
			s.shut()
		}
	}
	for _, s := range h.joined {
		s.shut()
	}
	clear(h.ports)
	h.joined = nil
	h.closeTCP()
}

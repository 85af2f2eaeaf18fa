package netsim

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A tcpListener is a host's TCP in the state LISTEN.
type tcpListener struct {
	host  *Host
	local netip.AddrPort
	both  bool // an unspecified address stands for those of IPv4, too

	// The network's mutex guards all below.
	changed  sync.Cond
	closed   bool
	waiting  []*TCPConn // established, to be accepted
	opening  int        // connections in SYN-RECEIVED
	acceptBy deadline
	serve    func(*TCPConn) // takes connections instead of Accept, on the network's goroutine; or nil
}

// listenTCP binds a listener. The network is locked.
func (h *Host) listenTCP(laddr netip.AddrPort, both bool) (*tcpListener, error) {
	a := laddr.Addr()
	switch {
	case h.net.closed:
		return nil, net.ErrClosed
	case a.IsMulticast():
		return nil, os.NewSyscallError("bind", syscall.EINVAL)
	case !a.IsUnspecified() && !a.IsLoopback() && h.owner(a) == nil:
		return nil, os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)
	}
	l := &tcpListener{host: h, local: laddr, both: both}
	if laddr.Port() == 0 {
		l.local = netip.AddrPortFrom(a, h.freeTCPPort(a, both))
	}
	if l.local.Port() == 0 || h.listening(l.local, both) {
		return nil, os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	l.changed.L = &h.net.mu
	l.acceptBy.init(h.net, l.changed.Broadcast)
	if h.tcp.listeners == nil {
		h.tcp.listeners = make(map[port][]*tcpListener)
	}
	for _, p := range tcpPorts(l.local, both) {
		h.tcp.listeners[p] = append(h.tcp.listeners[p], l)
	}
	return l, nil
}

// tcpPorts returns where the host is to look for a listener.
func tcpPorts(local netip.AddrPort, both bool) []port {
	ps := []port{{local.Addr().Is4(), local.Port()}}
	if both {
		ps = append(ps, port{true, local.Port()})
	}
	return ps
}

// listening reports whether a listener excludes one at local.
func (h *Host) listening(local netip.AddrPort, both bool) bool {
	for _, p := range tcpPorts(local, both) {
		for _, l := range h.tcp.listeners[p] {
			a, b := local.Addr(), l.local.Addr()
			if a == b || a.IsUnspecified() || b.IsUnspecified() {
				return true
			}
		}
	}
	return false
}

// freeTCPPort returns the next dynamic port where one can listen and no connection is,
// or 0.
func (h *Host) freeTCPPort(a netip.Addr, both bool) uint16 {
	used := make(map[uint16]bool)
	for pair := range h.tcp.conns {
		used[pair.local.Port()] = true
	}
	for range numDynamicPorts {
		num := uint16(firstDynamicPort + int(h.tcp.nextPort)%numDynamicPorts)
		h.tcp.nextPort = num - firstDynamicPort + 1
		if !used[num] && !h.listening(netip.AddrPortFrom(a, num), both) {
			return num
		}
	}
	return 0
}

// input takes a segment that belongs to no connection (RFC 9293 §3.10.7.2).
func (l *tcpListener) input(p *packet, in *pipe) {
	h, t := l.host, &p.TCP
	switch {
	case t.Flags&(SYN|ACK|RST) != SYN:
		h.record(DropClosed, p, in)
		if t.Flags&ACK != 0 {
			h.reset(p)
		}
	case len(l.waiting)+l.opening >= maxBacklog || len(h.tcp.conns) >= maxTCPConns:
		h.record(DropBuffer, p, in) // the SYN will come again
	default:
		h.record(Delivered, p, in)
		c := h.newTCP(p.Dst, p.Src, tcpSynReceived)
		c.listener = l
		l.opening++
		c.heard(t)
		c.wake()
	}
}

// ready moves a connection to those that can be accepted.
func (l *tcpListener) ready(c *TCPConn) {
	l.opening--
	if l.serve != nil {
		c.listener = nil
		l.serve(c)
		return
	}
	l.waiting = append(l.waiting, c)
	l.changed.Broadcast()
}

// forget lets go of a connection that ended before it was accepted.
func (l *tcpListener) forget(c *TCPConn) {
	c.listener = nil
	if i := slices.Index(l.waiting, c); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	} else {
		l.opening--
	}
}

// Accept waits for a connection. It is a [*TCPConn].
func (l *tcpListener) Accept() (net.Conn, error) {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	for {
		switch {
		case l.closed:
			return nil, l.opError("accept", net.ErrClosed)
		case l.acceptBy.passed:
			return nil, l.opError("accept", os.ErrDeadlineExceeded)
		case len(l.waiting) > 0:
			c := l.waiting[0]
			l.waiting = slices.Delete(l.waiting, 0, 1)
			c.listener = nil
			return c, nil
		}
		l.changed.Wait()
	}
}

// Close ends the listener. Connections that were not accepted are reset.
func (l *tcpListener) Close() error {
	n := l.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.closed {
		return l.opError("close", net.ErrClosed)
	}
	n.at = n.now()
	l.close()
	n.kick()
	return nil
}

func (l *tcpListener) close() {
	if l.closed {
		return
	}
	l.closed = true
	l.acceptBy.timer.disarm()
	l.changed.Broadcast()
	for _, p := range tcpPorts(l.local, l.both) {
		ls := slices.DeleteFunc(l.host.tcp.listeners[p], func(o *tcpListener) bool { return o == l })
		if l.host.tcp.listeners[p] = ls; len(ls) == 0 {
			delete(l.host.tcp.listeners, p)
		}
	}
	for _, c := range l.host.orphans(l) {
		c.closed = true
		c.abort()
	}
}

// orphans returns the connections that l has not given to anybody, in an order that
// does not depend on that of a map.
func (h *Host) orphans(l *tcpListener) (cs []*TCPConn) {
	for _, c := range h.tcp.conns {
		if c.listener == l {
			cs = append(cs, c)
		}
	}
	slices.SortFunc(cs, func(a, b *TCPConn) int { return a.remote.Compare(b.remote) })
	return cs
}

// Addr returns the address that is listened on, a [*net.TCPAddr].
func (l *tcpListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.local) }

// SetDeadline sets the deadline of Accept; the zero time is none.
func (l *tcpListener) SetDeadline(t time.Time) error {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	if l.closed {
		return l.opError("set", net.ErrClosed)
	}
	l.acceptBy.set(t)
	l.changed.Broadcast()
	return nil
}

func (l *tcpListener) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: l.Addr(), Err: err}
}

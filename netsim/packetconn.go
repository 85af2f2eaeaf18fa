package netsim

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

var (
	_ net.PacketConn = (*PacketConn)(nil)
	_ net.Conn       = (*PacketConn)(nil)
)

// A PacketConn is a UDP socket of a host in the shape of package net, for stacks that
// are written for that. Like a [*net.UDPConn] it is a [net.PacketConn] and a [net.Conn].
// Its methods may be called concurrently, and its errors are those of package net.
type PacketConn struct {
	s       *socket
	readBy  deadline // passed belongs to the socket's mutex
	writeBy deadline
}

// ListenPacket opens a UDP socket, like [net.ListenPacket] on a machine that is h. The
// network is "udp", "udp4" or "udp6", and the address is read as by [Host.Listen]. It
// returns a [*PacketConn].
func (h *Host) ListenPacket(network, address string) (net.PacketConn, error) {
	laddr, both, err := h.listenAddr("udp", network, address)
	if err == nil {
		h.net.mu.Lock()
		defer h.net.mu.Unlock()
		var c *PacketConn
		if c, err = h.packetConn(laddr, netip.AddrPort{}, both); err == nil {
			return c, nil
		}
	}
	return nil, &net.OpError{Op: "listen", Net: network, Addr: udpAddr(laddr), Err: err}
}

// packetConn binds a socket that only remote reaches, if it is valid.
func (h *Host) packetConn(laddr, remote netip.AddrPort, both bool) (*PacketConn, error) {
	s, err := h.bind(laddr, both)
	if err != nil {
		return nil, err
	}
	s.remote = remote
	c := &PacketConn{s: s}
	c.readBy.init(h.net, c.expire)
	c.writeBy.init(h.net, func() {})
	return c, nil
}

// dialUDP binds a socket for the first address that there is a route to.
func (h *Host) dialUDP(network string, local netip.AddrPort, addrs []netip.Addr, num uint16) (net.Conn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	var first error
	for _, a := range addrs {
		c, err := h.dialOneUDP(local, netip.AddrPortFrom(a, num))
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = &net.OpError{Op: "dial", Net: network, Source: udpAddr(local), Addr: udpAddr(netip.AddrPortFrom(a, num)), Err: err}
		}
	}
	return nil, first
}

func (h *Host) dialOneUDP(local, remote netip.AddrPort) (*PacketConn, error) {
	from := local.Addr()
	if from.IsValid() && from.IsUnspecified() {
		from = netip.Addr{}
	}
	_, src, err := h.route(from, remote.Addr())
	if err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	return h.packetConn(netip.AddrPortFrom(src, local.Port()), remote, false)
}

// expire wakes who reads: the deadline has passed.
func (c *PacketConn) expire() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.expired = true
	c.s.ready.Broadcast()
}

// LocalAddr returns the local address, a [*net.UDPAddr].
func (c *PacketConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.s.local) }

// RemoteAddr returns the remote address that was dialled, a [*net.UDPAddr], or nil.
func (c *PacketConn) RemoteAddr() net.Addr { return udpAddr(c.s.remote) }

// ReadFrom reads one datagram and returns its source, a [*net.UDPAddr]. What does not
// fit b is lost.
func (c *PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	p, err := c.s.take(1)
	if err != nil {
		return 0, nil, &net.OpError{Op: "read", Net: "udp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
	}
	defer p.release()
	return copy(b, p.Data), net.UDPAddrFromAddrPort(p.Src), nil
}

// Read is ReadFrom without the source.
func (c *PacketConn) Read(b []byte) (int, error) {
	n, _, err := c.ReadFrom(b)
	return n, err
}

// WriteTo sends a datagram to an address, a [*net.UDPAddr]. It does not wait for long.
func (c *PacketConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to, ok := addr.(*net.UDPAddr)
	switch {
	case !ok || to == nil:
		return 0, c.writeError(addr, syscall.EINVAL)
	case c.s.remote.IsValid():
		return 0, c.writeError(addr, net.ErrWriteToConnected)
	}
	at := to.AddrPort()
	return c.write(b, netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port()))
}

// Write sends a datagram to the address that was dialled.
func (c *PacketConn) Write(b []byte) (int, error) {
	if !c.s.remote.IsValid() {
		return 0, c.writeError(nil, os.NewSyscallError("write", syscall.EDESTADDRREQ))
	}
	return c.write(b, c.s.remote)
}

func (c *PacketConn) write(b []byte, to netip.AddrPort) (int, error) {
	c.s.host.net.mu.Lock()
	late := c.writeBy.passed
	c.s.host.net.mu.Unlock()
	if late {
		return 0, c.writeError(net.UDPAddrFromAddrPort(to), os.ErrDeadlineExceeded)
	}
	if err := c.s.failure("write"); err != nil {
		return 0, c.writeError(net.UDPAddrFromAddrPort(to), err)
	}
	if _, err := c.s.WriteBatch([]underlay.Datagram{{Data: b, Addr: to}}); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (c *PacketConn) writeError(addr net.Addr, err error) error {
	return &net.OpError{Op: "write", Net: "udp", Source: c.LocalAddr(), Addr: addr, Err: err}
}

// Close closes the socket.
func (c *PacketConn) Close() error {
	if err := c.s.Close(); err != nil {
		return err
	}
	c.s.host.net.mu.Lock()
	defer c.s.host.net.mu.Unlock()
	c.readBy.timer.disarm()
	c.writeBy.timer.disarm()
	return nil
}

// SetDeadline sets both deadlines.
func (c *PacketConn) SetDeadline(t time.Time) error { return c.setDeadlines(t, true, true) }

// SetReadDeadline sets the deadline of reads; the zero time is none.
func (c *PacketConn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, true, false) }

// SetWriteDeadline sets the deadline of writes; the zero time is none.
func (c *PacketConn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, false, true) }

func (c *PacketConn) setDeadlines(t time.Time, read, write bool) error {
	c.s.host.net.mu.Lock()
	defer c.s.host.net.mu.Unlock()
	if c.s.closed { // set only while the network is locked
		return &net.OpError{Op: "set", Net: "udp", Source: c.LocalAddr(), Err: net.ErrClosed}
	}
	if write {
		c.writeBy.set(t)
	}
	if read {
		c.readBy.set(t)
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
		c.s.expired = c.readBy.passed
		c.s.ready.Broadcast()
	}
	return nil
}

// SetReadBuffer sets how many bytes may wait to be read, counted with what a datagram
// costs beside its bytes.
func (c *PacketConn) SetReadBuffer(bytes int) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.limit = clampBuffer(bytes)
	return nil
}

// SetWriteBuffer does nothing: what is sent leaves at once.
func (c *PacketConn) SetWriteBuffer(int) error { return nil }

// udpAddr returns an address in the shape of package net, or nil for none.
func udpAddr(a netip.AddrPort) net.Addr {
	if !a.IsValid() {
		return nil
	}
	return net.UDPAddrFromAddrPort(a)
}

package underlay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

var _ Multicaster = osNetwork{}

// ListenMulticast implements [Multicaster].
func (osNetwork) ListenMulticast(ifname string, group netip.AddrPort) (UDPConn, error) {
	group = unmap(group)
	if !group.Addr().IsMulticast() || group.Addr().Zone() != "" || group.Port() == 0 {
		return nil, fmt.Errorf("underlay: listen multicast: %v is not the address and port of a group", group)
	}
	ifi, err := net.InterfaceByName(ifname)
	if err != nil {
		return nil, fmt.Errorf("underlay: listen multicast on %s: %w", ifname, err)
	}
	m, err := joinGroup(ifi, group)
	if err != nil {
		return nil, fmt.Errorf("underlay: listen multicast %v on %s: %w", group, ifname, err)
	}
	return m, nil
}

// A multicastConn is a member of a group on one interface. It is bound to the
// group's port at every address, which others may share, and itself leaves out
// what was not sent to the group on that interface.
type multicastConn struct {
	c       *net.UDPConn
	group   netip.AddrPort
	ifindex int
	read    func(b []byte) (n int, dst net.IP, ifindex int, from net.Addr, err error)
}

func joinGroup(ifi *net.Interface, group netip.AddrPort) (*multicastConn, error) {
	network := "udp4"
	if group.Addr().Is6() {
		network = "udp6"
	}
	// The library binds the port at every address, for others to share, if it is
	// given a group.
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		return rc.Control(func(fd uintptr) { onlyJoined(fd, group.Addr().Is4()) })
	}}
	pc, err := lc.ListenPacket(context.Background(), network, group.String())
	if err != nil {
		return nil, err
	}
	m := &multicastConn{c: pc.(*net.UDPConn), group: group, ifindex: ifi.Index}
	if group.Addr().Is4() {
		err = m.join4(ifi)
	} else {
		err = m.join6(ifi)
	}
	if err != nil {
		m.c.Close()
		return nil, err
	}
	return m, nil
}

func (m *multicastConn) join4(ifi *net.Interface) error {
	p := ipv4.NewPacketConn(m.c)
	m.read = func(b []byte) (int, net.IP, int, net.Addr, error) {
		n, cm, from, err := p.ReadFrom(b)
		if cm == nil {
			return n, nil, 0, from, err
		}
		return n, cm.Dst, cm.IfIndex, from, err
	}
	return errors.Join(
		p.JoinGroup(ifi, &net.UDPAddr{IP: m.group.Addr().AsSlice()}),
		p.SetMulticastInterface(ifi),
		p.SetMulticastTTL(1),
		p.SetMulticastLoopback(true),
		optional(p.SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)),
	)
}

func (m *multicastConn) join6(ifi *net.Interface) error {
	p := ipv6.NewPacketConn(m.c)
	m.read = func(b []byte) (int, net.IP, int, net.Addr, error) {
		n, cm, from, err := p.ReadFrom(b)
		if cm == nil {
			return n, nil, 0, from, err
		}
		return n, cm.Dst, cm.IfIndex, from, err
	}
	return errors.Join(
		p.JoinGroup(ifi, &net.UDPAddr{IP: m.group.Addr().AsSlice()}),
		p.SetMulticastInterface(ifi),
		p.SetMulticastHopLimit(1),
		p.SetMulticastLoopback(true),
		optional(p.SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)),
	)
}

// optional returns nil: where a platform does not tell the interface of what
// arrives, packets of other interfaces are taken for this one's.
func optional(error) error { return nil }

func (m *multicastConn) LocalAddr() netip.AddrPort { return m.group }
func (m *multicastConn) Features() Features        { return Features{} }
func (m *multicastConn) Close() error              { return m.c.Close() }

// ReadBatch implements [UDPConn]; it fills one entry.
func (m *multicastConn) ReadBatch(ds []Datagram) (int, error) {
	if len(ds) == 0 {
		return 0, nil
	}
	for failed := 0; ; {
		n, dst, ifindex, from, err := m.read(ds[0].Data)
		if err != nil {
			if failed++; failed < maxReadErrors && !errors.Is(err, net.ErrClosed) {
				continue
			}
			return 0, fmt.Errorf("underlay: read multicast %v: %w", m.group, err)
		}
		failed = 0
		if ifindex != 0 && ifindex != m.ifindex || dst != nil && !dst.Equal(m.group.Addr().AsSlice()) {
			continue
		}
		ds[0] = Datagram{Data: ds[0].Data[:n], Addr: unmap(from.(*net.UDPAddr).AddrPort())}
		return 1, nil
	}
}

// WriteBatch implements [UDPConn].
func (m *multicastConn) WriteBatch(ds []Datagram) (int, error) {
	for i := range ds {
		d := &ds[i]
		if err := checkEntry(d, m.group.Addr(), 1); err != nil {
			return i, err
		}
		if _, err := m.c.WriteToUDPAddrPort(d.Data, d.Addr); err != nil {
			return i, writeError(d, err)
		}
	}
	return len(ds), nil
}

// Package pionnet gives pion's libraries a host of package netsim for the network that
// they run on: [Net] is a transport.Net.
//
//	agent, err := ice.NewAgentWithOptions(ice.WithNet(pionnet.New(host)), …)
package pionnet

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/transport/v5"

	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

var _ transport.Net = (*Net)(nil)

// A Net is the network as a host sees it: its interfaces, addresses and names, with UDP
// and TCP. Its methods may be called concurrently.
type Net struct{ host *netsim.Host }

// New returns the network of a host. There is nothing to close: what is opened on it
// ends with itself, or with the host's network.
func New(h *netsim.Host) *Net { return &Net{h} }

// ListenPacket opens a UDP socket.
func (n *Net) ListenPacket(network, address string) (net.PacketConn, error) {
	c, err := n.host.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	return &udpConn{c.(*netsim.PacketConn)}, nil
}

// ListenUDP opens a UDP socket; nil is any address and a free port.
func (n *Net) ListenUDP(network string, laddr *net.UDPAddr) (transport.UDPConn, error) {
	c, err := n.host.ListenPacket(network, hostPort(udpAddrPort(laddr)))
	if err != nil {
		return nil, err
	}
	return &udpConn{c.(*netsim.PacketConn)}, nil
}

// ListenTCP listens for TCP connections; nil is any address and a free port.
func (n *Net) ListenTCP(network string, laddr *net.TCPAddr) (transport.TCPListener, error) {
	l, err := n.host.Listen(network, hostPort(tcpAddrPort(laddr)))
	if err != nil {
		return nil, err
	}
	return &tcpListener{l.(listener)}, nil
}

// Dial connects by TCP or UDP.
func (n *Net) Dial(network, address string) (net.Conn, error) {
	return n.dial(context.Background(), network, netip.AddrPort{}, address)
}

// DialUDP opens a UDP socket that only raddr reaches; a nil laddr is any.
func (n *Net) DialUDP(network string, laddr, raddr *net.UDPAddr) (transport.UDPConn, error) {
	if raddr == nil {
		return nil, missing(network)
	}
	c, err := n.dial(context.Background(), network, udpAddrPort(laddr), hostPort(udpAddrPort(raddr)))
	if err != nil {
		return nil, err
	}
	return c.(*udpConn), nil
}

// DialTCP connects by TCP; a nil laddr is any.
func (n *Net) DialTCP(network string, laddr, raddr *net.TCPAddr) (transport.TCPConn, error) {
	if raddr == nil {
		return nil, missing(network)
	}
	c, err := n.dial(context.Background(), network, tcpAddrPort(laddr), hostPort(tcpAddrPort(raddr)))
	if err != nil {
		return nil, err
	}
	return c.(*tcpConn), nil
}

func missing(network string) error {
	return &net.OpError{Op: "dial", Net: network, Err: &net.AddrError{Err: "missing address"}}
}

func (n *Net) dial(ctx context.Context, network string, local netip.AddrPort, address string) (net.Conn, error) {
	c, err := n.host.DialFrom(ctx, network, local, address)
	if err != nil {
		return nil, err
	}
	if u, ok := c.(*netsim.PacketConn); ok {
		return &udpConn{u}, nil
	}
	return &tcpConn{c.(*netsim.TCPConn)}, nil
}

// ResolveIPAddr resolves a host, with IPv4 first.
func (n *Net) ResolveIPAddr(network, address string) (*net.IPAddr, error) {
	a, err := n.resolve(network, address)
	if err != nil {
		return nil, err
	}
	return &net.IPAddr{IP: a.AsSlice()}, nil
}

// ResolveUDPAddr resolves a host and port, with IPv4 first.
func (n *Net) ResolveUDPAddr(network, address string) (*net.UDPAddr, error) {
	a, err := n.resolveAddrPort(network, address)
	if err != nil {
		return nil, err
	}
	return net.UDPAddrFromAddrPort(a), nil
}

// ResolveTCPAddr resolves a host and port, with IPv4 first.
func (n *Net) ResolveTCPAddr(network, address string) (*net.TCPAddr, error) {
	a, err := n.resolveAddrPort(network, address)
	if err != nil {
		return nil, err
	}
	return net.TCPAddrFromAddrPort(a), nil
}

func (n *Net) resolveAddrPort(network, address string) (netip.AddrPort, error) {
	list, err := n.host.LookupAddrPort(context.Background(), network, address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if i := slices.IndexFunc(list, func(a netip.AddrPort) bool { return a.Addr().Is4() }); i >= 0 {
		return list[i], nil
	}
	return list[0], nil
}

// resolve returns the first address of a host that is of the network's family, and of
// IPv4 if the network has no family.
func (n *Net) resolve(network, host string) (netip.Addr, error) {
	family, _, _ := strings.Cut(network, ":") // ip4:icmp
	a, err := n.resolveAddrPort(family, net.JoinHostPort(host, "0"))
	return a.Addr(), err
}

// Interfaces returns the host's interfaces with their addresses.
func (n *Net) Interfaces() ([]*transport.Interface, error) {
	ifaces, err := n.host.Interfaces()
	if err != nil {
		return nil, err
	}
	list := make([]*transport.Interface, len(ifaces))
	for i := range ifaces {
		list[i] = newInterface(&ifaces[i])
	}
	return list, nil
}

func newInterface(i *underlay.Interface) *transport.Interface {
	flags := net.FlagMulticast
	if i.Loopback {
		flags = net.FlagLoopback
	}
	if i.Up {
		flags |= net.FlagUp | net.FlagRunning
	}
	t := transport.NewInterface(net.Interface{Index: i.Index, MTU: i.MTU, Name: i.Name, Flags: flags})
	for _, p := range i.Prefixes {
		t.AddAddress(&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())})
	}
	return t
}

// InterfaceByIndex returns the interface with an index.
func (n *Net) InterfaceByIndex(index int) (*transport.Interface, error) {
	return n.find(func(i *transport.Interface) bool { return i.Index == index })
}

// InterfaceByName returns the interface with a name.
func (n *Net) InterfaceByName(name string) (*transport.Interface, error) {
	return n.find(func(i *transport.Interface) bool { return i.Name == name })
}

func (n *Net) find(is func(*transport.Interface) bool) (*transport.Interface, error) {
	list, err := n.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		if is(i) {
			return i, nil
		}
	}
	return nil, transport.ErrInterfaceNotFound
}

// CreateDialer returns a dialer with d's timeout, deadline and local address.
func (n *Net) CreateDialer(d *net.Dialer) transport.Dialer { return &dialer{n, *d} }

// CreateListenConfig returns one that listens on this network. Nothing of the argument
// applies: it is about options of the operating system's sockets.
func (n *Net) CreateListenConfig(*net.ListenConfig) transport.ListenConfig { return listenConfig{n} }

// hostPort renders an address for the dialing and listening functions.
func hostPort(a netip.AddrPort) string {
	if !a.Addr().IsValid() {
		return ":" + strconv.Itoa(int(a.Port()))
	}
	return a.String()
}

func udpAddrPort(a *net.UDPAddr) netip.AddrPort {
	if a == nil {
		return netip.AddrPort{}
	}
	return unmap(a.AddrPort())
}

func tcpAddrPort(a *net.TCPAddr) netip.AddrPort {
	if a == nil {
		return netip.AddrPort{}
	}
	return unmap(a.AddrPort())
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

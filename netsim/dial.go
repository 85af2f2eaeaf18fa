package netsim

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Listen listens for TCP connections, like [net.Listen] on a machine that is h: the
// network is "tcp", "tcp4" or "tcp6", an empty host stands for all addresses of the
// host, and port 0 for a free one. With "tcp" an empty host and [::] stand for those of
// both families. It accepts [*TCPConn]s.
func (h *Host) Listen(network, address string) (net.Listener, error) {
	laddr, both, err := h.listenAddr("tcp", network, address)
	if err == nil {
		h.net.mu.Lock()
		defer h.net.mu.Unlock()
		var l *tcpListener
		if l, err = h.listenTCP(laddr, both); err == nil {
			return l, nil
		}
	}
	return nil, &net.OpError{Op: "listen", Net: network, Addr: tcpAddr(laddr), Err: err}
}

// listenAddr reads the address of Listen or ListenPacket.
func (h *Host) listenAddr(proto, network, address string) (laddr netip.AddrPort, both bool, err error) {
	if strings.TrimRight(network, "46") != proto || len(network) > len(proto)+1 {
		return laddr, false, net.UnknownNetworkError(network)
	}
	host, num, err := splitAddress(address)
	if err != nil {
		return laddr, false, err
	}
	if host == "" {
		switch network[len(proto):] {
		case "4":
			return netip.AddrPortFrom(netip.IPv4Unspecified(), num), false, nil
		default:
			return netip.AddrPortFrom(netip.IPv6Unspecified(), num), network == proto, nil
		}
	}
	addrs, err := h.resolve(context.Background(), network, host)
	if err != nil {
		return laddr, false, err
	}
	laddr = netip.AddrPortFrom(addrs[0], num)
	return laddr, network == proto && addrs[0] == netip.IPv6Unspecified(), nil
}

// services are the port names that addresses may have. net.LookupPort would leave the
// bubble of a test, and read a file of the machine's.
var services = map[string]uint16{"domain": 53, "http": 80, "ntp": 123, "https": 443, "stun": 3478}

// splitAddress splits an address into host and port.
func splitAddress(address string) (host string, num uint16, err error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil || service == "" {
		return host, 0, err
	}
	if num, ok := services[strings.ToLower(service)]; ok {
		return host, num, nil
	}
	n, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return "", 0, &net.AddrError{Err: "unknown port: write its number", Addr: address}
	}
	return host, uint16(n), nil
}

// LookupAddrPort resolves an address of the form "host:port" for a network such as
// "tcp" or "udp4", as [Host.DialContext] does, into one or more of its family.
func (h *Host) LookupAddrPort(ctx context.Context, network, address string) ([]netip.AddrPort, error) {
	host, num, err := splitAddress(address)
	if err != nil {
		return nil, err
	}
	addrs, err := h.resolve(ctx, network, host)
	if err != nil {
		return nil, err
	}
	list := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		list[i] = netip.AddrPortFrom(a, num)
	}
	return list, nil
}

// resolve returns the addresses of a host that are of a network's family, at least one.
// No name is the host itself.
func (h *Host) resolve(ctx context.Context, network, host string) ([]netip.Addr, error) {
	addrs, err := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, error(nil)
	if host != "" && canonicalName(host) != "localhost" { // RFC 6761 §6.3
		addrs, err = h.LookupNetIP(ctx, host)
	}
	if err != nil {
		return nil, err
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap().WithZone("") // hosts here have no zones
	}
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool {
		return strings.HasSuffix(network, "4") && !a.Is4() || strings.HasSuffix(network, "6") && !a.Is6()
	})
	if len(addrs) == 0 {
		return nil, &net.AddrError{Err: "no suitable address found", Addr: host}
	}
	return addrs, nil
}

// DialContext connects to an address, like [net.Dialer] on a machine that is h: by
// "tcp", "tcp4", "tcp6", "udp", "udp4" or "udp6", to a host that LookupNetIP resolves,
// or to h itself if the host is empty. Of several addresses it tries one after the
// other; if they are of both families, the other family from 300 ms on as well (RFC
// 8305). ctx bounds the dial, not the connection.
//
// TCP gives a [*TCPConn], UDP a [*PacketConn].
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return h.DialFrom(ctx, network, netip.AddrPort{}, address)
}

// DialFrom is DialContext from a local address, or from a local port if the address is
// unspecified.
func (h *Host) DialFrom(ctx context.Context, network string, local netip.AddrPort, address string) (net.Conn, error) {
	c, err := h.dial(ctx, network, local, address)
	if err == nil {
		return c, nil
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return nil, err
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: err}
}

func (h *Host) dial(ctx context.Context, network string, local netip.AddrPort, address string) (net.Conn, error) {
	proto := strings.TrimRight(network, "46")
	if proto != "tcp" && proto != "udp" || len(network) > len(proto)+1 {
		return nil, net.UnknownNetworkError(network)
	}
	host, num, err := splitAddress(address)
	if err != nil {
		return nil, err
	}
	addrs, err := h.resolve(ctx, network, host)
	if err != nil {
		return nil, err
	}
	local = netip.AddrPortFrom(local.Addr().Unmap().WithZone(""), local.Port())
	if a := local.Addr(); a.IsValid() && !a.IsUnspecified() {
		if addrs = slices.DeleteFunc(addrs, func(b netip.Addr) bool { return a.Is4() != b.Is4() }); len(addrs) == 0 {
			return nil, &net.AddrError{Err: "no suitable address found", Addr: host}
		}
	}
	if proto == "udp" {
		return h.dialUDP(network, local, addrs, num)
	}
	return h.dialTCP(ctx, network, local, addrs, num)
}

// fallbackDelay is how long the family of the first address has before the other is
// tried as well (as package net has it; RFC 8305 §8 allows 10 ms to 2 s).
const fallbackDelay = 300 * time.Millisecond

// dialTCP tries addresses, those of the first one's family first.
func (h *Host) dialTCP(ctx context.Context, network string, local netip.AddrPort, addrs []netip.Addr, num uint16) (net.Conn, error) {
	var families [2][]netip.Addr
	for _, a := range addrs {
		i := 0
		if a.Is4() != addrs[0].Is4() {
			i = 1
		}
		families[i] = append(families[i], a)
	}
	if len(families[1]) == 0 {
		return h.dialInOrder(ctx, network, local, addrs, num)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, len(families))
	begin := func(i int) {
		go func() {
			c, err := h.dialInOrder(ctx, network, local, families[i], num)
			results <- result{c, err}
		}()
	}
	begin(0)
	timer := time.NewTimer(fallbackDelay)
	defer timer.Stop()
	var first error
	for begun, ended := 1, 0; ended < len(families); {
		select {
		case <-timer.C:
		case r := <-results:
			ended++
			if r.err == nil {
				cancel()
				if ended < begun {
					if loser := <-results; loser.err == nil {
						loser.conn.Close()
					}
				}
				return r.conn, nil
			}
			if first == nil {
				first = r.err
			}
		}
		if begun == 1 {
			begun++
			begin(1)
		}
	}
	return nil, first
}

// dialInOrder tries addresses in their order.
func (h *Host) dialInOrder(ctx context.Context, network string, local netip.AddrPort, addrs []netip.Addr, num uint16) (net.Conn, error) {
	var first error
	for i, a := range addrs {
		to := netip.AddrPortFrom(a, num)
		c, err := h.dialOne(ctx, local, to, len(addrs)-i)
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = &net.OpError{Op: "dial", Net: network, Source: tcpAddr(local), Addr: tcpAddr(to), Err: err}
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// dialOne connects to one address, the first of so many left. What is left of ctx's
// time is divided among them, as package net does.
func (h *Host) dialOne(ctx context.Context, local, to netip.AddrPort, left int) (*TCPConn, error) {
	if by, ok := ctx.Deadline(); ok && left > 1 {
		share := max(time.Until(by)/time.Duration(left), min(2*time.Second, time.Until(by)))
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, share)
		defer cancel()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	c, err := h.connect(local, to)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if c.state == tcpSynSent || c.state == tcpSynReceived {
			c.end(ctx.Err())
		}
	})
	defer stop()
	for c.state == tcpSynSent || c.state == tcpSynReceived {
		c.changed.Wait()
	}
	if c.err != nil {
		return nil, connectError(c.err)
	}
	return c, nil
}

// connectError is why a connection was not made.
func connectError(err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		return os.NewSyscallError("connect", errno)
	}
	return err
}

// tcpAddr returns an address for an error, or nil for none.
func tcpAddr(a netip.AddrPort) net.Addr {
	if !a.IsValid() {
		return nil
	}
	return net.TCPAddrFromAddrPort(a)
}

package underlay

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// OS returns the operating system's network. All values it returns are
// equivalent; sockets it opens are kernel sockets.
func OS() Network { return osNetwork{} }

type osNetwork struct{}

// ListenUDP implements [Network]. The socket never sends fragments where the
// platform can promise it (see udp.go).
func (osNetwork) ListenUDP(laddr netip.AddrPort) (UDPConn, error) {
	if !laddr.Addr().IsValid() {
		return nil, fmt.Errorf("underlay: listen udp: no address in %v", laddr)
	}
	return listenUDP(unmap(laddr))
}

// ListenUDPGroup implements [Grouper].
func (osNetwork) ListenUDPGroup(laddr netip.AddrPort, n int) ([]UDPConn, error) {
	if !laddr.Addr().IsValid() {
		return nil, fmt.Errorf("underlay: listen udp: no address in %v", laddr)
	}
	group, err := listenUDPGroup(unmap(laddr), n)
	if err != nil {
		return nil, err
	}
	return group, nil
}

// up is what package net shows of an interface that can carry packets.
const up = net.FlagUp | net.FlagRunning

// Interfaces implements [Network].
func (osNetwork) Interfaces() ([]Interface, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("underlay: interfaces: %w", err)
	}
	out := make([]Interface, 0, len(list))
	for _, ifi := range list {
		addrs, err := ifi.Addrs()
		if err != nil {
			continue // it went away between the two calls
		}
		out = append(out, Interface{
			Name:     ifi.Name,
			Index:    ifi.Index,
			MTU:      ifi.MTU,
			Up:       ifi.Flags&up == up,
			Loopback: ifi.Flags&net.FlagLoopback != 0,
			Prefixes: prefixes(addrs),
		})
	}
	return out, nil
}

// prefixes converts what package net knows of an interface, leaving out what
// is not an IP address with a mask.
func prefixes(addrs []net.Addr) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(addrs))
	for _, a := range addrs {
		ipn, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(ipn.IP)
		if !ok {
			continue
		}
		ip = ip.Unmap()
		ones, bits := ipn.Mask.Size()
		if bits != ip.BitLen() {
			continue // not canonical, or of the other family
		}
		out = append(out, netip.PrefixFrom(ip, ones))
	}
	return out
}

// LookupNetIP implements [Network] with the standard resolver.
func (osNetwork) LookupNetIP(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip.Unmap()}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("underlay: lookup: %w", err)
	}
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	return ips, nil
}

// unmap turns an IPv4-mapped IPv6 address into the IPv4 address it stands for.
func unmap(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

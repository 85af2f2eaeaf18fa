//go:build !linux

package underlay

import "net/netip"

func listenUDP(laddr netip.AddrPort) (UDPConn, error) { return listenPlain(laddr) }

// listenUDPGroup opens one socket: the systems differ in what several at one address
// do.
func listenUDPGroup(laddr netip.AddrPort, _ int) ([]UDPConn, error) {
	c, err := listenUDP(laddr)
	return []UDPConn{c}, err
}

package underlay

import "net/netip"

func listenUDP(laddr netip.AddrPort) (UDPConn, error) { return listenPlain(laddr) }

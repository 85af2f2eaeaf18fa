package underlay

import "net/netip"

// Plain is the operating system's network with plain sockets on every
// platform, so that the suite runs over them too.
func Plain() Network { return plainNetwork{} }

type plainNetwork struct{ osNetwork }

func (plainNetwork) ListenUDP(laddr netip.AddrPort) (UDPConn, error) {
	if !laddr.Addr().IsValid() {
		return osNetwork{}.ListenUDP(laddr) // which says so
	}
	return listenPlain(unmap(laddr))
}

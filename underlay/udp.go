package underlay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// The seam between the portable part and the platforms is one function,
//
//	func listenUDP(laddr netip.AddrPort) (UDPConn, error)
//
// which takes a valid, unmapped address. It has two implementations:
//
//   - udp_linux.go has recvmmsg and sendmmsg, GSO and GRO, and per-packet ECN,
//     hop limit and addresses;
//   - udp_other.go uses listenPlain (udp_plain.go), one system call a packet
//     and no offloads, which builds on every platform.

// socketBuffer is the send and receive buffer asked of the kernel, in bytes:
// 4 MiB hold 5 ms at 6.7 Gbit/s, about as long as a busy reader may be away.
// The kernel may grant less.
const socketBuffer = 4 << 20

// maxReadErrors is how many errors in a row, with no datagram between them,
// ReadBatch takes for news about some destination before it gives the socket
// up. It bounds the loop should the kernel report a dead socket in a way that
// we do not know.
const maxReadErrors = 1000

var (
	errSegments = errors.New("more segments than the socket can send at once")
	errFamily   = errors.New("destination is not of the socket's address family")
)

// listenNet opens the standard library's socket of laddr's family, and of no
// other: on "udp6" the library sets IPV6_V6ONLY.
func listenNet(laddr netip.AddrPort) (*net.UDPConn, error) {
	network := "udp4"
	if laddr.Addr().Is6() {
		network = "udp6"
	}
	c, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(laddr))
	if err != nil {
		return nil, fmt.Errorf("underlay: %w", err) // names operation and address
	}
	return c, nil
}

// localAddr returns where c is bound.
func localAddr(c *net.UDPConn) netip.AddrPort {
	return unmap(c.LocalAddr().(*net.UDPAddr).AddrPort())
}

// checkEntry says whether an entry to write makes sense on a socket that is
// bound to local and takes runs of up to maxSegments.
func checkEntry(d *Datagram, local netip.Addr, maxSegments int) error {
	if d.Addr.Addr().Is4() != local.Is4() || !d.Addr.IsValid() {
		return &net.OpError{Op: "write", Net: "udp", Addr: net.UDPAddrFromAddrPort(d.Addr), Err: errFamily}
	}
	if segments(d) > maxSegments {
		return &net.OpError{Op: "write", Net: "udp", Addr: net.UDPAddrFromAddrPort(d.Addr), Err: errSegments}
	}
	return nil
}

// segments returns how many datagrams the entry stands for.
func segments(d *Datagram) int {
	if d.SegmentSize <= 0 || len(d.Data) <= d.SegmentSize {
		return 1
	}
	return (len(d.Data) + d.SegmentSize - 1) / d.SegmentSize
}

package underlay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"syscall"
)

// The seam between the portable part and the platforms is two functions,
//
//	func listenUDP(laddr netip.AddrPort) (UDPConn, error)
//	func listenUDPGroup(laddr netip.AddrPort, n int) ([]UDPConn, error)
//
// which take a valid, unmapped address. They have two implementations:
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
	errRun    = errors.New("run is longer than the socket can send at once")
	errFamily = errors.New("address is not of the socket's family")
)

// listenNet opens the standard library's socket of laddr's family, and of no
// other: on "udp6" the library sets IPV6_V6ONLY. Control, which may be nil,
// sets options before the socket is bound, so that no datagram precedes them.
func listenNet(laddr netip.AddrPort, control func(syscall.RawConn)) (*net.UDPConn, error) {
	network := "udp4"
	if laddr.Addr().Is6() {
		network = "udp6"
	}
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		if control != nil {
			control(rc)
		}
		return nil
	}}
	pc, err := lc.ListenPacket(context.Background(), network, laddr.String())
	if err != nil {
		return nil, fmt.Errorf("underlay: %w", err) // names operation and address
	}
	return pc.(*net.UDPConn), nil
}

// localAddr returns where c is bound.
func localAddr(c *net.UDPConn) netip.AddrPort {
	return unmap(c.LocalAddr().(*net.UDPAddr).AddrPort())
}

// checkEntry says whether an entry to write makes sense on a socket that is
// bound to local and takes runs of up to maxSegments.
func checkEntry(d *Datagram, local netip.Addr, maxSegments int) error {
	switch {
	case !d.Addr.IsValid() || d.Addr.Addr().Is4() != local.Is4(),
		d.Local.IsValid() && d.Local.Is4() != local.Is4():
		return writeError(d, errFamily)
	case segments(d) > maxSegments, segments(d) > 1 && len(d.Data) > math.MaxUint16:
		return writeError(d, errRun)
	}
	return nil
}

// writeError describes the failure of one entry.
func writeError(d *Datagram, err error) error {
	return fmt.Errorf("underlay: write udp to %v: %w", d.Addr, err)
}

// segments returns how many datagrams the entry stands for.
func segments(d *Datagram) int {
	if d.SegmentSize <= 0 || len(d.Data) <= d.SegmentSize {
		return 1
	}
	return (len(d.Data) + d.SegmentSize - 1) / d.SegmentSize
}

package session

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// openPacketConn returns c with the methods for runs and batches, or c itself
// where there are no UDP sockets to ask about. Call done when quic-go's
// transport has started.
func openPacketConn(c *virtualConn) (conn net.PacketConn, done func()) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return c, func() {}
	}
	probe := os.NewFile(uintptr(fd), "quic-probe")
	return &batchConn{virtualConn: c, probe: probe}, func() { probe.Close() }
}

// A batchConn is a virtualConn that looks like a UDP socket of Linux.
type batchConn struct {
	*virtualConn
	// probe is a UDP socket that is never bound, and open only while quic-go
	// starts. It stands in when quic-go asks what the system can do, and sets
	// options that mean nothing here.
	probe *os.File
	// sized is set when quic-go has sized the buffers.
	sized bool
}

var _ quic.OOBCapablePacketConn = (*batchConn)(nil)

// SyscallConn fails until the buffers have been sized: quic-go then trusts
// SetReadBuffer, and does not log that probe's buffers are too small.
func (c *batchConn) SyscallConn() (syscall.RawConn, error) {
	if !c.sized {
		return nil, errors.ErrUnsupported
	}
	return c.probe.SyscallConn()
}

func (c *batchConn) SetWriteBuffer(int) error {
	c.sized = true // the write buffer is the second of the two
	return nil
}

// ReadBatch fills ms with the packets that are there, after waiting for one.
func (c *batchConn) ReadBatch(ms []ipv4.Message, _ int) (int, error) {
	for i := range ms {
		b, p, ecn, err := c.nextPacket(i == 0)
		if b == nil {
			return i, err
		}
		m := &ms[i]
		m.N = copy(m.Buffers[0], b)
		m.NN = copy(m.OOB, ecnMessages[ecn&3])
		m.Addr = &p.addr
	}
	return len(ms), nil
}

func (c *batchConn) ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	packet, p, ecn, err := c.nextPacket(true)
	if err != nil {
		return 0, 0, 0, nil, err
	}
	return copy(b, packet), copy(oob, ecnMessages[ecn&3]), 0, &p.addr, nil
}

func (c *batchConn) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	segment, ecn := parseControl(oob)
	c.write(b, segment, ecn, addr)
	return len(b), len(oob), nil
}

// parseControl returns the segment size and the ECN bits of control messages
// as quic-go writes them; what it does not know it skips.
func parseControl(oob []byte) (segment int, ecn uint8) {
	for len(oob) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		switch {
		case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_SEGMENT && len(data) >= 2:
			segment = int(binary.NativeEndian.Uint16(data))
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_TCLASS && len(data) >= 4:
			ecn = uint8(binary.NativeEndian.Uint32(data)) & 3
		}
		oob = rest
	}
	return segment, ecn
}

// ecnMessages are the control messages for each ECN value, an IPV6_TCLASS as
// virtualIP is of that family; for Not-ECT (0) there is none.
var ecnMessages = func() (m [4][]byte) {
	for ecn := 1; ecn < len(m); ecn++ {
		m[ecn] = (&ipv6.ControlMessage{TrafficClass: ecn}).Marshal()
	}
	return m
}()

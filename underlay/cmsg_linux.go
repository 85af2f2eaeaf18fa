package underlay

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A control holds the ancillary data of one message. The most we write is
// IPV6_PKTINFO, IPV6_TCLASS, IPV6_HOPLIMIT and UDP_SEGMENT: 40 + 3*24 = 112
// bytes on 64-bit machines. Words, because the kernel's headers are aligned.
type control [16]uint64

func (c *control) bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(c)), unsafe.Sizeof(*c))
}

// appendCmsg appends a header for n bytes of data to b, which has the room,
// and returns the longer b and where the data goes.
func appendCmsg(b []byte, level, typ int32, n int) (all, data []byte) {
	at := len(b)
	b = b[:at+unix.CmsgSpace(n)]
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[at]))
	h.Level, h.Type = level, typ
	h.SetLen(unix.CmsgLen(n))
	return b, b[at+unix.CmsgLen(0):][:n]
}

func appendCmsgInt(b []byte, level, typ int32, v int) []byte {
	b, data := appendCmsg(b, level, typ, 4)
	binary.NativeEndian.PutUint32(data, uint32(v))
	return b
}

// appendControl appends what one written entry asks for beyond its address.
func appendControl(b []byte, d *Datagram, segmentSize int) []byte {
	v4 := d.Addr.Addr().Is4()
	if d.Local.IsValid() {
		b = appendSource(b, d.Local)
	}
	if ecn := d.ECN & 3; ecn != 0 {
		if v4 {
			b = appendCmsgInt(b, unix.IPPROTO_IP, unix.IP_TOS, int(ecn))
		} else {
			b = appendCmsgInt(b, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int(ecn))
		}
	}
	if d.HopLimit != 0 {
		if v4 {
			b = appendCmsgInt(b, unix.IPPROTO_IP, unix.IP_TTL, int(d.HopLimit))
		} else {
			b = appendCmsgInt(b, unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, int(d.HopLimit))
		}
	}
	if segmentSize > 0 {
		var data []byte
		b, data = appendCmsg(b, unix.SOL_UDP, unix.UDP_SEGMENT, 2)
		binary.NativeEndian.PutUint16(data, uint16(segmentSize))
	}
	return b
}

// appendSource appends the choice of the source address.
func appendSource(b []byte, src netip.Addr) []byte {
	if src.Is4() {
		b, data := appendCmsg(b, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		*(*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])) = unix.Inet4Pktinfo{Spec_dst: src.As4()}
		return b
	}
	b, data := appendCmsg(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
	*(*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])) = unix.Inet6Pktinfo{
		Addr: src.As16(), Ifindex: uint32(zones.indexOf(src.Zone())),
	}
	return b
}

// parseControl sets the fields of d that came as ancillary data: Local,
// SegmentSize and ECN. What it does not know it passes over.
func parseControl(b []byte, d *Datagram) {
	for len(b) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(b)
		if err != nil {
			return
		}
		b = rest
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TOS && len(data) >= 1:
			d.ECN = data[0] & 3
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_TCLASS && len(data) >= 4:
			d.ECN = uint8(binary.NativeEndian.Uint32(data) & 3)
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			d.Local = netip.AddrFrom4((*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])).Addr)
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
			d.Local = scoped(netip.AddrFrom16(info.Addr), info.Ifindex)
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
			d.SegmentSize = int(binary.NativeEndian.Uint32(data))
		}
	}
}

// scoped gives a link-local address its zone.
func scoped(a netip.Addr, index uint32) netip.Addr {
	if index != 0 && (a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast()) {
		return a.WithZone(zones.nameOf(int(index)))
	}
	return a
}

// putSockaddr stores an address in sa, which is large enough for both
// families, and returns the size of what it stored.
func putSockaddr(sa *unix.RawSockaddrInet6, ap netip.AddrPort) uint32 {
	if ap.Addr().Is4() {
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		*sa4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: networkOrder(ap.Port()), Addr: ap.Addr().As4()}
		return unix.SizeofSockaddrInet4
	}
	*sa = unix.RawSockaddrInet6{
		Family:   unix.AF_INET6,
		Port:     networkOrder(ap.Port()),
		Addr:     ap.Addr().As16(),
		Scope_id: uint32(zones.indexOf(ap.Addr().Zone())),
	}
	return unix.SizeofSockaddrInet6
}

// getSockaddr is the reverse of putSockaddr; an unknown family gives the zero
// address.
func getSockaddr(sa *unix.RawSockaddrInet6) netip.AddrPort {
	switch sa.Family {
	case unix.AF_INET:
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), networkOrder(sa4.Port))
	case unix.AF_INET6:
		return netip.AddrPortFrom(scoped(netip.AddrFrom16(sa.Addr), sa.Scope_id), networkOrder(sa.Port))
	}
	return netip.AddrPort{}
}

// networkOrder converts a port between the machine's and the network's order
// of bytes.
func networkOrder(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}

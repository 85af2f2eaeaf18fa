package netsim

import (
	"encoding/binary"
	"net/netip"
)

// protocolNumbers are IANA's, for IPv4 and for IPv6.
var protocolNumbers = [...][2]byte{UDP: {17, 17}, TCP: {6, 6}, ICMP: {1, 58}}

// AppendIP appends the whole IP packet as it would be on the wire, with headers and right
// checksums: an IPv4 packet does not let itself be fragmented, and has no identification (RFC 6864
// §4.1). An ICMP error over IPv6 is 20 bytes longer there than [Packet.Size] counts, as it quotes
// a whole IPv6 header.
func (p *Packet) AppendIP(b []byte) []byte {
	at := len(b)
	b = appendIPHeader(b, p)
	start := len(b)
	switch p.Proto {
	case UDP:
		b = appendPorts(b, p.Src, p.Dst)
		b = binary.BigEndian.AppendUint16(b, uint16(8+len(p.Data)))
		b = append(append(b, 0, 0), p.Data...)
		p.sum(b[start:], 6)
	case TCP:
		b = p.appendTCP(b)
		p.sum(b[start:], 16)
	case ICMP:
		b = p.ICMP.append(b, p.Dst.Addr().Is4())
		p.sum(b[start:], 2)
	}
	finishIPHeader(b[at:], p.Dst.Addr().Is4(), len(b)-at)
	return b
}

// appendIPHeader appends the header, but for length and checksum.
func appendIPHeader(b []byte, p *Packet) []byte {
	if p.Dst.Addr().Is4() {
		const dontFragment = 0x40
		b = append(b, 0x45, p.ECN&3, 0, 0, 0, 0, dontFragment, 0, p.HopLimit, protocolNumbers[p.Proto][0], 0, 0)
	} else {
		b = append(b, 0x60, p.ECN&3<<4, 0, 0, 0, 0, protocolNumbers[p.Proto][1], p.HopLimit)
	}
	b = append(b, p.Src.Addr().AsSlice()...)
	return append(b, p.Dst.Addr().AsSlice()...)
}

// finishIPHeader fills in the length of the packet that b holds, and the checksum.
func finishIPHeader(b []byte, is4 bool, size int) {
	if !is4 {
		binary.BigEndian.PutUint16(b[4:], uint16(size-40))
		return
	}
	binary.BigEndian.PutUint16(b[2:], uint16(size))
	binary.BigEndian.PutUint16(b[10:], ^fold(add(0, b[:20])))
}

func appendPorts(b []byte, src, dst netip.AddrPort) []byte {
	b = binary.BigEndian.AppendUint16(b, src.Port())
	return binary.BigEndian.AppendUint16(b, dst.Port())
}

// appendTCP appends a TCP segment without its checksum.
func (p *Packet) appendTCP(b []byte) []byte {
	h := &p.TCP
	window := min(h.Window, 0xffff)
	if h.Flags&SYN == 0 { // RFC 7323 §2.2: that of a SYN is never scaled
		window = min(h.Window>>windowScale, 0xffff)
	}
	b = appendPorts(b, p.Src, p.Dst)
	b = binary.BigEndian.AppendUint32(b, h.Seq)
	b = binary.BigEndian.AppendUint32(b, h.Ack)
	b = append(b, byte(20+h.optionSize())<<2, byte(h.Flags)) // in words, in the upper half
	b = binary.BigEndian.AppendUint16(b, uint16(window))
	b = h.appendOptions(append(b, 0, 0, 0, 0))
	return append(b, p.Data...)
}

// icmpCodes are type and code of each error in IPv4 and in IPv6 (RFC 792, RFC 4443).
var icmpCodes = [...][2][2]byte{
	PacketTooBig:    {{3, 4}, {2, 0}},
	TimeExceeded:    {{11, 0}, {3, 0}},
	PortUnreachable: {{3, 3}, {1, 4}},
	AdminProhibited: {{3, 13}, {1, 1}},
}

// append appends the error without its checksum.
func (m *ICMPMessage) append(b []byte, is4 bool) []byte {
	family := 1
	if is4 {
		family = 0
	}
	code := icmpCodes[m.Type][family]
	b = append(b, code[0], code[1], 0, 0)
	switch {
	case m.Type != PacketTooBig:
		b = append(b, 0, 0, 0, 0)
	case is4:
		b = binary.BigEndian.AppendUint16(append(b, 0, 0), uint16(m.MTU))
	default:
		b = binary.BigEndian.AppendUint32(b, uint32(m.MTU))
	}
	at := len(b)
	b = appendIPHeader(b, &Packet{Proto: m.Quote.Proto, Src: m.Quote.Src, Dst: m.Quote.Dst, HopLimit: 1})
	header := len(b) - at
	b = appendPorts(b, m.Quote.Src, m.Quote.Dst)
	if m.Quote.Proto == TCP {
		b = binary.BigEndian.AppendUint32(b, m.Quote.Seq)
	} else {
		b = append(b, 0, 8, 0, 0) // its length is not known, nor its checksum
	}
	finishIPHeader(b[at:], m.Quote.Dst.Addr().Is4(), header+8)
	return b
}

// sum writes the checksum of a message of the transport layer at an offset in it.
func (p *Packet) sum(b []byte, at int) {
	var s uint32
	if is4 := p.Dst.Addr().Is4(); !is4 || p.Proto != ICMP { // RFC 792 sums up no pseudo-header, RFC 4443 does
		s = add(s, p.Src.Addr().AsSlice())
		s = add(s, p.Dst.Addr().AsSlice())
		number := protocolNumbers[p.Proto][1]
		s += uint32(number) + uint32(len(b))
	}
	c := ^fold(add(s, b))
	if c == 0 && p.Proto == UDP {
		c = 0xffff // 0 says that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(b[at:], c)
}

// add adds 16-bit words to a sum (RFC 1071). 65,535 bytes cannot overflow it.
func add(s uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) > 0 {
		s += uint32(b[0]) << 8
	}
	return s
}

// fold adds the carries of a sum.
func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

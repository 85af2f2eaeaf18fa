package sequence

import (
	"encoding/binary"
	"net/netip"

	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
)

// A Class is what a packet is for, as far as it can be told from outside.
type Class uint8

// The classes, in the order of a legend.
const (
	SuperNode Class = iota // to or from a super node
	Opener                 // opens a NAT's filter, and need not arrive
	Handshake              // proves who is there, or agrees on keys
	Probe                  // tries a path between devices
	Data                   // of the session
	Other
	numClasses
)

var classNames = [numClasses]string{"super node", "opener", "handshake", "probe", "data", "other"}

// String returns the name of the class.
func (c Class) String() string { return classNames[c] }

// Classes returns all classes.
func Classes() []Class { return []Class{SuperNode, Opener, Handshake, Probe, Data, Other} }

// identify names a packet. sn reports whether an address is a super node's.
func identify(p *netsim.Packet, sn func(netip.Addr) bool) (name string, c Class) {
	switch p.Proto {
	case netsim.TCP:
		return "TCP" + flags(p.TCP.Flags), Other
	case netsim.ICMP:
		return icmpNames[p.ICMP.Type], Other
	}
	name, c = identifyUDP(p.Data)
	if p.Dst.Addr().IsMulticast() {
		return name, Other
	}
	if sn(p.Src.Addr()) || sn(p.Dst.Addr()) {
		c = SuperNode
	}
	return name, c
}

var icmpNames = [...]string{
	netsim.PacketTooBig:    "ICMP packet too big",
	netsim.TimeExceeded:    "ICMP time exceeded",
	netsim.PortUnreachable: "ICMP port unreachable",
	netsim.AdminProhibited: "ICMP prohibited",
}

// flags returns the control bits of a segment, each with a space before it.
func flags(f netsim.TCPFlags) (s string) {
	for _, b := range []struct {
		bit  netsim.TCPFlags
		name string
	}{{netsim.SYN, " SYN"}, {netsim.FIN, " FIN"}, {netsim.RST, " RST"}, {netsim.ACK, " ACK"}} {
		if f&b.bit != 0 {
			s += b.name
		}
	}
	return s
}

// identifyUDP names a datagram by its first bytes.
func identifyUDP(b []byte) (string, Class) {
	if t, err := wire.ControlType(b); err == nil {
		switch t {
		case wire.TypeOpener:
			return t.String(), Opener
		case wire.TypeInitiation, wire.TypeResponse, wire.TypeCookieReply:
			return t.String(), Handshake
		case wire.TypeSealed, wire.TypeHint:
			return t.String(), Probe // what it holds is sealed: probes, mostly
		}
		return t.String(), Other
	}
	switch {
	case len(b) == 0:
		return "empty", Other
	case b[0]&0xfe == 0 && len(b) >= 20 && binary.BigEndian.Uint32(b[4:]) == stunCookie:
		if b[0] == 1 {
			return "STUN response", Other
		}
		return "STUN request", Other
	case b[0]&0xc0 == 0xc0: // a long header, RFC 9000 §17.2
		return [...]string{"QUIC Initial", "QUIC 0-RTT", "QUIC Handshake", "QUIC Retry"}[b[0]>>4&3], Handshake
	case b[0]&0x40 != 0:
		return "QUIC 1-RTT", Data
	}
	return "unknown", Other
}

// stunCookie is the magic cookie of RFC 8489 §5.
const stunCookie = 0x2112a442

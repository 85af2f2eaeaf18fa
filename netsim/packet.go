package netsim

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

const (
	defaultHopLimit = 64    // RFC 1122 §3.2.1.7 as IANA now recommends
	maxPayload      = 65507 // of a UDP datagram over IPv4: 65,535 - 20 - 8
	inlinePayload   = 1536  // payloads up to this size live in the packet itself
	packetOverhead  = 256   // what a queued packet costs in memory beside its bytes
)

// A Protocol is what an IP packet carries. ICMP stands for ICMPv6, too: the family of
// the packet tells which it is.
type Protocol uint8

const (
	UDP Protocol = iota
	TCP
	ICMP
)

// String returns "udp", "tcp" or "icmp".
func (p Protocol) String() string {
	if int(p) < len(protocols) {
		return protocols[p].name
	}
	return fmt.Sprintf("protocol %d", uint8(p))
}

var protocols = [...]struct {
	name   string
	header int // bytes
}{UDP: {"udp", 8}, TCP: {"tcp", 20}, ICMP: {"icmp", 8}}

// A Packet is a UDP datagram, a TCP segment or an ICMP error inside an IP packet.
type Packet struct {
	Proto    Protocol
	Src, Dst netip.AddrPort // ICMP: without ports
	HopLimit uint8          // TTL or hop limit
	ECN      uint8          // the two ECN bits of RFC 3168
	TCP      TCPHeader      // where Proto is TCP
	ICMP     *ICMPMessage   // where Proto is ICMP; shared by copies, never changed
	Data     []byte         // ICMP: none, as the message says what it quotes
}

// A TCPHeader is what a simulated TCP segment says (RFC 9293 §3.1, RFC 2018). The options
// that a SYN has on the wire beside MSS, window scaling and SACK, everybody understands.
type TCPHeader struct {
	Seq, Ack uint32
	Flags    TCPFlags
	Window   uint32     // bytes
	MSS      uint16     // of a SYN: the most data that a segment to its sender may hold; 0: no options
	SACK     []SeqRange // at most 4; shared by copies, never changed
}

// TCPFlags are the control bits, where they are on the wire.
type TCPFlags uint8

const (
	FIN TCPFlags = 1 << iota
	SYN
	RST
	PSH
	ACK
)

// An ICMPType is a kind of ICMP error.
type ICMPType uint8

const (
	PacketTooBig    ICMPType = iota // RFC 1191 §4, RFC 4443 §3.2
	TimeExceeded                    // RFC 792, RFC 4443 §3.3
	PortUnreachable                 // RFC 792, RFC 4443 §3.1
	AdminProhibited                 // RFC 1812 §5.2.7.1, RFC 4443 §3.1
)

// An ICMPMessage is an ICMP error about a packet.
type ICMPMessage struct {
	Type  ICMPType
	MTU   int // PacketTooBig: the most that would have passed, in bytes of IP packet
	Quote Quote
}

// A Quote says which packet an error is about, as it was where the error arose.
type Quote struct {
	Proto    Protocol
	Src, Dst netip.AddrPort
	Seq      uint32 // TCP
}

// quoteSize is what an error quotes of the packet: an IP header and 8 bytes (RFC 792),
// here for either family.
const quoteSize = 28

// Size returns the bytes of the whole IP packet: a 20-byte IPv4 or 40-byte
// IPv6 header, the header of the protocol and the data.
func (p *Packet) Size() int {
	n := protocols[p.Proto].header + len(p.Data)
	if p.Proto == TCP {
		n += p.TCP.optionSize()
	}
	if p.Proto == ICMP {
		n += quoteSize
	}
	if p.Dst.Addr().Is4() {
		return 20 + n
	}
	return 40 + n
}

// A stage is what happens next to a packet on a pipe.
type stage uint8

const (
	stageArrive  stage = iota // has propagated: the tamper function, then admission
	stageAdmit                // loss, then the queue
	stageSent                 // has left the queue of a limited rate: errors, jitter
	stageDeliver              // to the node at the far end
)

// A packet is a Packet in motion. It has one holder at a time: a pipe (through
// the schedule) or a socket's receive queue.
type packet struct {
	Packet
	flow    uint64 // hash of Proto, Src and Dst
	size    int    // what Size returns
	pipe    *pipe
	stage   stage
	damaged bool          // a bit is wrong, and the checksum tells
	id      uint64        // for captures; 0: has none yet
	seq     uint64        // order of scheduling, the last tie-breaker
	at      time.Duration // when it arrives, on a train
	draw    uint64        // decides its fate on pipe; 0: was not drawn
	since   time.Duration // when it entered the queue of a limited rate
	next    *packet       // in a queue or on a train
	buf     [inlinePayload]byte
}

var packetPool = sync.Pool{New: func() any { return new(packet) }}

// newPacket returns a packet that holds a copy of q.
func newPacket(q Packet) *packet {
	p := packetPool.Get().(*packet)
	p.Packet = q
	p.Data = append(p.buf[:0], q.Data...) // moves to the heap when too long
	p.setFlow()
	return p
}

// clone returns a copy of p that nobody holds.
func (p *packet) clone() *packet {
	q := newPacket(p.Packet)
	q.damaged = p.damaged
	return q
}

// release gives p back. The caller no longer holds it.
func (p *packet) release() {
	p.Data, p.ICMP, p.TCP.SACK, p.pipe, p.next = nil, nil, nil, nil, nil
	p.damaged, p.id = false, 0
	packetPool.Put(p)
}

// cost returns the bytes that p counts for in a bounded queue.
func (p *packet) cost() int { return len(p.Data) + packetOverhead }

// forward decrements the hop limit and reports whether p may go on
// (RFC 1812 §5.3.1).
func (p *packet) forward() bool {
	if p.HopLimit <= 1 {
		return false
	}
	p.HopLimit--
	return true
}

// setFlow computes flow and size after Src or Dst has changed.
func (p *packet) setFlow() { p.flow, p.size = p.Packet.hash(), p.Size() }

// hash returns a hash of the flow: of Proto, Src and Dst.
func (p *Packet) hash() uint64 {
	s, d := p.Src.Addr().As16(), p.Dst.Addr().As16()
	return mix(uint64(p.Proto)<<32|uint64(p.Src.Port())<<16|uint64(p.Dst.Port()),
		binary.BigEndian.Uint64(s[:8]), binary.BigEndian.Uint64(s[8:]),
		binary.BigEndian.Uint64(d[:8]), binary.BigEndian.Uint64(d[8:]))
}

// mix hashes vs with the finaliser of SplitMix64 (Steele, Lea, Flood 2014):
// every bit of every value, and their order, counts.
func mix(vs ...uint64) uint64 {
	var h uint64
	for _, v := range vs {
		h += v + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// unit maps a hash to [0, 1) with the 53 bits that a float64 holds exactly.
func unit(h uint64) float64 { return float64(h>>11) / (1 << 53) }

// fraction returns the part of d that the hash selects, in [0, d).
func fraction(h uint64, d time.Duration) time.Duration {
	return time.Duration(unit(h) * float64(d))
}

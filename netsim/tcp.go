package netsim

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"
)

// This TCP is RFC 9293's state machine without options but the maximum segment size,
// with the congestion control of RFC 5681 and RFC 6582 and the timers of RFC 6298.
// docs/netsim/streams.md says what it leaves out.
//
// It has no goroutine: segments and timers reach a connection on the network's own,
// calls of its user on theirs, and all under the network's mutex. None of them sends
// data or acknowledgements; they note what there is to send, and it leaves
// processingDelay later. In virtual time that instant comes when everything that was
// to happen at the first one has happened, so that what is written together, and what
// is read and written in answer to one segment, makes the same segments in every run.
const processingDelay = time.Microsecond

const (
	maxTCPConns   = 1 << 16 // of a host, TIME-WAIT included
	maxBacklog    = 4096    // of a listener: net.core.somaxconn
	tcpSendBuffer = 4 << 20 // bytes: the largest of net.ipv4.tcp_wmem
	maxSpans      = 4096    // runs of data that wait for what comes before them
	maxBurst      = 64      // segments that leave before others get their turn

	initialRTO      = time.Second            // RFC 6298 §2
	minRTO          = 200 * time.Millisecond // Linux; RFC 6298 §2 would have 1 s
	maxRTO          = 120 * time.Second      // Linux; RFC 6298 §2 allows 60 s and more
	rtoAfterLostSYN = 3 * time.Second        // RFC 6298 §5.7
	delayedACK      = 40 * time.Millisecond  // Linux; RFC 9293 §3.8.6.3 allows 500 ms
	challengeGap    = 500 * time.Millisecond // net.ipv4.tcp_invalid_ratelimit
	timeWait        = 60 * time.Second       // Linux, for TIME-WAIT and orphans in FIN-WAIT-2

	synRetries    = 6  // net.ipv4.tcp_syn_retries: 127 s
	synACKRetries = 5  // net.ipv4.tcp_synack_retries
	dataRetries   = 15 // net.ipv4.tcp_retries2
	orphanRetries = 8  // net.ipv4.tcp_orphan_retries

	initialWindow = 10 // segments, RFC 6928
	maxWindow     = 1 << 30
)

// A tcpState is a state of RFC 9293 §3.3.2. LISTEN is a [tcpListener].
type tcpState uint8

const (
	tcpClosed      tcpState = iota // final
	tcpSynSent                     // to established, synReceived (both called at once), closed
	tcpSynReceived                 // to established, closed
	tcpEstablished                 // to finWait1, closeWait, closed
	tcpFinWait1                    // to finWait2, closing, timeWait, closed
	tcpFinWait2                    // to timeWait, closed
	tcpCloseWait                   // to lastACK, closed
	tcpClosing                     // to timeWait, closed
	tcpLastACK                     // to closed
	tcpTimeWait                    // to closed
)

var tcpStateNames = [...]string{
	"CLOSED", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2",
	"CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT",
}

// String returns the name that RFC 9293 has.
func (s tcpState) String() string { return tcpStateNames[s] }

// receives reports whether data may still come.
func (s tcpState) receives() bool {
	return s == tcpEstablished || s == tcpFinWait1 || s == tcpFinWait2
}

// tcpStack is the TCP of a host.
type tcpStack struct {
	conns     map[tcpPair]*TCPConn
	listeners map[port][]*tcpListener
	nextPort  uint16 // as the host's for UDP
}

// A tcpPair is the two ends of a connection.
type tcpPair struct{ local, remote netip.AddrPort }

// receiveTCP takes a segment for the host.
func (h *Host) receiveTCP(p *packet, in *pipe) {
	if c := h.tcp.conns[tcpPair{p.Dst, p.Src}]; c != nil && !c.yields(&p.TCP) {
		h.record(Delivered, p, in)
		c.input(p)
		if c.arrived != nil {
			c.arrived()
		}
	} else if l := h.listener(p.Dst); l != nil {
		l.input(p, in)
	} else {
		h.record(DropClosed, p, in)
		h.reset(p)
	}
	p.release()
}

// reset answers a segment that no connection is there for (RFC 9293 §3.10.7.1).
func (h *Host) reset(p *packet) {
	if p.TCP.Flags&RST != 0 {
		return
	}
	r := TCPHeader{Flags: RST, Seq: p.TCP.Ack}
	if p.TCP.Flags&ACK == 0 {
		r = TCPHeader{Flags: RST | ACK, Ack: p.TCP.Seq + p.TCP.length(len(p.Data))}
	}
	_ = h.sendTCP(p.Dst, p.Src, r, nil) // where there is no way back, nothing is heard
}

// length returns how many sequence numbers a segment with so much data takes.
func (t *TCPHeader) length(data int) uint32 {
	n := uint32(data)
	if t.Flags&SYN != 0 {
		n++
	}
	if t.Flags&FIN != 0 {
		n++
	}
	return n
}

// sendTCP sends a segment. The network is locked and its instant set.
func (h *Host) sendTCP(src, dst netip.AddrPort, t TCPHeader, data []byte) error {
	out, _, err := h.route(src.Addr(), dst.Addr())
	if err != nil {
		return err
	}
	out.send(newPacket(Packet{Proto: TCP, Src: src, Dst: dst, HopLimit: defaultHopLimit, TCP: t, Data: data}))
	return nil
}

// listener returns who listens at an address, or nil.
func (h *Host) listener(at netip.AddrPort) *tcpListener {
	for _, l := range h.tcp.listeners[port{at.Addr().Is4(), at.Port()}] {
		if a := l.local.Addr(); a == at.Addr() || a.IsUnspecified() {
			return l
		}
	}
	return nil
}

// tcpPort returns a dynamic port at local from which there is no connection to
// remote, or 0.
func (h *Host) tcpPort(local netip.Addr, remote netip.AddrPort) uint16 {
	for range numDynamicPorts {
		num := uint16(firstDynamicPort + int(h.tcp.nextPort)%numDynamicPorts)
		h.tcp.nextPort = num - firstDynamicPort + 1
		at := netip.AddrPortFrom(local, num)
		if h.tcp.conns[tcpPair{at, remote}] == nil && h.listener(at) == nil {
			return num
		}
	}
	return 0
}

// newTCP enters a connection in a state. The caller has seen that there is none.
func (h *Host) newTCP(local, remote netip.AddrPort, state tcpState) *TCPConn {
	n := h.net
	flow := Packet{Proto: TCP, Src: local, Dst: remote}
	key := mix(h.id, flow.hash())
	c := &TCPConn{host: h, local: local, remote: remote, state: state}
	c.changed.L = &n.mu
	c.out = timer{net: n, key: key, f: c.output}
	c.alarm = timer{net: n, key: key + 1, f: c.expire}
	c.rx.late = timer{net: n, key: key + 2, f: c.acknowledge}
	c.alive = tcpKeepalive{period: keepalivePeriod, timer: timer{net: n, key: key + 3, f: c.keepAlive}}
	c.readBy.init(n, c.changed.Broadcast)
	c.writeBy.init(n, c.changed.Broadcast)
	c.rx.limit, c.tx.limit = n.cfg.ReceiveBuffer, tcpSendBuffer
	c.tx.noDelay, c.linger = true, -1
	// RFC 6528 §3, with the seed as the secret.
	iss := uint32(mix(n.cfg.Seed, key)) + uint32(n.at/(4*time.Microsecond))
	c.tx.start(iss)
	if h.tcp.conns == nil {
		h.tcp.conns = make(map[tcpPair]*TCPConn)
	}
	h.tcp.conns[tcpPair{local, remote}] = c
	return c
}

// connect sends a SYN from src, or from the routed address if it has none, and
// a port of its own unless src has one. The network is locked.
func (h *Host) connect(src, dst netip.AddrPort) (*TCPConn, error) {
	n := h.net
	if n.closed {
		return nil, net.ErrClosed
	}
	if dst.Addr().IsUnspecified() || dst.Addr().IsMulticast() || dst.Port() == 0 {
		return nil, os.NewSyscallError("connect", syscall.ENETUNREACH)
	}
	from := src.Addr()
	if from.IsValid() && from.IsUnspecified() {
		from = netip.Addr{}
	}
	_, local, err := h.route(from, dst.Addr())
	if err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	num := src.Port()
	if num == 0 {
		num = h.tcpPort(local, dst)
	}
	at := netip.AddrPortFrom(local, num)
	switch {
	case num == 0 || len(h.tcp.conns) >= maxTCPConns:
		return nil, os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)
	case h.tcp.conns[tcpPair{at, dst}] != nil:
		return nil, os.NewSyscallError("connect", syscall.EADDRINUSE)
	}
	n.at = n.now()
	c := h.newTCP(at, dst, tcpSynSent)
	c.wake()
	n.kick()
	return c, nil
}

// closeTCP ends every connection and listener, in silence. The network is closing.
func (h *Host) closeTCP() {
	for _, c := range h.tcp.conns {
		c.end(net.ErrClosed)
	}
	for _, ls := range h.tcp.listeners {
		for _, l := range slices.Clone(ls) {
			l.close()
		}
	}
}

package netsim

import "os"

// tcpError takes an error that a segment of a connection has met. One that is not
// about data on its way is none of the connection's (RFC 5927 §4.1).
func (h *Host) tcpError(m *ICMPMessage) {
	c := h.tcp.conns[tcpPair{m.Quote.Src, m.Quote.Dst}]
	if c == nil || before(m.Quote.Seq, c.tx.una) || !before(m.Quote.Seq, c.tx.nxt) {
		return
	}
	switch {
	case m.Type == PacketTooBig:
		c.shrink(m.Quote.Seq)
	case c.state == tcpSynSent && m.errno() != 0: // RFC 9293 §3.9.2.2: a hard error
		c.end(os.NewSyscallError("connect", m.errno()))
	}
}

// shrink sends again, in segments that fit the path, all that is on its way, of which
// the segment at seq was too big. It was not congestion that lost it (RFC 1191 §6.5).
func (c *TCPConn) shrink(seq uint32) {
	s := &c.tx
	size := c.segmentSize()
	if c.state <= tcpSynReceived || size >= s.mss && before(seq, s.lostBelow) {
		return // an error about one of the same flight has been here before
	}
	s.mss = size
	s.lose()
	c.wake()
}

package netsim

import (
	"net"
	"os"
	"syscall"
)

const (
	tcpHeader = 20
	minMSS    = minMTU - 40 - tcpHeader // bytes: what the smallest link carries over IPv6
)

// wake has what there is to send leave.
func (c *TCPConn) wake() {
	if !c.out.armed() && c.state != tcpClosed {
		c.out.arm(c.host.net.at + processingDelay)
	}
}

// segmentSize returns how much data a segment to the peer may hold now.
func (c *TCPConn) segmentSize() int {
	return max(minMSS, min(c.tx.peerMSS, c.pathMSS()))
}

// pathMSS returns how much data fits what is known of the path.
func (c *TCPConn) pathMSS() int {
	header := 20 + tcpHeader
	if c.local.Addr().Is6() {
		header = 40 + tcpHeader
	}
	mtu := c.host.pathMTU(c.local.Addr(), c.remote.Addr())
	if mtu == 0 {
		mtu = defaultMTU // there is no way now
	}
	return max(minMSS, mtu-header)
}

// send sends a segment from here to the peer. Where there is no way now there may be
// one when it is sent again.
func (c *TCPConn) send(t TCPHeader, data []byte) {
	_ = c.host.sendTCP(c.local, c.remote, t, data)
}

// output sends what there is to send. The out timer calls it.
func (c *TCPConn) output() {
	switch c.state {
	case tcpClosed:
	case tcpSynSent, tcpSynReceived:
		c.outputSYN()
	default:
		if c.outputData() {
			c.wake() // more, after others
		}
		c.outputACK()
	}
}

// outputSYN sends the SYN if it is to be sent.
func (c *TCPConn) outputSYN() {
	s, now := &c.tx, c.host.net.at
	if s.nxt != s.iss && !s.again {
		return
	}
	t := TCPHeader{Flags: SYN, Seq: s.iss, MSS: uint16(min(c.pathMSS(), 1<<16-1)), Window: uint32(c.rx.limit)}
	if c.state == tcpSynReceived {
		t.Flags |= ACK
		t.Ack = c.rx.nxt
		t.Window = c.rx.advance(s.peerMSS)
	}
	if !s.again {
		s.nxt++
		s.rtt.timed, s.rtt.seq, s.rtt.since = true, s.iss, now
	} else {
		s.again, s.rtt.timed = false, false
	}
	c.send(t, nil)
	if !c.alarm.armed() {
		c.alarm.arm(now + s.rtt.rto)
	}
}

// outputData sends what is lost, then as much new data as the windows allow, and the
// FIN (RFC 6675 §5). It reports whether it could have sent more.
func (c *TCPConn) outputData() (more bool) {
	s, now := &c.tx, c.host.net.at
	s.limited = false
	if s.una == s.end() {
		return false
	}
	s.mss = c.segmentSize()
	if s.nxt == s.una && now-s.rtt.sent > s.rtt.rto {
		s.cwnd = min(s.cwnd, initialWindow*s.mss) // RFC 5681 §4.1
	}
	v := s.survey()
	for range maxBurst {
		switch n, ok := s.next(&v); {
		case s.again:
			// The first is sent whatever the window.
			r := SeqRange{s.una, s.una + uint32(min(s.mss, s.flight()))}
			if len(s.sacked) > 0 && before(s.sacked[0].First, r.End) {
				r.End = s.sacked[0].First
			}
			c.resend(&v, r)
			c.alarm.arm(now + s.rtt.rto)
			s.again, s.unaMark = false, s.nxt
		case !ok:
			c.probeLater()
			return false
		case v.lost.len() > 0:
			c.resend(&v, SeqRange{v.lost.First, v.lost.First + uint32(n)})
		default:
			v.pipe += c.segment(s.nxt, n)
		}
	}
	_, more = s.next(&v)
	return more
}

// resend sends again what is in a range.
func (c *TCPConn) resend(v *survey, r SeqRange) {
	s := &c.tx
	s.rtt.timed = false // RFC 6298 §3: Karn
	n := c.segment(r.First, min(r.len(), int(s.dataEnd()-r.First)))
	s.sentAgain = later(s.sentAgain, r.First+uint32(n))
	*v = s.survey()
}

// next returns how much data the next segment holds: of what is lost, if there is
// some, else of what is new. It returns false if nothing is to be sent now.
func (s *tcpSender) next(v *survey) (n int, ok bool) {
	room := s.cwnd - v.pipe
	if v.lost.len() > 0 {
		n = min(s.mss, v.lost.len())
		if room < n {
			s.limited = true
			return 0, false
		}
		return n, true
	}
	left := int(int32(s.dataEnd() - s.nxt)) // up to the FIN, if there is one
	flight := s.flight()
	n = min(left, s.mss)
	window := int(min(s.window, maxWindow)) - flight
	switch {
	case left < 0 || left == 0 && !s.fin:
		return 0, false
	case left == 0: // a FIN takes no window
		return 0, true
	case min(room, window) < n:
		s.limited = s.limited || room < n
		if n = min(room, window); n <= 0 || flight > 0 { // RFC 9293 §3.8.6.2.1: rather later than little
			return 0, false
		}
	case !s.noDelay && n < s.mss && flight > 0 && !s.fin:
		return 0, false
	}
	return n, true
}

// segment sends n bytes from seq on, or fewer if there are options, and the FIN if it
// follows. It returns how many sequence numbers that were.
func (c *TCPConn) segment(seq uint32, n int) int {
	s, now := &c.tx, c.host.net.at
	t := TCPHeader{Seq: seq, SACK: c.rx.blocks(s.mss)}
	n = min(n, s.mss-t.optionSize()) // RFC 9293 §3.7.1
	data := s.buf.at(int(seq-s.base), n)
	end := seq + uint32(len(data))
	if end == s.dataEnd() {
		if t.Flags |= PSH; s.fin {
			t.Flags |= FIN
			end++
		}
	}
	if seq == s.nxt && !s.rtt.timed {
		s.rtt.timed, s.rtt.seq, s.rtt.since = true, seq, now
	}
	s.nxt = later(s.nxt, end)
	s.rtt.sent = now
	c.sendACK(t, data)
	if !c.alarm.armed() {
		c.alarm.arm(now + s.rtt.rto)
	}
	return int(end - seq)
}

// sendACK sends a segment that acknowledges all that has come.
func (c *TCPConn) sendACK(t TCPHeader, data []byte) {
	r := &c.rx
	t.Flags |= ACK
	t.Window = r.advance(c.tx.mss)
	t.Ack = r.nxt
	t.SACK = r.blocks(c.tx.mss)
	r.ack, r.full = false, 0
	r.late.disarm()
	c.send(t, data)
}

// outputACK sends the acknowledgements that are due and went with no data: one for
// each segment beyond a gap, as each tells of another range.
func (c *TCPConn) outputACK() {
	r := &c.rx
	for _, seq := range r.beyond {
		r.tell(seq)
		c.sendACK(TCPHeader{Seq: c.tx.nxt}, nil)
	}
	r.beyond = r.beyond[:0]
	if r.ack {
		c.sendACK(TCPHeader{Seq: c.tx.nxt}, nil)
	}
}

// probeLater arms the timer for a probe of a window that is closed, or too small for
// what there is to send.
func (c *TCPConn) probeLater() {
	if s := &c.tx; s.nxt == s.una && !c.alarm.armed() {
		c.alarm.arm(c.host.net.at + s.rtt.rto)
	}
}

// expire is what the alarm does: send again, probe, give up, or end a connection
// that waits for nothing but this.
func (c *TCPConn) expire() {
	s, now := &c.tx, c.host.net.at
	limit := dataRetries
	switch {
	case c.state == tcpFinWait2 || c.state == tcpTimeWait:
		c.end(nil)
		return
	case c.state == tcpSynSent:
		limit = synRetries
	case c.state == tcpSynReceived:
		limit = synACKRetries
	case c.closed:
		limit = orphanRetries
	}
	handshake := c.state == tcpSynSent || c.state == tcpSynReceived
	switch {
	case s.una == s.end() && !handshake:
		return
	case max(s.rtt.retries, s.unanswered) >= limit:
		c.end(c.timedOut())
		return
	case handshake:
		s.rtt.backOff()
		s.again = true
	case s.nxt == s.una || s.window == 0:
		// RFC 9293 §3.8.6.1. A segment that is out of the window is answered with
		// where the peer stands.
		s.probes++
		s.unanswered++
		c.sendACK(TCPHeader{Seq: s.una - 1}, nil)
		c.alarm.arm(now + min(s.rtt.rto<<min(s.probes, 10), maxRTO))
		return
	default:
		s.timeout()
	}
	c.wake()
	c.alarm.arm(now + s.rtt.rto)
}

// timedOut is the error of a connection that got no answer.
func (c *TCPConn) timedOut() error {
	if c.state == tcpSynSent {
		return os.NewSyscallError("connect", syscall.ETIMEDOUT)
	}
	return syscall.ETIMEDOUT
}

// abort ends the connection with a RST.
func (c *TCPConn) abort() {
	if c.state != tcpSynSent {
		c.send(TCPHeader{Flags: RST | ACK, Seq: c.tx.nxt, Ack: c.rx.nxt}, nil)
	}
	c.end(net.ErrClosed)
}

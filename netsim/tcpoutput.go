package netsim

import (
	"net"
	"os"
	"syscall"
)

const (
	tcpHeader = 20
	minMSS    = 48 // bytes; net.ipv4.tcp_min_snd_mss
)

// wake has what there is to send leave.
func (c *TCPConn) wake() {
	if !c.out.armed() && c.state != tcpClosed {
		c.out.arm(c.host.net.at + processingDelay)
	}
}

// segmentSize returns how much data a segment to the peer may hold now.
func (c *TCPConn) segmentSize() int {
	return max(minMSS, min(c.tx.mss, c.pathMSS()))
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
	if s.nxt != s.iss {
		return
	}
	t := TCPHeader{Flags: SYN, Seq: s.iss, MSS: uint16(min(c.pathMSS(), 1<<16-1))}
	if c.state == tcpSynReceived {
		t.Flags |= ACK
		t.Ack = c.rx.nxt
	}
	t.Window = uint32(c.rx.limit)
	if c.state == tcpSynReceived {
		t.Window = c.rx.advance(s.mss)
	}
	s.nxt++
	if s.max == s.iss { // never sent before
		s.max = s.nxt
		s.rtt.timed, s.rtt.seq, s.rtt.since = true, s.iss, now
	} else {
		s.rtt.timed = false
	}
	c.send(t, nil)
	if !c.alarm.armed() {
		c.alarm.arm(now + s.rtt.rto)
	}
}

// outputData sends as much data as the windows allow, and the FIN. It reports whether
// it could have sent more.
func (c *TCPConn) outputData() (more bool) {
	s, now := &c.tx, c.host.net.at
	s.limited = false
	if s.una == s.end() {
		return false
	}
	s.mss = c.segmentSize()
	if s.again {
		c.repair()
	}
	if s.nxt == s.una && now-s.rtt.sent > s.rtt.rto {
		s.cwnd = min(s.cwnd, initialWindow*s.mss) // RFC 5681 §4.1
	}
	for range maxBurst {
		n, ok := s.next()
		if !ok {
			c.probeLater()
			return false
		}
		c.segment(n)
	}
	_, more = s.next()
	return more
}

// next returns how much data the next segment holds, or false if nothing is to be
// sent now.
func (s *tcpSender) next() (n int, ok bool) {
	left := int(s.base) + s.buf.len() - int(s.nxt) // up to the FIN, if there is one
	left = int(int32(uint32(left)))
	if left < 0 || left == 0 && !s.fin {
		return 0, false
	}
	cwnd := s.cwnd
	if !s.recovering {
		cwnd += min(s.dups, 2) * s.mss // RFC 3042: limited transmit
	}
	flight := s.flight()
	room := min(cwnd, int(min(s.window, maxWindow))) - flight
	n = min(left, s.mss)
	switch {
	case left == 0: // a FIN takes no window
		return 0, true
	case room < n:
		s.limited = s.limited || cwnd-flight < n
		if room <= 0 || flight > 0 { // RFC 9293 §3.8.6.2.1: rather later than little
			return 0, false
		}
		return room, true
	case !s.noDelay && n < s.mss && flight > 0 && !s.fin:
		return 0, false
	}
	return n, true
}

// segment sends n bytes from nxt on, and the FIN if it follows.
func (c *TCPConn) segment(n int) {
	s, now := &c.tx, c.host.net.at
	t := TCPHeader{Seq: s.nxt, Flags: ACK}
	data := s.buf.at(int(s.nxt-s.base), n)
	end := s.nxt + uint32(n)
	if end == s.base+uint32(s.buf.len()) {
		if t.Flags |= PSH; s.fin {
			t.Flags |= FIN
			end++
		}
	}
	if !before(s.nxt, s.max) && !s.rtt.timed {
		s.rtt.timed, s.rtt.seq, s.rtt.since = true, s.nxt, now
	}
	s.nxt = end
	s.max = later(s.max, end)
	s.rtt.sent = now
	c.sendACK(t, data)
	if !c.alarm.armed() {
		c.alarm.arm(now + s.rtt.rto)
	}
}

// repair sends again the segment at una.
func (c *TCPConn) repair() {
	s := &c.tx
	nxt := s.nxt
	s.nxt, s.again = s.una, false
	s.rtt.timed = false // RFC 6298 §3: Karn
	left := s.base + uint32(s.buf.len()) - s.una
	c.segment(min(int(left), s.mss))
	s.nxt = later(nxt, s.nxt)
	s.rtt.timed = false
	c.alarm.arm(c.host.net.at + s.rtt.rto)
}

// sendACK sends a segment that acknowledges all that has come.
func (c *TCPConn) sendACK(t TCPHeader, data []byte) {
	r := &c.rx
	t.Flags |= ACK
	t.Window = r.advance(c.tx.mss)
	t.Ack = r.nxt
	r.ack, r.full = false, 0
	r.late.disarm()
	c.send(t, data)
}

// outputACK sends the acknowledgements that are due and went with no data.
func (c *TCPConn) outputACK() {
	n := c.rx.dups
	if c.rx.ack {
		n = max(n, 1)
	}
	c.rx.dups = 0
	for range n {
		c.sendACK(TCPHeader{Seq: c.tx.max}, nil)
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
	switch probe := c.state > tcpSynReceived && (s.max == s.una || s.window == 0); {
	case s.una == s.end():
		return
	case max(s.rtt.retries, s.unanswered) >= limit:
		c.end(c.timedOut())
		return
	case probe:
		// RFC 9293 §3.8.6.1. A segment that is out of the window is answered with
		// where the peer stands.
		s.probes++
		s.unanswered++
		c.sendACK(TCPHeader{Seq: s.una - 1}, nil)
		c.alarm.arm(now + min(s.rtt.rto<<min(s.probes, 10), maxRTO))
		return
	}
	s.timeout()
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
		c.send(TCPHeader{Flags: RST | ACK, Seq: c.tx.max, Ack: c.rx.nxt}, nil)
	}
	c.end(net.ErrClosed)
}

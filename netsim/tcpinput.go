package netsim

import (
	"os"
	"slices"
	"syscall"
	"time"
)

// A tcpReceiver is what a connection knows of what it receives.
type tcpReceiver struct {
	irs    uint32 // of the peer's SYN
	nxt    uint32 // the next expected
	edge   uint32 // the end of the window that the peer was told of
	buf    byteQueue
	limit  int // of buf
	ahead  spans
	hasFin bool
	fin    uint32 // the sequence number of the FIN
	eof    bool   // nothing follows what is in buf
	deaf   bool   // the user has closed this side: what comes is acknowledged and dropped

	ack        bool     // an acknowledgement is due
	beyond     []uint32 // segments that came beyond a gap, each to be acknowledged
	told       []uint32 // where ranges are that the last acknowledgements told of, the latest first
	full       int      // segments since the last acknowledgement
	late       timer
	challenged time.Duration // when what was out of the window was last answered, from 1
}

// advance moves the window and returns how many bytes it is from nxt on (RFC 9293 §3.8.6.2.2: the window
// moves by a segment or half the buffer at least).
func (r *tcpReceiver) advance(mss int) (window uint32) {
	edge := r.nxt + uint32(max(0, r.limit-r.buf.len()))
	if before(r.edge, edge) && int(edge-r.edge) >= min(mss, r.limit/2) {
		r.edge = edge
	}
	return r.edge - r.nxt
}

// tell has the next acknowledgement begin with the range that seq is in (RFC 2018 §4).
func (r *tcpReceiver) tell(seq uint32) {
	told := append(make([]uint32, 0, maxSACK), seq)
	for _, t := range r.told {
		if t != seq && len(told) < maxSACK {
			told = append(told, t)
		}
	}
	r.told = told
}

// blocks returns the ranges to tell of: the one that is new, and the last ones before.
// They take half of a segment at most.
func (r *tcpReceiver) blocks(mss int) (bs []SeqRange) {
	if len(r.ahead) == 0 {
		r.told = nil
		return nil
	}
	for _, seq := range r.told {
		b, ok := r.ahead.around(seq)
		if ok && !slices.Contains(bs, b) && 4+8*(len(bs)+1) <= mss/2 {
			bs = append(bs, b)
		}
	}
	return bs
}

// yields reports whether c is a connection of the past, and a SYN that begins another
// has come: c is then gone (RFC 9293 §3.6.1).
func (c *TCPConn) yields(t *TCPHeader) bool {
	if c.state != tcpTimeWait || t.Flags&(SYN|ACK|RST) != SYN || !before(c.rx.nxt, t.Seq) {
		return false
	}
	c.end(nil)
	return true
}

// input takes a segment for the connection (RFC 9293 §3.10.7).
func (c *TCPConn) input(p *packet) {
	t := &p.TCP
	c.alive.hear(c.host.net.at)
	if c.state == tcpSynSent {
		c.inputSynSent(t)
		return
	}
	if !c.acceptable(t, len(p.Data)) {
		switch {
		case t.Flags&RST != 0:
		case c.state == tcpSynReceived && t.Flags&SYN != 0 && t.Seq == c.rx.irs:
			if t.Flags&ACK == 0 {
				c.tx.again = true // the SYN and ACK was lost
				c.wake()
			} else if c.inputACK(t) { // both have called
				c.acknowledge()
			}
		case len(p.Data) > 0 || t.Flags&FIN != 0:
			c.acknowledge()
			if c.state == tcpTimeWait {
				c.alarm.arm(c.host.net.at + timeWait)
			}
		default:
			c.challenge()
		}
		return
	}
	switch {
	case t.Flags&RST != 0:
		c.inputReset(t)
	case t.Flags&SYN != 0:
		c.challenge() // RFC 5961 §4
	case t.Flags&ACK != 0 && c.inputACK(t):
		c.inputData(t, p.Data)
	}
}

// acceptable reports whether a part of a segment is in the window (RFC 9293
// §3.10.7.4). Like Linux it takes what is empty at the end of the window, where
// acknowledgements are when the window is full, and a FIN, which needs no room.
func (c *TCPConn) acceptable(t *TCPHeader, data int) bool {
	window := c.rx.edge - c.rx.nxt
	first := t.Seq - c.rx.nxt
	n := uint32(data)
	if t.Flags&SYN != 0 {
		n++
	}
	if n == 0 {
		return first <= window
	}
	return first < window || first+n-1 < window
}

// inputSynSent takes the answer to a SYN, or a SYN that has crossed it (RFC 9293
// §3.10.7.3).
func (c *TCPConn) inputSynSent(t *TCPHeader) {
	acks := t.Flags&ACK != 0
	mine := acks && c.tx.nxt != c.tx.iss && t.Ack == c.tx.iss+1
	switch {
	case acks && !mine:
		if t.Flags&RST == 0 {
			c.send(TCPHeader{Flags: RST, Seq: t.Ack}, nil)
		}
	case t.Flags&RST != 0:
		if mine {
			c.end(os.NewSyscallError("connect", syscall.ECONNREFUSED))
		}
	case t.Flags&SYN == 0:
	case mine:
		c.heard(t)
		c.establish(t)
		c.acknowledge()
	default:
		c.heard(t)
		c.setState(tcpSynReceived)
		c.tx.again = true // with an ACK now
		c.wake()
	}
}

// heard takes what the peer's SYN says.
func (c *TCPConn) heard(t *TCPHeader) {
	c.rx.irs, c.rx.nxt, c.rx.edge = t.Seq, t.Seq+1, t.Seq+1
	if c.state == tcpSynSent {
		c.rx.edge += uint32(c.rx.limit) // as the SYN said
	}
	c.tx.peerMSS = int(t.MSS)
	if t.MSS == 0 { // RFC 9293 §3.7.1
		c.tx.peerMSS = 536
		if c.local.Addr().Is6() {
			c.tx.peerMSS = 1220
		}
	}
}

// establish begins the exchange of data: t acknowledges the SYN.
func (c *TCPConn) establish(t *TCPHeader) {
	s := &c.tx
	lost := s.rtt.retries > 0
	s.acked(t.Ack, c.host.net.at)
	s.mss = c.segmentSize()
	s.cwnd, s.ssthresh, s.again = initialWindow*s.mss, maxWindow, false
	if lost { // RFC 6928 §2, RFC 6298 §5.7
		s.cwnd, s.rtt.rto = s.mss, rtoAfterLostSYN
	}
	s.window, s.wl1, s.wl2 = t.Window, t.Seq, t.Ack
	c.alarm.disarm()
	c.setState(tcpEstablished)
	if c.listener != nil {
		c.listener.ready(c)
	}
}

// inputReset takes a RST in the window (RFC 5961 §3).
func (c *TCPConn) inputReset(t *TCPHeader) {
	switch {
	case t.Seq != c.rx.nxt:
		c.challenge()
	case c.state == tcpTimeWait:
		c.end(nil)
	default:
		c.end(syscall.ECONNRESET)
	}
}

// inputACK takes an acknowledgement. It reports whether the rest of the segment counts.
func (c *TCPConn) inputACK(t *TCPHeader) bool {
	s, now := &c.tx, c.host.net.at
	if before(s.nxt, t.Ack) || before(t.Ack, s.una-maxWindow) {
		if c.state == tcpSynReceived {
			c.send(TCPHeader{Flags: RST, Seq: t.Ack}, nil)
		} else {
			c.challenge() // RFC 5961 §5
		}
		return false
	}
	switch {
	case c.state == tcpSynReceived && t.Ack == s.una:
		return false // it says nothing about this connection's SYN
	case c.state == tcpSynReceived:
		c.establish(t)
	case before(s.una, t.Ack):
		s.acked(t.Ack, now)
		c.progress()
	}
	if len(t.SACK) > 0 {
		s.received(t.SACK)
		s.detect()
		c.wake()
	}
	s.unanswered = 0
	if before(s.wl1, t.Seq) || s.wl1 == t.Seq && !before(t.Ack, s.wl2) {
		if s.probes > 0 && t.Window > 0 {
			s.probes = 0
			c.alarm.arm(now + s.rtt.rto)
		}
		s.window, s.wl1, s.wl2 = t.Window, t.Seq, t.Ack
		c.wake()
	}
	if s.finished() {
		c.finished()
	}
	return c.state != tcpClosed
}

// progress has the user and the timer learn that something was acknowledged.
func (c *TCPConn) progress() {
	if c.tx.nxt == c.tx.una {
		c.alarm.disarm()
	} else {
		c.alarm.arm(c.host.net.at + c.tx.rtt.rto) // RFC 6298 §5.3
	}
	c.changed.Broadcast() // there is room
	c.wake()
}

// finished takes the acknowledgement of the FIN.
func (c *TCPConn) finished() {
	switch c.state {
	case tcpFinWait1:
		c.setState(tcpFinWait2)
		if c.closed {
			c.alarm.arm(c.host.net.at + timeWait)
		}
	case tcpClosing:
		c.linger2MSL()
	case tcpLastACK:
		c.end(nil)
	}
}

// linger2MSL enters TIME-WAIT.
func (c *TCPConn) linger2MSL() {
	c.setState(tcpTimeWait)
	c.alarm.arm(c.host.net.at + timeWait)
}

// inputData takes what a segment carries.
func (c *TCPConn) inputData(t *TCPHeader, data []byte) {
	r := &c.rx
	if !c.state.receives() || r.eof {
		return
	}
	seq := t.Seq
	if t.Flags&FIN != 0 && !r.hasFin && !before(r.edge, seq+uint32(len(data))) {
		r.hasFin, r.fin = true, seq+uint32(len(data))
	}
	if skip := r.nxt - seq; before(seq, r.nxt) {
		data = data[min(int(skip), len(data)):]
		seq = r.nxt
	}
	end := r.edge
	if r.hasFin && before(r.fin, end) {
		end = r.fin
	}
	if !before(seq, end) {
		data = nil
	} else {
		data = data[:min(len(data), int(end-seq))]
	}
	switch {
	case len(data) == 0:
	case c.closed: // nobody will read it (RFC 9293 §3.10.4, RFC 1122 §4.2.2.13)
		c.abort()
		return
	case seq != r.nxt:
		r.ahead.add(seq, data)
		if len(r.beyond) < maxBurst {
			r.beyond = append(r.beyond, seq)
		}
		c.wake()
		return
	default:
		c.take(data)
	}
	if r.hasFin && r.nxt == r.fin {
		c.inputFIN()
	}
}

// take receives data that follows on all before it, and what now follows on that.
func (c *TCPConn) take(data []byte) {
	r := &c.rx
	filled := len(r.ahead) > 0
	for ; len(data) > 0; data = r.ahead.take(r.nxt) {
		if !r.deaf {
			r.buf.add(data)
		}
		r.nxt += uint32(len(data))
	}
	c.changed.Broadcast()
	if r.full++; r.full >= 2 || filled {
		c.acknowledge()
	} else if !r.late.armed() {
		r.late.arm(c.host.net.at + delayedACK)
	}
}

// inputFIN takes the end of what the peer sends.
func (c *TCPConn) inputFIN() {
	c.rx.nxt++
	c.rx.eof = true
	c.rx.ahead = nil
	c.rx.edge = later(c.rx.edge, c.rx.nxt)
	c.acknowledge()
	c.changed.Broadcast()
	switch c.state {
	case tcpEstablished:
		c.setState(tcpCloseWait)
	case tcpFinWait1:
		c.setState(tcpClosing)
	case tcpFinWait2:
		c.linger2MSL()
	}
}

// acknowledge has an acknowledgement sent at once.
func (c *TCPConn) acknowledge() {
	c.rx.ack = true
	c.wake()
}

// challenge answers what is out of place with where this end stands, but not too
// often: two ends that disagree would go on forever.
func (c *TCPConn) challenge() {
	if now := c.host.net.at + 1; c.rx.challenged == 0 || now-c.rx.challenged >= challengeGap {
		c.rx.challenged = now
		c.acknowledge()
	}
}

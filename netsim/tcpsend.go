package netsim

import "time"

// A tcpSender is what a connection knows of what it sends: RFC 9293 §3.3.1's send
// variables, the congestion control of RFC 5681 and the loss recovery of RFC 6675.
type tcpSender struct {
	iss  uint32 // of the SYN
	una  uint32 // the oldest that is not acknowledged
	nxt  uint32 // the next to send for the first time
	base uint32 // of the first byte in buf
	buf  byteQueue
	fin  bool // a FIN follows what is in buf

	window   uint32 // from una on, as the peer last said
	wl1, wl2 uint32 // the segment that said it
	peerMSS  int
	mss      int // and that of the path

	limit   int  // of buf
	noDelay bool // without Nagle's algorithm

	cwnd, ssthresh int
	growth         int  // bytes acknowledged since cwnd last grew, in congestion avoidance
	limited        bool // cwnd, not the user, has held back data

	sacked     scoreboard
	again      bool   // una is to be sent again at once
	recovering bool   // fast recovery
	recover    uint32 // what was the next to send when it began
	lostBelow  uint32 // what the timer has given up
	sentAgain  uint32 // what is lost before it was sent again
	unaMark    uint32 // what was the next to send when una was sent again, or became una

	probes     int // of a closed window, in a row
	unanswered int // of these

	rtt tcpRTT
}

// A tcpRTT is the round trip's measurement and what follows from it (RFC 6298).
type tcpRTT struct {
	srtt, rttvar time.Duration // 0: not measured
	rto          time.Duration
	retries      int // in a row
	timed        bool
	seq          uint32        // acknowledging more than it ends the measurement
	since        time.Duration // of the measurement
	sent         time.Duration // when data was last sent
}

func (s *tcpSender) start(iss uint32) {
	s.iss, s.una, s.nxt, s.base = iss, iss, iss, iss+1
	s.lostBelow, s.sentAgain = iss, iss
	s.ssthresh = maxWindow
	s.rtt.rto = initialRTO
}

// dataEnd returns the sequence number behind the data that there is to send.
func (s *tcpSender) dataEnd() uint32 { return s.base + uint32(s.buf.len()) }

// end returns the sequence number behind all that there is to send.
func (s *tcpSender) end() uint32 {
	if s.fin {
		return s.dataEnd() + 1
	}
	return s.dataEnd()
}

// flight returns how many bytes were sent and are not acknowledged.
func (s *tcpSender) flight() int { return int(s.nxt - s.una) }

// finished reports whether the FIN has been acknowledged.
func (s *tcpSender) finished() bool { return s.fin && s.una == s.end() }

// acked takes an acknowledgement of what was not acknowledged before.
func (s *tcpSender) acked(ack uint32, now time.Duration) {
	n := int(ack-s.una) - s.sacked.prune(ack)
	s.una, s.unaMark = ack, s.nxt
	s.lostBelow, s.sentAgain = later(s.lostBelow, ack), later(s.sentAgain, ack)
	if data := min(int(int32(ack-s.base)), s.buf.len()); data > 0 {
		s.buf.take(data)
		s.base += uint32(data)
	}
	if s.rtt.timed && before(s.rtt.seq, ack) {
		s.rtt.timed = false
		s.rtt.measured(now - s.rtt.since)
	}
	s.rtt.retries = 0
	switch {
	case s.recovering:
		s.recovering = before(ack, s.recover)
	case !s.limited: // RFC 7661: what was not used proves nothing
	case s.cwnd < s.ssthresh:
		s.cwnd += min(n, s.cwnd) // RFC 5681 §3.1, by bytes; at most to the double
	default:
		if s.growth += n; s.growth >= s.cwnd {
			s.growth -= s.cwnd
			s.cwnd += s.mss
		}
	}
	s.cwnd = min(s.cwnd, maxWindow)
}

// received takes the blocks of a selective acknowledgement.
func (s *tcpSender) received(blocks []SeqRange) {
	for _, r := range blocks {
		if before(s.una, r.First) && before(r.First, r.End) && !before(s.nxt, r.End) {
			s.sacked.add(r)
		}
	}
	// What was sent after una was sent again has arrived: it is lost again.
	if k := len(s.sacked); k > 0 && before(s.una, s.sentAgain) && int32(s.sacked[k-1].End-s.unaMark) > int32(3*s.mss) {
		s.again = true
	}
}

// detect begins fast recovery if una is lost (RFC 6675 §5). The timer's recovery is
// not disturbed.
func (s *tcpSender) detect() {
	if s.recovering || before(s.una, s.lostBelow) || len(s.sacked) == 0 || !s.survey().first {
		return
	}
	s.halve()
	s.cwnd = s.ssthresh
	s.recovering, s.recover = true, s.nxt
	s.sentAgain = s.una
	s.again = true
}

// halve sets ssthresh after a loss (RFC 5681 equation 4).
func (s *tcpSender) halve() {
	s.ssthresh = max(min(s.flight(), s.cwnd)/2, 2*s.mss) // what was received out of order is in flight, too
	s.growth = 0
}

// timeout takes the expiry of the retransmission timer: what is not known to have
// arrived is to be sent again (RFC 5681 §3.1, RFC 6298 §5.5).
func (s *tcpSender) timeout() {
	if s.rtt.retries == 0 {
		s.halve()
	}
	s.cwnd = s.mss
	s.lose()
	s.rtt.backOff()
}

// lose has all that is on its way, and is not known to have arrived, sent again.
func (s *tcpSender) lose() {
	s.recovering, s.again = false, false
	s.lostBelow, s.sentAgain = s.nxt, s.una
	s.rtt.timed = false // RFC 6298 §3: Karn
}

// backOff doubles the timeout, and forgets a measurement that would not tell which
// of two segments was acknowledged (Karn).
func (r *tcpRTT) backOff() {
	r.retries++
	r.timed = false
	r.rto = min(2*r.rto, maxRTO)
}

// measured takes a round trip (RFC 6298 §2).
func (r *tcpRTT) measured(rtt time.Duration) {
	if r.srtt == 0 {
		r.srtt, r.rttvar = rtt, rtt/2
	} else {
		r.rttvar += (max(r.srtt-rtt, rtt-r.srtt) - r.rttvar) / 4
		r.srtt += (rtt - r.srtt) / 8
	}
	// As in Linux the minimum bounds the part of the variance.
	r.rto = min(r.srtt+max(4*r.rttvar, minRTO), maxRTO)
}

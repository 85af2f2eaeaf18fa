package netsim

import "time"

// A tcpSender is what a connection knows of what it sends: RFC 9293 §3.3.1's send
// variables, and the congestion control of RFC 5681 with NewReno's recovery.
type tcpSender struct {
	iss  uint32 // of the SYN
	una  uint32 // the oldest that is not acknowledged
	nxt  uint32 // the next to send; after a timeout, again
	max  uint32 // the first that was never sent
	base uint32 // of the first byte in buf
	buf  byteQueue
	fin  bool // a FIN follows what is in buf

	window   uint32 // from una on, as the peer last said
	wl1, wl2 uint32 // the segment that said it
	mss      int    // the peer's

	limit   int  // of buf
	noDelay bool // without Nagle's algorithm

	cwnd, ssthresh int
	growth         int    // bytes acknowledged since cwnd last grew, in congestion avoidance
	limited        bool   // cwnd, not the user, has held back data
	dups           int    // duplicate acknowledgements in a row
	again          bool   // una is to be sent again at once
	recovering     bool   // fast recovery
	recover        uint32 // RFC 6582: the last that had been sent when a loss was seen

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
	s.iss, s.una, s.nxt, s.max, s.base = iss, iss, iss, iss, iss+1
	s.recover = iss - 1
	s.ssthresh = maxWindow
	s.rtt.rto = initialRTO
}

// end returns the sequence number behind all that there is to send.
func (s *tcpSender) end() uint32 {
	end := s.base + uint32(s.buf.len())
	if s.fin {
		end++
	}
	return end
}

// flight returns how many bytes are on their way, as far as is known.
func (s *tcpSender) flight() int { return int(s.nxt - s.una) }

// finished reports whether the FIN has been acknowledged.
func (s *tcpSender) finished() bool { return s.fin && s.una == s.end() }

// acked takes an acknowledgement of what was not acknowledged before. It reports
// whether una is to be sent again at once: the loss after the one repaired.
func (s *tcpSender) acked(ack uint32, now time.Duration) (again bool) {
	n := int(ack - s.una)
	full := s.limited
	s.una = ack
	s.nxt = later(s.nxt, ack)
	if data := min(int(int32(ack-s.base)), s.buf.len()); data > 0 {
		s.buf.take(data)
		s.base += uint32(data)
	}
	if s.rtt.timed && before(s.rtt.seq, ack) {
		s.rtt.timed = false
		s.rtt.measured(now - s.rtt.since)
	}
	s.rtt.retries = 0
	s.dups = 0
	switch {
	case s.recovering && !before(s.recover, ack):
		// RFC 6582 §3.2: a partial acknowledgement.
		s.cwnd = max(s.cwnd-n, 0)
		if n >= s.mss {
			s.cwnd += s.mss
		}
		s.cwnd = max(s.cwnd, s.mss)
		return true
	case s.recovering:
		s.recovering = false
		s.cwnd = min(s.ssthresh, max(s.flight(), s.mss)+s.mss)
	case !full: // RFC 7661: what was not used proves nothing
	case s.cwnd < s.ssthresh:
		s.cwnd += min(n, s.cwnd) // RFC 5681 §3.1, by bytes; at most to the double
	default:
		if s.growth += n; s.growth >= s.cwnd {
			s.growth -= s.cwnd
			s.cwnd += s.mss
		}
	}
	s.cwnd = min(s.cwnd, maxWindow)
	return false
}

// duplicate takes a duplicate acknowledgement. It reports whether una is to be sent
// again at once (RFC 5681 §3.2).
func (s *tcpSender) duplicate() (again bool) {
	s.dups++
	switch {
	case s.recovering:
		s.cwnd = min(s.cwnd+s.mss, maxWindow) // one has left the network
	case s.dups == 3 && before(s.recover, s.una-1):
		// RFC 6582 §3.2 step 2.
		s.halve()
		s.recovering, s.recover = true, s.max-1
		s.cwnd = s.ssthresh + 3*s.mss
		s.rtt.timed = false // RFC 6298 §3: Karn
		return true
	}
	return false
}

// halve sets ssthresh after a loss (RFC 5681 equation 4).
func (s *tcpSender) halve() {
	s.ssthresh = max(s.flight()/2, 2*s.mss)
	s.growth = 0
}

// timeout takes the expiry of the retransmission timer: all is to be sent again, from
// una on (RFC 5681 §3.1, RFC 6298 §5.5).
func (s *tcpSender) timeout() {
	if s.rtt.retries == 0 {
		s.halve()
	}
	s.cwnd = s.mss
	s.recovering, s.recover, s.dups = false, s.max-1, 0
	s.nxt = s.una
	s.rtt.backOff()
}

// backOff doubles the timeout, and forgets a measurement that would not tell which
// of two segments was acknowledged.
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
	// As Linux, the minimum bounds the part of the variance.
	r.rto = min(r.srtt+max(4*r.rttvar, minRTO), maxRTO)
}

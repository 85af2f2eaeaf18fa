package netsim

import (
	"math"
	"time"
)

// The parameters of RFC 8289 §4.4.
const (
	codelTarget   = 5 * time.Millisecond
	codelInterval = 100 * time.Millisecond
)

const (
	notECT = 0 // RFC 3168 §5
	ce     = 3
)

// codel is the state of RFC 8289 §5.2, with its names.
type codel struct {
	firstAboveTime time.Duration // when dropping may start if the wait stays above the target; 0: it is not above
	dropNext       time.Duration
	count          int // of drops since dropping started
	lastCount      int
	dropping       bool
}

// controlLaw returns when to drop after a drop at t (RFC 8289 §5.4).
func (c *codel) controlLaw(t time.Duration) time.Duration {
	return t + time.Duration(float64(codelInterval)/math.Sqrt(float64(c.count)))
}

// first removes the first packet that waits. okToDrop says that the wait has been
// above the target for an interval (RFC 8289 §5.6).
func (pi *pipe) first() (p *packet, okToDrop bool) {
	now, t := pi.link.net.at, &pi.tx
	c := &t.codel
	p = t.pop()
	switch {
	case p == nil || now-p.since < codelTarget || t.bytes <= pi.cfg.MTU:
		c.firstAboveTime = 0
	case c.firstAboveTime == 0:
		c.firstAboveTime = now + codelInterval
	default:
		okToDrop = now >= c.firstAboveTime
	}
	return p, okToDrop
}

// signal tells the sender of p that the queue is long. It reports whether that took
// dropping it: what understands ECN is marked (RFC 8289 §3.1, RFC 3168 §5).
func (pi *pipe) signal(p *packet) (dropped bool) {
	if p.ECN == notECT {
		pi.drop(DropCoDel, p)
		return true
	}
	p.ECN = ce
	pi.record(Marked, p)
	return false
}

// dequeue removes the first packet that CoDel lets pass, or returns nil
// (RFC 8289 §5.5).
func (pi *pipe) dequeue() *packet {
	now, c := pi.link.net.at, &pi.tx.codel
	p, ok := pi.first()
	switch {
	case !ok:
		c.dropping = false
	case c.dropping:
		for c.dropping && now >= c.dropNext {
			c.count++
			if !pi.signal(p) {
				c.dropNext = c.controlLaw(c.dropNext)
				break
			}
			if p, ok = pi.first(); ok {
				c.dropNext = c.controlLaw(c.dropNext)
			} else {
				c.dropping = false
			}
		}
	default:
		if pi.signal(p) {
			p, _ = pi.first()
		}
		c.dropping = true
		// It resumes at the rate that was right a short while ago.
		delta := c.count - c.lastCount
		c.count = 1
		if delta > 1 && now-c.dropNext < 16*codelInterval {
			c.count = delta
		}
		c.dropNext = c.controlLaw(now)
		c.lastCount = c.count
	}
	return p
}

package netsim

import "time"

// A deadline is the read or write deadline of a connection. The network's mutex
// guards it, except passed, which belongs to whoever waits.
type deadline struct {
	passed bool
	timer  timer
}

// init has changed called, with the network locked, when the deadline passes.
func (d *deadline) init(n *Network, changed func()) {
	d.timer = timer{net: n, f: func() {
		d.passed = true
		changed()
	}}
}

// set arms the deadline for t; the zero time disarms it. It does not wake who waits
// when it passes at once. The network is locked.
func (d *deadline) set(t time.Time) {
	n := d.timer.net
	d.passed = false
	d.timer.disarm()
	switch left := time.Until(t); {
	case t.IsZero():
	case left <= 0:
		d.passed = true
	case !n.closed:
		d.timer.arm(n.now() + left)
		n.kick()
	}
}

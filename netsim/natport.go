package netsim

import "net/netip"

// A PortPolicy says which external port a new mapping gets (RFC 4787 §4.2).
type PortPolicy uint8

const (
	PreservePort   PortPolicy = iota // the internal port, or if it is taken the next free one
	RandomPort                       // a random port, but never the internal one
	SequentialPort                   // PortStep above that of the mapping before
)

// A PortRange is the ports from Low to High, both included.
type PortRange struct{ Low, High uint16 }

func (r PortRange) size() int { return int(r.High) - int(r.Low) + 1 }

// at returns the i-th port of r, counted from 0 and around.
func (r PortRange) at(i int) uint16 {
	n := r.size()
	return uint16(int(r.Low) + (i%n+n)%n)
}

func (r PortRange) contains(port uint16) bool { return r.Low <= port && port <= r.High }

const (
	firstNATPort = 1024 // RFC 4787 §4.2.1: not a well-known port
	numNATPorts  = 1<<16 - firstNATPort
)

// What draws are for, so that they are independent of each other.
const (
	drawFirstPort = iota + 1
	drawTaken
	drawContention
)

// allocate returns a free external endpoint for inner towards remote.
func (t *NAT) allocate(proto Protocol, inner, remote netip.AddrPort) (netip.AddrPort, bool) {
	if !t.translates(remote.Addr()) {
		return inner, true
	}
	if !t.external.IsValid() {
		return netip.AddrPort{}, false
	}
	r, step := t.cfg.PortRange, 1
	var num uint16
	switch t.cfg.Ports {
	case PreservePort:
		num = inner.Port() // a well-known one is kept, too, where all are allowed
		if !r.contains(num) && r.size() != numNATPorts {
			num = r.at(int(num))
		}
	case RandomPort:
		num = t.draw(proto, inner, remote)
	case SequentialPort:
		step = t.cfg.PortStep
		num = t.nextPort()
	}
	for range r.size() + 1 {
		if outer := netip.AddrPortFrom(t.external, num); t.isFree(proto, outer, inner, remote) {
			if t.cfg.Ports == SequentialPort {
				t.lastPort = num
			}
			return outer, true
		}
		if !r.contains(num) {
			num = r.Low // after a well-known one
			continue
		}
		num = r.at(int(num) - int(r.Low) + step)
	}
	return netip.AddrPort{}, false
}

// isFree reports whether a new mapping of inner towards remote may be at outer.
func (t *NAT) isFree(proto Protocol, outer, inner, remote netip.AddrPort) bool {
	num := outer.Port()
	if _, used := t.byOuter[endpoint{proto, outer}]; used {
		return false
	}
	if t.cfg.Ports == RandomPort && num == inner.Port() {
		return false
	}
	if t.cfg.PortsTaken > 0 && unit(mix(t.net.cfg.Seed, t.id, t.resets, drawTaken, uint64(num))) < t.cfg.PortsTaken {
		return false
	}
	_, stolen := t.stolen.get(endpoints{proto, outer, remote}, t.net.at)
	return !stolen
}

// draw returns a random port for inner towards remote. It comes from the flow and the
// instant: what else the NAT has translated until then makes no difference.
func (t *NAT) draw(proto Protocol, inner, remote netip.AddrPort) uint16 {
	flow := Packet{Proto: proto, Src: inner, Dst: remote}
	n := mix(t.net.cfg.Seed, t.id, t.resets, flow.hash(), uint64(t.net.at)) % uint64(t.cfg.PortRange.size())
	return t.cfg.PortRange.at(int(n))
}

// firstPort has SequentialPort begin anywhere in the range.
func (t *NAT) firstPort() {
	n := mix(t.net.cfg.Seed, t.id, t.resets, drawFirstPort) % uint64(t.cfg.PortRange.size())
	t.lastPort = t.cfg.PortRange.at(int(n))
}

// nextPort returns the port that follows the last one, and those that others have got
// since.
func (t *NAT) nextPort() uint16 {
	steps := 1
	if t.cfg.Contention > 0 {
		steps += int(mix(t.net.cfg.Seed, t.id, t.resets, drawContention, uint64(t.lastPort)) % uint64(t.cfg.Contention+1))
	}
	return t.cfg.PortRange.at(int(t.lastPort) - int(t.cfg.PortRange.Low) + steps*t.cfg.PortStep)
}

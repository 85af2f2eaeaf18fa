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
		step = t.cfg.PortStep % r.size()
		num = t.nextPort()
	}
	if outer := netip.AddrPortFrom(t.external, num); !r.contains(num) {
		if t.isFree(proto, outer, inner, remote) {
			return outer, true
		}
		num = r.Low // after a well-known one
	}
	if t.exhausted(proto) {
		return netip.AddrPort{}, false
	}
	lap := r.size() / gcd(r.size(), step) // steps until it is back where it began
	for i := range r.size() {
		at := r.at(int(num) - int(r.Low) + i*step + i/lap) // once around it goes on beside
		outer := netip.AddrPortFrom(t.external, at)
		if own := t.cfg.Ports == RandomPort && at == inner.Port(); !own && t.isFree(proto, outer, inner, remote) {
			if t.cfg.Ports == SequentialPort {
				t.lastPort = at
			}
			return outer, true
		}
	}
	t.countTaken()
	return netip.AddrPort{}, false
}

// occupy notes that the external endpoint of m is not free.
func (t *NAT) occupy(m *mapping) {
	t.byOuter[endpoint{m.proto, m.outer}] = m
	if t.inRange(m) {
		t.used[m.proto]++
	}
}

// release notes that it is again.
func (t *NAT) release(m *mapping) {
	delete(t.byOuter, endpoint{m.proto, m.outer})
	if t.inRange(m) {
		t.used[m.proto]--
	}
}

// inRange reports whether m has one of the ports that there are to give out.
func (t *NAT) inRange(m *mapping) bool {
	return m.outer.Addr() == t.external && t.cfg.PortRange.contains(m.outer.Port())
}

// exhausted reports whether a search for a free port would be in vain: a flood of packets
// that get none is not to cost a search each.
func (t *NAT) exhausted(proto Protocol) bool {
	return t.used[proto]+t.taken >= t.cfg.PortRange.size()
}

// countTaken counts the ports that others have.
func (t *NAT) countTaken() {
	if t.cfg.PortsTaken == 0 || t.taken > 0 {
		return
	}
	for i := range t.cfg.PortRange.size() {
		if t.isTaken(t.cfg.PortRange.at(i)) {
			t.taken++
		}
	}
}

// isTaken reports whether another subscriber has the external port.
func (t *NAT) isTaken(port uint16) bool {
	return t.cfg.PortsTaken > 0 && unit(mix(t.net.cfg.Seed, t.id, t.resets, drawTaken, uint64(port))) < t.cfg.PortsTaken
}

// gcd is Euclid's, of n > 0 and any m.
func gcd(n, m int) int {
	for m != 0 {
		n, m = m, n%m
	}
	return max(n, -n)
}

// isFree reports whether a new mapping of inner towards remote may be at outer.
func (t *NAT) isFree(proto Protocol, outer, inner, remote netip.AddrPort) bool {
	num := outer.Port()
	if _, used := t.byOuter[endpoint{proto, outer}]; used {
		return false
	}
	if !t.portmap.free(proto, outer, inner) {
		return false
	}
	if t.isTaken(num) {
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

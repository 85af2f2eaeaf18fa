package netsim

import "time"

// At has f called d after New, or at once if that has passed: on the network's own
// goroutine, when all packets that are due at that instant have moved, and before
// timers of hosts. Functions of one instant are called in the order in which they were
// given. f may use the network, but must not block on what the network is to do, nor
// close it. What is left when the network is closed is not called.
//
// A schedule of calls to [Link.SetDown], [Link.Set], [Host.AddAddr] or [NAT.Reboot]
// made beforehand happens at the same instants, among the same packets, in every run.
func (n *Network) At(d time.Duration, f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	t := &timer{net: n, f: func() { n.call = f }}
	t.arm(max(d, n.now()))
	n.kick()
}

// Now returns the time since New, which [Network.At] and events count in.
func (n *Network) Now() time.Duration { return n.now() }

// Reboot has the router drop all that reaches it for a while, as it restarts.
func (r *Router) Reboot(down time.Duration) { r.reboot(down) }

// Reboot has the switch drop all that reaches it for a while, as it restarts.
func (s *Switch) Reboot(down time.Duration) { s.reboot(down) }

// Reboot has the NAT drop all that reaches it for a while, and forget what
// [NAT.Reset] has it forget.
func (t *NAT) Reboot(down time.Duration) {
	t.reboot(down)
	t.Reset()
}

func (b *base) reboot(down time.Duration) {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	b.off = b.net.now() + min(max(down, 0), maxLinkDelay)
}

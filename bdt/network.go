package bdt

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/internal/peer"
)

const (
	// settleTime is how long a change may take: an interface comes with several messages.
	settleTime = 5 * time.Millisecond
	// changeGap is the least time between two changes that are acted on, and quietGap
	// that before one in which no address changed, such as a route's lifetime that a
	// router renews.
	changeGap = 100 * time.Millisecond
	quietGap  = 10 * time.Second
	// suspendTick is how often the clocks are compared. A timer does not run while the
	// machine sleeps, so it is at most that long after waking that this is noticed.
	suspendTick = 2 * time.Second
	// suspendJump is how far the wall clock must be ahead. That it was set makes no
	// more trouble than a suspicion.
	suspendJump = 3 * time.Second
	// checkGap is the least time between two questions to the SNs about where they see
	// us because a path is in doubt.
	checkGap = time.Second
)

// A monitor notices that the device is at another network, or that its machine has
// slept, and has all that depends on it act at once: the SN clients register again, the
// mapper asks again, the peers try their paths (docs/spec/path.md §8).
type monitor struct {
	stack *Stack
	start time.Time
	slept atomic.Int64  // added to the wall clock: what a test says
	told  chan struct{} // by NetworkChanged; holds one
	seen  chan struct{} // elsewhere, by an SN; holds one

	mu      sync.Mutex
	checked time.Time // by Check
}

func (m *monitor) init(s *Stack) {
	m.stack, m.start = s, time.Now()
	m.told, m.seen = make(chan struct{}, 1), make(chan struct{}, 1)
}

// clocks reads both clocks, from the stack's start.
func (m *monitor) clocks() (wall, monotonic time.Duration) {
	now := time.Now()
	wall = now.Round(0).Sub(m.start.Round(0)) // Round strips the monotonic reading
	return wall + time.Duration(m.slept.Load()), now.Sub(m.start)
}

// NetworkChanged tells the stack that the device may be at another network. It is for
// platforms on which only the application is told (Android, iOS); elsewhere the stack
// finds out by itself.
func (s *Stack) NetworkChanged() { nudge(s.monitor.told) }

// nudge leaves a value in a channel that holds one.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run watches until the stack is closed.
func (m *monitor) run() {
	s := m.stack
	changed, err := s.cfg.Network.Watch(s.ctx)
	if err != nil {
		s.log.Warn("changes of the network are not noticed", "err", err)
	}
	defer func() {
		if changed != nil {
			for range changed { // until nothing goes on there
			}
		}
	}()
	ticker := time.NewTicker(suspendTick)
	defer ticker.Stop()
	pending := time.NewTimer(0) // a change that is to be acted on
	if !pending.Stop() {
		<-pending.C
	}
	defer pending.Stop()
	wall, monotonic := m.clocks()
	named := time.Time{} // when the descriptor was last changed
	last, prefixes := time.Time{}, usable(host{s}.prefixes())
	for {
		select {
		case _, ok := <-changed:
			if !ok {
				changed = nil
				continue
			}
			host{s}.forgetPrefixes()
			gap := quietGap
			if !slices.Equal(usable(host{s}.prefixes()), prefixes) {
				gap = changeGap
			}
			pending.Reset(max(settleTime, time.Until(last.Add(gap))))
		case <-m.told:
			pending.Reset(0)
		case <-ticker.C:
			w, mono := m.clocks()
			if suspended(w-wall, mono-monotonic) {
				s.log.Info("the machine was suspended", "for", (w-wall)-(mono-monotonic))
				pending.Reset(0)
			}
			wall, monotonic = w, mono
		case <-pending.C:
			last = time.Now()
			host{s}.forgetPrefixes()
			prefixes = usable(host{s}.prefixes())
			m.changed()
		case <-m.seen:
			for _, p := range s.allPeers() {
				p.CandidatesChanged()
			}
			s.nameNearest(time.Now(), &named)
		case <-s.ctx.Done():
			return
		}
	}
}

// suspended reports whether the machine slept, by how far its clocks advanced. The
// monotonic clock stands still meanwhile (Linux, macOS), and is never set.
func suspended(wall, monotonic time.Duration) bool { return wall-monotonic >= suspendJump }

// usable returns those prefixes that matter to where the device is, in order.
func usable(prefixes []netip.Prefix) []netip.Prefix {
	list := slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool {
		return p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast()
	})
	slices.SortFunc(list, netip.Prefix.Compare)
	return list
}

// changed has all act on a change.
func (m *monitor) changed() {
	s := m.stack
	s.log.Info("the network has changed")
	for _, c := range s.clients() {
		c.Rehome()
	}
	for _, c := range s.relays.clients() {
		c.Rehome()
	}
	s.translator.prepare(host{s}.prefixes())
	s.discovery.Load().Changed()
	s.mapper.askAgain()
	s.learner.networkChanged()
	for _, p := range s.allPeers() {
		p.NetworkChanged()
	}
}

// Check implements peer.Host.
func (h host) Check() {
	m := &h.monitor
	now := time.Now()
	m.mu.Lock()
	due := now.Sub(m.checked) >= checkGap
	if due {
		m.checked = now
	}
	m.mu.Unlock()
	if !due {
		return
	}
	for _, c := range h.clients() {
		c.Check()
	}
	for _, c := range h.relays.clients() {
		c.Check()
	}
	h.mapper.askAgain()
}

// allPeers returns the stack's peers.
func (s *Stack) allPeers() []*peer.Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.peers))
}

package path

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// epoch is when all tests begin.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const ms = time.Millisecond

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func prefixes(list ...string) (ps []netip.Prefix) {
	for _, s := range list {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// testLink is a comparable handle with a name.
type testLink struct{ name string }

// A clock runs events and the timers of sets in the order of their time.
type clock struct {
	t      testing.TB
	now    time.Time
	events events
	seq    int
	nodes  []*node
}

type event struct {
	at  time.Time
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if !e[i].at.Equal(e[j].at) {
		return e[i].at.Before(e[j].at)
	}
	return e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	x := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return x
}

func (c *clock) after(d time.Duration, do func()) {
	c.seq++
	heap.Push(&c.events, event{c.now.Add(d), c.seq, do})
}

// poll has all sets do what is due, until nothing is.
func (c *clock) poll() {
	for _, n := range c.nodes {
		if at := n.s.Next(); !due(at, c.now) {
			continue
		}
		for _, a := range n.s.Poll(c.now) {
			n.sent = append(n.sent, sent{c.now.Sub(epoch), a})
			if n.act != nil {
				n.act(a)
			}
		}
		if at := n.s.Next(); due(at, c.now) && len(n.s.queue) == 0 {
			c.t.Fatalf("%v: after Poll, Next is %v ago", c.now.Sub(epoch), c.now.Sub(at))
		}
	}
}

// run runs for d.
func (c *clock) run(d time.Duration) {
	end := c.now.Add(d)
	for range 10_000_000 {
		c.poll()
		next := time.Time{}
		if len(c.events) > 0 {
			next = c.events[0].at
		}
		for _, n := range c.nodes {
			next = earlier(next, n.s.Next())
		}
		if next.IsZero() || next.After(end) {
			c.now = end
			return
		}
		c.now = later(c.now, next)
		for len(c.events) > 0 && !c.events[0].at.After(c.now) {
			heap.Pop(&c.events).(event).do()
		}
	}
	c.t.Fatal("the clock stands still")
}

// sent is an action and when it was returned, counted from epoch.
type sent struct {
	at time.Duration
	Action
}

// A node is a set on a clock.
type node struct {
	*clock
	s    *Set
	link *testLink
	sent []sent
	act  func(Action)
	// answer is the round-trip time to each address that answers probes, by the
	// default act.
	answer map[netip.AddrPort]time.Duration
	narrow map[netip.AddrPort]bool // those that answer no soundings
	// observed is what those answers report.
	observed netip.AddrPort
}

func newNode(c *clock, seed uint64) *node {
	n := &node{clock: c, s: New(Config{Rand: rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})})}
	c.nodes = append(c.nodes, n)
	return n
}

// The addresses of the one-sided tests.
var (
	ours    = addr("192.0.2.1:4000")
	outside = addr("198.51.100.1:4000") // what the peer sees of us behind a NAT
	alpha   = addr("203.0.113.1:5001")
	beta    = addr("203.0.113.2:5002")
	gamma   = addr("203.0.113.3:5003")
)

// newRig returns a set in stage Sealed that has one link, against peers that answer
// as n.answer says.
func newRig(t testing.TB) *node {
	n := newNode(&clock{t: t, now: epoch}, 1)
	n.link = &testLink{"udp"}
	n.answer, n.narrow = make(map[netip.AddrPort]time.Duration), make(map[netip.AddrPort]bool)
	n.observed = outside
	n.s.AddLink(n.now, LinkInfo{Link: n.link, Local: ours, Prefixes: prefixes("192.0.2.1/24")})
	n.s.SetStage(n.now, Sealed)
	n.s.SetNominator(n.now, true)
	n.act = func(a Action) {
		if a.Kind == Sound && !n.narrow[a.Addr] {
			a.Probe.Token = a.Sounding.Token
		} else if a.Kind != SendProbe {
			return
		}
		n.after(n.answer[a.Addr], func() {
			if n.answer[a.Addr] != 0 {
				n.s.HandleReply(n.now, a.Link, a.Addr, wire.ProbeReply{Token: a.Probe.Token, Observed: n.observed})
			}
		})
	}
	return n
}

// busy has data sent each second, unanswered, for d.
func (n *node) busy(d time.Duration) {
	for at := time.Second; at <= d; at += time.Second {
		n.after(at, func() { n.s.Traffic(n.now, Traffic{LastSent: n.now}) })
	}
}

// tell adds a candidate that was told by the peer.
func (n *node) tell(a netip.AddrPort, kind wire.CandidateKind) {
	n.s.AddCandidate(n.now, Candidate{Addr: a, Kind: kind, Origin: OriginPeer})
}

// valid makes a path valid at once, and settles it.
func (n *node) valid(a netip.AddrPort, rtt time.Duration) {
	n.t.Helper()
	n.answer[a] = rtt
	n.s.HandleSource(n.now, n.link, a, true)
	n.run(2*rtt + 3*time.Second)
	if n.info(a).State != Valid {
		n.t.Fatalf("path to %v is %v", a, n.info(a).State)
	}
}

// info returns the path to an address.
func (n *node) info(a netip.AddrPort) Info {
	n.t.Helper()
	for _, i := range n.s.Paths() {
		if i.Remote == a {
			return i
		}
	}
	n.t.Fatalf("no path to %v", a)
	return Info{}
}

// current returns where data goes; the zero address if nowhere.
func (n *node) current() netip.AddrPort {
	i, _ := n.s.Current()
	return i.Remote
}

// times returns when actions of a kind were returned for an address (or the zero one,
// for any), counted from since.
func (n *node) times(since time.Time, kind ActionKind, a netip.AddrPort) (ts []time.Duration) {
	for _, x := range n.sent {
		if x.Kind == kind && (!a.IsValid() || x.Addr == a) && x.at >= since.Sub(epoch) {
			ts = append(ts, x.at-since.Sub(epoch))
		}
	}
	return ts
}

// wantTimes checks times.
func (n *node) wantTimes(since time.Time, kind ActionKind, a netip.AddrPort, want ...time.Duration) {
	n.t.Helper()
	if got := n.times(since, kind, a); !slices.Equal(got, want) {
		n.t.Errorf("%v to %v at %v, want %v", kind, a, got, want)
	}
}

// wantCurrent checks where data goes.
func (n *node) wantCurrent(a netip.AddrPort) {
	n.t.Helper()
	if n.current() != a {
		n.t.Errorf("current path %v, want %v\n%s", n.current(), a, n.record())
	}
}

func (n *node) wantState(a netip.AddrPort, want State) {
	n.t.Helper()
	if got := n.info(a).State; got != want {
		n.t.Errorf("%v is %v, want %v\n%s", a, got, want, n.record())
	}
}

// record returns the record as text.
func (n *node) record() string {
	var b []byte
	for _, e := range n.s.Log() {
		b = fmt.Appendf(b, "%10v %v\n", e.Time.Sub(epoch), e)
	}
	return string(b)
}

// kinds returns the kinds of the actions, in order.
func kinds(list []Action) (ks []ActionKind) {
	for _, a := range list {
		ks = append(ks, a.Kind)
	}
	return ks
}

// nowhere is the address of actions that concern no path.
var nowhere netip.AddrPort

// addRelay adds a relay link whose peer answers after rtt, and returns its address.
func (n *node) addRelay(rtt time.Duration) netip.AddrPort {
	relay := addr("198.51.100.99:3478")
	n.answer[relay] = rtt
	n.s.AddLink(n.now, LinkInfo{Link: &testLink{"relay"}, Transport: TransportRelay, Local: ours, Peer: relay})
	return relay
}

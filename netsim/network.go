package netsim

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/bdtnet/bdt/internal/nat64"
)

// A Config holds what concerns a whole network.
type Config struct {
	Seed          uint64 // of all that is random
	ReceiveBuffer int    // bytes that each socket queues for its reader, 0: 4 MiB
}

const defaultReceiveBuffer = 4 << 20

// A Network is a set of nodes and links with its own clock and goroutine.
// Its methods, and those of its nodes and links, may be called concurrently.
type Network struct {
	cfg   Config
	start time.Time
	wake  chan struct{}
	done  chan struct{}

	mu       sync.Mutex // guards all below, and every node and link; never held while blocking
	room     sync.Cond  // outbox was taken
	closed   bool
	at       time.Duration // the instant being simulated
	wakeAt   time.Duration // when the goroutine will look at queue and timers
	queue    schedule
	timers   timers
	seq      uint64
	pipes    uint64
	nodes    uint64
	hosts    []*Host
	names    map[string][]netip.Addr
	outbox   outbox
	captured uint64 // packets that were given an id
	hash     uint64 // of all events
	call     func() // of a timer of At that has fired
	mapping  bool   // some NAT opens ports on request
}

// New starts an empty network. Close stops it.
func New(cfg Config) *Network {
	if cfg.ReceiveBuffer <= 0 {
		cfg.ReceiveBuffer = defaultReceiveBuffer
	}
	n := &Network{
		cfg:    cfg,
		start:  time.Now(),
		wake:   make(chan struct{}, 1),
		done:   make(chan struct{}),
		wakeAt: forever,
		names:  map[string][]netip.Addr{nat64.DiscoveryName: nat64.DiscoveryAddrs()},
	}
	n.room.L = &n.mu
	go n.run()
	return n
}

// Close closes every socket, drops what is on the links and waits for the
// network's goroutine. Further calls do nothing.
func (n *Network) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		<-n.done
		return nil
	}
	n.closed = true
	for _, h := range n.hosts {
		h.closeSockets()
	}
	n.room.Broadcast()
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default: // a wake-up is under way
	}
	<-n.done
	return nil
}

// A Node is a [Host], a [Router], a [Switch] or a [NAT].
type Node interface {
	Name() string // as given at creation; a label, not an address
	Stats() Stats // what happened to packets at this node itself

	common() *base
	// adopt makes addrs the node's own on link l, its uplink, and returns the
	// prefixes that the node above is to route to it.
	adopt(l *Link, addrs []netip.Prefix) ([]netip.Prefix, error)
	// hides reports whether the nodes above must not learn of a prefix below.
	hides(netip.Prefix) bool
	// receive is given a packet that in has brought. It now holds p.
	receive(p *packet, in *pipe)
}

// base is what all nodes have.
type base struct {
	net     *Network
	id      uint64 // by order of creation
	name    string
	uplinks []*Link
	below   []*Link // whose upper end this is
	routes  routes
	stats   Stats
	quiet   bool          // sends no ICMP errors
	off     time.Duration // until when it is restarting
}

func (n *Network) newBase(name string) base {
	n.nodes++
	return base{net: n, id: n.nodes, name: name}
}

func (b *base) common() *base { return b }

// Name returns the name given at creation.
func (b *base) Name() string { return b.name }

// Stats counts what happened to packets at this node itself.
func (b *base) Stats() Stats {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	return b.stats
}

// ports returns the ways out of a node, up and down.
func (b *base) ports() []*pipe {
	list := make([]*pipe, 0, len(b.uplinks)+len(b.below))
	for _, l := range b.uplinks {
		list = append(list, l.up)
	}
	for _, l := range b.below {
		list = append(list, l.down)
	}
	return list
}

func (b *base) record(f Fate, p *packet, in *pipe) {
	b.stats.add(f, p)
	b.net.event(f, b, in, p, p.Src, p.Dst)
}

func (b *base) drop(f Fate, p *packet, in *pipe) {
	b.record(f, p, in)
	p.release()
}

// ErrAddressInUse is returned when an address or prefix already leads elsewhere.
var ErrAddressInUse = errors.New("address in use")

// Connect joins the node low to the node up above it. Low gets addrs, each an
// address or an address with the length of its on-link prefix: a host's own
// addresses, a NAT's external one, or for a router, and wherever a NAT does not
// translate, the prefixes below it.
// Low's first uplink carries its default routes: for a host of the families
// that it has addresses of, otherwise of both.
func (n *Network) Connect(low, up Node, cfg LinkConfig, addrs ...string) (*Link, error) {
	l, err := n.connect(low, up, cfg, addrs)
	if err != nil {
		return nil, fmt.Errorf("netsim: connect %s to %s: %w", nodeName(low), nodeName(up), err)
	}
	return l, nil
}

func nodeName(nd Node) string {
	if nd == nil {
		return "nothing"
	}
	return nd.Name()
}

func (n *Network) connect(low, up Node, cfg LinkConfig, addrs []string) (*Link, error) {
	if low == nil || up == nil || low == up || low.common().net != n || up.common().net != n {
		return nil, errors.New("need two different nodes of this network")
	}
	there, back, err := cfg.directions()
	if err != nil {
		return nil, err
	}
	prefixes := make([]netip.Prefix, len(addrs))
	for i, s := range addrs {
		if prefixes[i], err = parsePrefix(s); err != nil {
			return nil, err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, net.ErrClosed
	}
	l := n.newLink(low, up, there, back)
	told, err := low.adopt(l, prefixes)
	if err != nil {
		return nil, err
	}
	b := low.common()
	for p := range b.routes.to {
		if p.Bits() > 0 && !low.hides(p) {
			told = append(told, p)
		}
	}
	for _, p := range told {
		announce(l.down, p)
	}
	b.uplinks = append(b.uplinks, l)
	up.common().below = append(up.common().below, l)
	n.inside(up, low, prefixes)
	return l, nil
}

// parsePrefix reads an address, alone or with the length of its prefix.
func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		if a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%s has a zone", s)
		}
		s = netip.PrefixFrom(a, a.BitLen()).String()
	}
	p, err := netip.ParsePrefix(s) // refuses zones too
	if err != nil {
		return netip.Prefix{}, err
	}
	if a := p.Addr(); a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
		return netip.Prefix{}, fmt.Errorf("%s cannot be the address of a node", s)
	}
	return p, nil
}

// announce has the sender of back, and the nodes above it, route p by back.
// Where p is already routed the older route stays: it is the shorter one.
func announce(back *pipe, p netip.Prefix) {
	at := back.from
	if !at.common().routes.add(p, back) || at.hides(p) {
		return
	}
	for _, l := range at.common().uplinks {
		announce(l.down, p)
	}
}

// withdraw undoes announce.
func withdraw(back *pipe, p netip.Prefix) {
	at := back.from
	if !at.common().routes.remove(p, back) {
		return
	}
	for _, l := range at.common().uplinks {
		withdraw(l.down, p)
	}
}

// SetName has every host resolve a name to addrs, or to nothing.
func (n *Network) SetName(name string, addrs ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(addrs) == 0 {
		delete(n.names, canonicalName(name))
		return
	}
	n.names[canonicalName(name)] = append([]netip.Addr(nil), addrs...)
}

// canonicalName folds what DNS does not distinguish (RFC 4343).
func canonicalName(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// Must returns v, and panics if err is not nil. It is for topologies that are
// constants of a test.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

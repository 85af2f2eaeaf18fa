package netsim

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/internal/nat64"
)

// A Behavior says how much of the remote address a NAT looks at. The names are
// those of RFC 4787 §4.1 for mapping and §5 for filtering.
type Behavior uint8

const (
	EndpointIndependent Behavior = iota
	AddressDependent
	AddressAndPortDependent
)

// reduce returns the part of a remote address that the behaviour looks at.
func (b Behavior) reduce(remote netip.AddrPort) netip.AddrPort {
	switch b {
	case EndpointIndependent:
		return netip.AddrPort{}
	case AddressDependent:
		return netip.AddrPortFrom(remote.Addr(), 0)
	default:
		return remote
	}
}

// A NATConfig describes a NAT. The zero value is [FullCone].
//
// IPv6 is never translated to IPv6: there the NAT is a stateful firewall with the same
// filtering (RFC 6092).
type NATConfig struct {
	Mapping       Behavior
	Filtering     Behavior
	Ports         PortPolicy
	PortStep      int       // SequentialPort: from one mapping's port to the next, 0: 1
	PortRange     PortRange // of external ports, zero: 1024 to 65535 (RFC 4787 §4.2.1)
	PortsTaken    float64   // part of the range that other subscribers hold, 0 to 1
	Contention    int       // SequentialPort: others make up to so many mappings between two of ours
	Hairpin       bool      // hosts behind it reach each other by its external address (RFC 4787 §6)
	HairpinInner  bool      // with Hairpin: they see the inner endpoint of who sends, against REQ-9a
	NoTranslation bool      // a firewall: IPv4 keeps its addresses too
	MaxMappings   int       // mappings, and remotes let in, at a time; 0: 65,536

	Timeout          time.Duration // life of a mapping since the last packet out, 0: 120 s (RFC 4787 §4.3)
	UnrepliedTimeout time.Duration // the same until a packet has come in, 0: Timeout
	InboundRefresh   bool          // packets in keep a mapping alive, too (RFC 4787 §4.3, REQ-6)
	TCPTimeout       time.Duration // of an established connection, 0: 2 h 4 min (RFC 5382 §5)
	TCPTransitory    time.Duration // of one that is opened or closed, 0: 4 min (RFC 5382 §5)

	BlockUDP   bool      // no UDP passes
	UDPRate    int64     // bits of IP packet a second of UDP that pass each way, 0: unlimited
	AllowPorts [4]uint16 // remote ports that can be reached from below, all 0: all

	// Prefix64 makes it a NAT64 as well (RFC 6146): IPv6 packets from below to
	// addresses of this prefix go on as IPv4, and hosts below it resolve names
	// through a DNS64 (RFC 6147). Its length is one that RFC 6052 §2.2 allows.
	Prefix64 netip.Prefix

	// PortMap has it open ports to hosts that ask it to.
	PortMap PortMapping

	// StealPorts has it track connections as Linux does when its WAN side does
	// not drop what nobody asked for: such a packet makes an entry of its own,
	// for 30 s, and mappings must use other ports towards that remote.
	StealPorts bool
}

// The classical kinds of NAT of RFC 3489 §5.
var (
	FullCone       = NATConfig{}
	RestrictedCone = NATConfig{Filtering: AddressDependent}
	PortRestricted = NATConfig{Filtering: AddressAndPortDependent}
	Symmetric      = NATConfig{Mapping: AddressAndPortDependent, Filtering: AddressAndPortDependent, Ports: RandomPort}
)

// NAT64 serves hosts that have IPv6 only.
var NAT64 = NATConfig{Filtering: AddressAndPortDependent, Prefix64: nat64.WellKnown}

// Firewall drops what nobody behind it asked for and translates nothing.
var Firewall = NATConfig{Filtering: AddressAndPortDependent, NoTranslation: true}

const (
	defaultTimeout       = 120 * time.Second
	defaultTCPTimeout    = 2*time.Hour + 4*time.Minute
	defaultTCPTransitory = 4 * time.Minute
	defaultMaxMappings   = 1 << 16
	stealTimeout         = 30 * time.Second // net.netfilter.nf_conntrack_udp_timeout
)

// normalize fills in the defaults and refuses what makes no sense.
func (c NATConfig) normalize() (NATConfig, error) {
	c.Timeout = cmp.Or(max(c.Timeout, 0), defaultTimeout)
	c.UnrepliedTimeout = cmp.Or(max(c.UnrepliedTimeout, 0), c.Timeout)
	c.TCPTimeout = cmp.Or(max(c.TCPTimeout, 0), defaultTCPTimeout)
	c.TCPTransitory = cmp.Or(max(c.TCPTransitory, 0), defaultTCPTransitory)
	c.MaxMappings = cmp.Or(max(c.MaxMappings, 0), defaultMaxMappings)
	c.PortStep = cmp.Or(c.PortStep, 1)
	var err error
	if c.PortMap, err = c.PortMap.normalize(!c.NoTranslation); err != nil {
		return c, err
	}
	if c.PortRange == (PortRange{}) {
		c.PortRange = PortRange{Low: firstNATPort, High: math.MaxUint16}
	}
	switch {
	case c.PortRange.Low == 0 || c.PortRange.Low > c.PortRange.High:
		return c, fmt.Errorf("ports %d to %d are no range", c.PortRange.Low, c.PortRange.High)
	case !(c.PortsTaken >= 0 && c.PortsTaken <= 1): // also catches NaN
		return c, fmt.Errorf("taken ports %v are not in 0 to 1", c.PortsTaken)
	case c.Contention < 0 || c.Contention > math.MaxUint16:
		return c, fmt.Errorf("contention %d is not in 0 to %d", c.Contention, math.MaxUint16)
	case c.UDPRate < 0 || c.UDPRate > maxRate:
		return c, fmt.Errorf("UDP rate %d is not in 0 to %d bit/s", c.UDPRate, int64(maxRate))
	case c.Prefix64.IsValid() && (!nat64.Valid(c.Prefix64) || c.NoTranslation):
		return c, fmt.Errorf("%v cannot be the prefix of this NAT64", c.Prefix64)
	}
	return c, nil
}

// A NAT translates the addresses of what is below it to its own external one.
type NAT struct {
	base
	cfg      NATConfig
	uplink   *Link
	external netip.Addr // IPv4
	broken   error      // why cfg makes no sense; Connect returns it
	mappings *expiring[endpoints, *mapping]
	byOuter  map[endpoint]*mapping
	pinholes *expiring[endpoints, pinhole]  // outer endpoint and the remotes let in
	stolen   *expiring[endpoints, struct{}] // outer endpoint and the remote that took it
	lastPort uint16                         // SequentialPort: the last that was given out
	used     [ICMP]int                      // ports of the range that mappings have, by protocol
	taken    int                            // ports of the range that others have, 0 until it matters
	resets   uint64                         // how often it was reset
	policers [2]policer                     // of UDP: up, down
	portmap  *portMapper                    // nil: cfg has none
}

// NAT adds a NAT. Its first address in [Network.Connect] to the node above is
// its external one. A configuration that makes no sense is refused there.
func (n *Network) NAT(name string, cfg NATConfig) *NAT {
	cfg, err := cfg.normalize()
	n.mu.Lock()
	defer n.mu.Unlock()
	t := &NAT{base: n.newBase(name), cfg: cfg, broken: err, byOuter: make(map[endpoint]*mapping)}
	t.mappings = newExpiring[endpoints](cfg.Timeout, cfg.MaxMappings, t.release)
	t.pinholes = newExpiring[endpoints, pinhole](cfg.Timeout, cfg.MaxMappings, nil)
	t.stolen = newExpiring[endpoints, struct{}](stealTimeout, cfg.MaxMappings, nil)
	t.firstPort()
	if err == nil && cfg.PortMap.on() {
		t.portmap = newPortMapper(t)
		n.mapping = true
	}
	return t
}

func (t *NAT) adopt(l *Link, addrs []netip.Prefix) ([]netip.Prefix, error) {
	switch {
	case t.broken != nil:
		return nil, t.broken
	case t.uplink != nil:
		return nil, errors.New("a NAT has one uplink")
	}
	told := make([]netip.Prefix, len(addrs))
	var external netip.Addr
	for i, p := range addrs {
		told[i] = single(p.Addr())
		switch {
		case t.cfg.NoTranslation || p.Addr().Is6():
			told[i] = p // a prefix below it
		case external.IsValid():
			return nil, fmt.Errorf("%v: a NAT has one external address", p.Addr())
		default:
			external = p.Addr()
		}
	}
	if err := free(l, told); err != nil {
		return nil, err
	}
	t.uplink, t.external = l, external
	t.routes.add(default4, l.up)
	t.routes.add(default6, l.up)
	if t.portmap != nil {
		t.portmap.announceAnew() // of its external address
	}
	return told, nil
}

func (t *NAT) hides(p netip.Prefix) bool { return t.translates(p.Addr()) }

// translates reports whether packets that are to go on in a's family, to or from
// addresses above, are translated.
func (t *NAT) translates(a netip.Addr) bool { return a.Is4() && !t.cfg.NoTranslation }

func (t *NAT) receive(p *packet, in *pipe) {
	src, dst := p.Src, p.Dst
	if in.link == t.uplink {
		if f, ok := t.police(p, false); !ok {
			t.drop(f, p, in)
			return
		}
		t.inward(p, in, src, dst)
		return
	}
	if t.portmap != nil && t.portmap.takes(p, in) {
		return
	}
	if !t.to4(p) {
		t.drop(DropNoRoute, p, in)
		return
	}
	out := t.routes.lookup(p.Dst.Addr())
	switch {
	case dst.Addr().IsMulticast():
		t.drop(DropNoRoute, p, in)
	case p.Dst.Addr() == t.external:
		t.hairpin(p, in, src, dst)
	case out == nil:
		t.drop(DropNoRoute, p, in)
	case !p.forward():
		p.Dst = dst
		t.expire(p, in) // before it makes a mapping, as in Linux
	case out.link != t.uplink:
		out.send(p) // from one host below to another
	default:
		t.up(p, in, out, src, dst)
	}
}

// up sends p, which comes from below, on by the uplink if it may pass. src and dst are
// its addresses as they reached the NAT.
func (t *NAT) up(p *packet, in, out *pipe, src, dst netip.AddrPort) {
	if f, ok := t.police(p, true); !ok {
		t.drop(f, p, in)
		return
	}
	if f, ok := t.outward(p); !ok {
		t.drop(f, p, in)
		return
	}
	t.translated(p, in, src, dst)
	out.send(p)
}

// translated records that p was let through, with its addresses before.
func (t *NAT) translated(p *packet, in *pipe, src, dst netip.AddrPort) {
	p.setFlow()
	t.stats.add(Translated, p)
	t.net.event(Translated, &t.base, in, p, src, dst)
}

// hairpin turns a packet from below to the external address around. It comes
// back from the sender's external endpoint (RFC 4787 §6, REQ-9a), or by HairpinInner from
// the internal one; the filter goes by the external one in any case.
func (t *NAT) hairpin(p *packet, in *pipe, src, dst netip.AddrPort) {
	switch {
	case !t.cfg.Hairpin:
		t.drop(DropFilter, p, in)
	case p.HopLimit <= 1:
		t.expire(p, in)
	default:
		f, ok := t.police(p, true)
		if ok {
			f, ok = t.outward(p)
		}
		if !ok {
			t.drop(f, p, in)
			return
		}
		t.inward(p, in, src, dst)
	}
}

// Reset has the NAT forget all mappings and whom it lets in, as when it restarts. What
// is sent next gets a mapping anew: another port with RandomPort, the same with
// PreservePort if it is still the first to ask for it.
func (t *NAT) Reset() {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	t.resets++
	t.taken = 0
	t.firstPort()
	t.mappings.clear()
	t.pinholes.clear()
	t.stolen.clear()
	t.portmap.restart()
}

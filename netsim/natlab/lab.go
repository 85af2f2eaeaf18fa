//go:build linux && natlab

package natlab

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

// uplink is the name of the interface that leads up, in every node.
const uplink = "uplink"

// A Lab is a network of namespaces that lasts as long as a test. What goes
// wrong while it is built fails the test. It must be built by the test's
// goroutine; what is built may be used concurrently.
type Lab struct {
	t testing.TB
}

// New starts an empty lab. It fails the test if this is not root's, or iproute2
// or nftables are missing.
func New(t testing.TB) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatalf("natlab: only root may make network namespaces")
	}
	for _, c := range []struct{ name, pkg string }{{"ip", "iproute2"}, {"nft", "nftables"}} {
		if _, err := exec.LookPath(c.name); err != nil {
			t.Fatalf("natlab: %v: install the package %s", err, c.pkg)
		}
	}
	return &Lab{t: t}
}

type role uint8

const (
	host   role = iota
	router      // forwards what it gets
	nat         // forwards what its configuration lets through
)

// A Node is a host, a router or a NAT: one network namespace.
type Node struct {
	Name string

	lab     *Lab
	role    role
	nat     netsim.NATConfig
	ns      *namespace
	up      *Node
	addrs   []netip.Prefix          // of the uplink
	bridges map[netip.Prefix]string // the interface that leads to each subnet below
	ports   int
	inside  netip.Addr // to which a full cone's traffic goes
}

// Host adds a host.
func (l *Lab) Host(name string) *Node { l.t.Helper(); return l.node(name, host) }

// Router adds a router. It forwards both families and filters nothing.
func (l *Lab) Router(name string) *Node { l.t.Helper(); return l.node(name, router) }

// NAT adds a NAT of the kernel's that does what the simulator's does under the
// same configuration. There are [netsim.PortRestricted], [netsim.Symmetric],
// [netsim.Firewall], these with StealPorts or a Timeout, and a [netsim.FullCone] that sends all
// UDP that nobody asked for to the first host below it. IPv6 is never
// translated and passes a stateful firewall. Anything else fails the test:
// connection tracking knows no address-dependent behaviour and no hairpinning.
func (l *Lab) NAT(name string, cfg netsim.NATConfig) *Node {
	l.t.Helper()
	if _, err := ruleset(cfg, netip.Addr{}); err != nil {
		l.t.Fatalf("natlab: NAT %s: %v", name, err)
	}
	n := l.node(name, nat)
	n.nat = cfg
	return n
}

func (l *Lab) node(name string, r role) *Node {
	l.t.Helper()
	ns, err := newNamespace()
	if err != nil {
		l.t.Fatalf("natlab: %s: %v", name, err)
	}
	l.t.Cleanup(ns.close)
	n := &Node{Name: name, lab: l, role: r, ns: ns, bridges: make(map[netip.Prefix]string)}
	n.must(ns.ip("link set lo up"))
	for _, scope := range []string{"all", "default"} {
		// New namespaces may inherit a machine's refusal of IPv6.
		n.must(ns.sysctl("ipv6/conf/"+scope+"/disable_ipv6", "0"))
		// Addresses are not checked for duplicates (RFC 4862 §5.4): there are none.
		n.must(ns.sysctl("ipv6/conf/"+scope+"/accept_dad", "0"))
	}
	if r == host {
		return n
	}
	n.must(ns.sysctl("ipv4/ip_forward", "1"))
	n.must(ns.sysctl("ipv6/conf/all/forwarding", "1"))
	// Neighbours on a bridge talk past the firewall, as over any switch.
	n.must(ns.sysctlIfAny("bridge/bridge-nf-call-iptables", "0"))
	n.must(ns.sysctlIfAny("bridge/bridge-nf-call-ip6tables", "0"))
	return n
}

// must fails the test if building the node failed.
func (n *Node) must(err error) {
	n.lab.t.Helper()
	if err != nil {
		n.lab.t.Fatalf("natlab: %s: %v", n.Name, err)
	}
}

// Connect joins lower to upper: lower gets these addresses, each written with
// the length of its subnet, and its default routes; upper gets the first
// address of each subnet; the routers above learn the way, up to the first
// that translates. Nodes below one upper node that share a subnet share a link.
// Upper nodes are connected before lower ones.
func (l *Lab) Connect(lower, upper *Node, addrs ...string) {
	l.t.Helper()
	switch {
	case upper.role == host:
		l.t.Fatalf("natlab: connect %s: %s is a host", lower.Name, upper.Name)
	case lower.up != nil:
		l.t.Fatalf("natlab: connect %s: it has an uplink", lower.Name)
	case len(lower.bridges) > 0:
		l.t.Fatalf("natlab: connect %s: its uplink must come before what is below it", lower.Name)
	case len(addrs) == 0:
		l.t.Fatalf("natlab: connect %s: no addresses", lower.Name)
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a)
		lower.must(err)
		if p.Addr() == gateway(p) {
			l.t.Fatalf("natlab: connect %s: %v is the router's", lower.Name, p.Addr())
		}
		lower.addrs = append(lower.addrs, p)
	}
	lower.up = upper
	bridge := upper.bridge(lower.addrs)
	upper.ports++
	port := fmt.Sprintf("port%d", upper.ports)
	upper.must(upper.ns.ip("link add name %s type veth peer name %s netns %s", port, uplink, lower.ns.path))
	upper.must(upper.ns.ip("link set %s master %s up", port, bridge))
	lower.must(lower.ns.ip("link set %s up", uplink))
	var routed [2]bool // IPv4, IPv6: the first address of each family leads out
	for _, p := range lower.addrs {
		lower.must(lower.ns.ip("address add %v dev %s nodad", p, uplink))
		family := min(p.Addr().BitLen()/64, 1)
		if !routed[family] {
			lower.must(lower.ns.ip("route add default via %v", gateway(p)))
		}
		routed[family] = true
	}
	upper.must(upper.ns.await(port))
	upper.must(upper.ns.await(bridge))
	lower.must(lower.ns.await(uplink))
	if lower.role == nat {
		lower.loadRules()
	}
	if upper.role == nat {
		upper.expose(lower.addrs)
	}
}

// bridge returns the interface towards subnets, and makes it if there is none.
func (n *Node) bridge(subnets []netip.Prefix) string {
	n.lab.t.Helper()
	var name string
	for _, p := range subnets {
		if b, ok := n.bridges[p.Masked()]; ok {
			name = b
		}
	}
	if name == "" {
		name = fmt.Sprintf("lan%d", n.ports+1)
		n.must(n.ns.ip("link add name %s type bridge mcast_snooping 0", name))
		n.must(n.ns.ip("link set %s up", name))
	}
	for _, p := range subnets {
		if _, ok := n.bridges[p.Masked()]; ok {
			continue
		}
		n.bridges[p.Masked()] = name
		n.must(n.ns.ip("address add %v/%d dev %s nodad", gateway(p), p.Bits(), name))
		n.announce(p.Masked())
	}
	return name
}

// announce tells the routers above n that subnet is below it.
func (n *Node) announce(subnet netip.Prefix) {
	n.lab.t.Helper()
	for ; n.up != nil && !n.hides(subnet); n = n.up {
		for _, p := range n.addrs {
			if p.Addr().Is4() == subnet.Addr().Is4() {
				n.up.must(n.up.ns.ip("route add %v via %v", subnet, p.Addr()))
				break
			}
		}
	}
}

// hides reports whether subnets of p's family below n are unknown above it.
func (n *Node) hides(p netip.Prefix) bool {
	return n.role == nat && p.Addr().Is4() && !n.nat.NoTranslation
}

// gateway returns the address of the router of a subnet: the first.
func gateway(p netip.Prefix) netip.Addr { return p.Masked().Addr().Next() }

// ListenUDP opens a UDP socket of this process in the node.
func (n *Node) ListenUDP(laddr netip.AddrPort) (c underlay.UDPConn, err error) {
	err = n.ns.do(func() error {
		var err error
		c, err = underlay.OS().ListenUDP(laddr)
		return err
	})
	return c, err
}

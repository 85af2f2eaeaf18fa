package natlab

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"

	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

// A Lab is a network of namespaces, which lasts until Close or as long as this process. One
// goroutine at a time may build it; what is built may be used concurrently.
type Lab struct {
	links int // that were made, and so the number of the last

	mu        sync.Mutex // guards all below
	nodes     []*Node
	processes []*Process
	closed    bool
}

// New starts an empty lab. It fails, and says what to do, if this is not Linux, not root's,
// or without iproute2 or nftables.
func New() (*Lab, error) {
	if err := supported(); err != nil {
		return nil, fmt.Errorf("natlab: %w", err)
	}
	for _, c := range []struct{ name, pkg string }{{"ip", "iproute2"}, {"nft", "nftables"}} {
		if _, err := exec.LookPath(c.name); err != nil {
			return nil, fmt.Errorf("natlab: %w: install the package %s", err, c.pkg)
		}
	}
	return &Lab{}, nil
}

// Close stops the programs that run in the lab, waits for them, and removes the
// namespaces. Further calls do nothing.
func (l *Lab) Close() {
	l.mu.Lock()
	nodes, processes := l.nodes, l.processes
	l.nodes, l.processes, l.closed = nil, nil, true
	l.mu.Unlock()
	var stopping sync.WaitGroup
	for _, p := range processes {
		stopping.Go(p.Stop)
	}
	stopping.Wait()
	for _, n := range nodes {
		n.ns.close()
	}
}

type role uint8

const (
	host   role = iota
	router      // forwards what it gets
	nat         // forwards what its configuration lets through
	bridge      // a switch: joins what is connected to it
)

// A Node is a host, a router, a switch or a NAT: one network namespace.
type Node struct {
	Name string

	lab   *Lab
	role  role
	nat   netsim.NATConfig
	ns    *namespace
	up    []*attachment // its links up, the first of which is the usual one
	below []netip.Prefix
	ports int
}

// Host adds a host.
func (l *Lab) Host(name string) (*Node, error) { return l.node(name, host) }

// Router adds a router. It forwards both families and filters nothing.
func (l *Lab) Router(name string) (*Node, error) { return l.node(name, router) }

// Switch adds a switch: those connected to it are neighbours, who hear each other's
// multicast. It may be connected to a router or a NAT, before they are to it.
func (l *Lab) Switch(name string) (*Node, error) { return l.node(name, bridge) }

// NAT adds a NAT of the kernel's that does what the simulator's does under the
// same configuration. What the kernel does not do is an error, as [CheckNAT] says.
func (l *Lab) NAT(name string, cfg netsim.NATConfig) (*Node, error) {
	if err := CheckNAT(cfg); err != nil {
		return nil, fmt.Errorf("natlab: NAT %s: %w", name, err)
	}
	n, err := l.node(name, nat)
	if err == nil {
		n.nat = cfg
	}
	return n, err
}

// errClosed is the error of all that is asked of a lab that is closed.
var errClosed = errors.New("natlab: the lab is closed")

func (l *Lab) node(name string, r role) (*Node, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("natlab: %s: %w", name, err)
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		ns.close()
		return nil, errClosed
	}
	n := &Node{Name: name, lab: l, role: r, ns: ns}
	l.nodes = append(l.nodes, n)
	l.mu.Unlock()
	if err := n.setUp(); err != nil {
		return nil, n.errorf("%w", err)
	}
	return n, nil
}

// setUp makes a namespace what the node is to be, as yet without links.
func (n *Node) setUp() error {
	for _, p := range []struct{ key, value string }{
		// New namespaces may inherit a machine's refusal of IPv6.
		{"ipv6/conf/all/disable_ipv6", "0"},
		{"ipv6/conf/default/disable_ipv6", "0"},
		// Addresses are not checked for duplicates (RFC 4862 §5.4): there are none.
		{"ipv6/conf/all/accept_dad", "0"},
		{"ipv6/conf/default/accept_dad", "0"},
		// Where packets come from is not checked either.
		{"ipv4/conf/all/rp_filter", "0"},
		{"ipv4/conf/default/rp_filter", "0"},
	} {
		if err := n.ns.sysctl(p.key, p.value); err != nil {
			return err
		}
	}
	if n.role == bridge {
		return n.ip(
			"link set lo up",
			"link add name "+bridgeName+" type bridge mcast_snooping 0",
			"link set "+bridgeName+" addrgenmode none up",
		)
	}
	if n.role == router || n.role == nat {
		for _, p := range []struct{ key, value string }{
			{"ipv4/ip_forward", "1"},
			{"ipv6/conf/all/forwarding", "1"},
			{"ipv4/conf/all/send_redirects", "0"},
			{"ipv4/conf/default/send_redirects", "0"},
		} {
			if err := n.ns.sysctl(p.key, p.value); err != nil {
				return err
			}
		}
	}
	return n.ip("link set lo up")
}

// errorf is an error of building or using the node.
func (n *Node) errorf(format string, args ...any) error {
	return fmt.Errorf("natlab: "+n.Name+": "+format, args...)
}

// ip runs ip commands in the node.
func (n *Node) ip(commands ...string) error {
	return n.pipe(strings.Join(commands, "\n")+"\n", "ip", "-batch", "-")
}

// pipe runs a program in the node that reads text.
func (n *Node) pipe(text, name string, args ...string) error {
	var out strings.Builder
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = tied()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), &out, &out
	if err := n.ns.do(cmd.Start); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		said := short(strings.TrimSpace(out.String()))
		return fmt.Errorf("%s: %w: %s%s", name, err, said, missing(said))
	}
	return nil
}

// short cuts lines and text that nobody reads to their end.
func short(text string) string {
	const width, height = 200, 10
	lines := strings.Split(text, "\n")
	for i, l := range lines[:min(len(lines), height)] {
		if len(l) > width {
			lines[i] = l[:width] + " …"
		}
	}
	return strings.Join(lines[:min(len(lines), height)], "\n")
}

// missing is what to do about a message of the kernel's that a part of it is missing.
func missing(said string) string {
	for _, m := range []struct{ text, module string }{
		{"Unknown device type", "veth and bridge"},
		{"Unable to initialize Netlink socket", "nf_tables"},
		{"Could not process rule: No such file or directory", "nf_tables, nf_nat, nft_chain_nat, nft_masq, nft_ct and nft_hash"},
		{"Operation not supported", "veth, bridge and nf_tables"},
		{"Protocol not supported", "nf_tables"},
	} {
		if strings.Contains(said, m.text) {
			return ": the kernel lacks a part: load the modules " + m.module + " (modprobe)"
		}
	}
	return ""
}

// ListenUDP opens a UDP socket of this process in the node.
func (n *Node) ListenUDP(laddr netip.AddrPort) (c underlay.UDPConn, err error) {
	err = n.ns.do(func() error {
		var err error
		c, err = underlay.OS().ListenUDP(laddr)
		return err
	})
	return c, err
}

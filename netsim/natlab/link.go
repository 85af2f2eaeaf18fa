package natlab

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"

	"github.com/bdtnet/bdt/netsim"
)

// uplink is the name of the interface that leads up, in every node. Further ones have
// a number.
const uplink = "uplink"

// bridgeName is the name of the bridge that a switch is.
const bridgeName = "lan"

// maxLinks is how many links a lab may have: what the numbering of their ends allows.
const maxLinks = 1<<16 - 2

// An attachment is the lower end of a link.
type attachment struct {
	node    *Node
	up      *Node  // that the link leads to
	dev     string // the lower interface
	port    string // the upper interface, in up
	number  int    // of the link in the lab
	addrs   []netip.Prefix
	routed  *Node       // the router or NAT that up is, or that is above the switch up; nil: none
	gateway *attachment // whose upper end is the port of routed
}

// Nobody asks who has an address: each end of a link has a link-local address and a hardware
// address that are known, and the way up and down leads by these, for IPv4 too (RFC 5549). So
// a link needs no subnet of its own, as in the simulator, and no packet waits for an answer.
func lowerLocal(number int) string { return fmt.Sprintf("fe80::2:%x", number) }
func lowerMAC(number int) string {
	return fmt.Sprintf("02:00:00:02:%02x:%02x", number>>8, number&0xff)
}
func upperMAC(number int) string {
	return fmt.Sprintf("02:00:00:01:%02x:%02x", number>>8, number&0xff)
}

// upperLocal is the link-local address of every upper end.
const upperLocal = "fe80::1"

// CheckLink returns why the kernel cannot be a link, or nil. It has no netem here: MTU alone
// can be had.
func CheckLink(cfg netsim.LinkConfig) error {
	cfg.MTU = 0
	v := reflect.ValueOf(cfg)
	var names []string
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			names = append(names, v.Type().Field(i).Name)
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("the kernel's links have no %s", strings.Join(names, ", "))
	}
	return nil
}

// Connect joins lower to upper as [netsim.Network.Connect] does: lower gets these addresses, its
// default routes, and the routers above learn the way, up to the first that translates. The
// first IPv4 address of a NAT is its external one. Hosts of one subnet that are to be
// neighbours are connected to a switch. Upper nodes are connected before lower ones.
func (l *Lab) Connect(lower, upper *Node, cfg netsim.LinkConfig, addrs ...string) error {
	if err := l.connect(lower, upper, cfg, addrs); err != nil {
		return fmt.Errorf("natlab: connect %s to %s: %w", lower.Name, upper.Name, err)
	}
	return nil
}

func (l *Lab) connect(lower, upper *Node, cfg netsim.LinkConfig, addrs []string) error {
	switch {
	case upper.role == host:
		return fmt.Errorf("%s is a host", upper.Name)
	case len(lower.up) > 0 && lower.role != host:
		return errors.New("it has an uplink")
	case lower.ports > 0:
		return errors.New("its uplink must come before what is below it")
	case l.links == maxLinks:
		return fmt.Errorf("a lab has at most %d links", maxLinks)
	}
	if err := CheckLink(cfg); err != nil {
		return err
	}
	a := &attachment{node: lower, up: upper, dev: uplink}
	if n := len(lower.up); n > 0 {
		a.dev = fmt.Sprint(uplink, n+1)
	}
	for _, s := range addrs {
		p, err := parsePrefix(s)
		if err != nil {
			return err
		}
		a.addrs = append(a.addrs, p)
	}
	a.above()
	if upper.role == bridge && a.routed == nil && lower.role != host {
		return fmt.Errorf("a switch with nothing above joins hosts alone")
	}
	if lower.role == nat && !lower.nat.NoTranslation && !a.external().IsValid() && len(a.addrs) > 0 && a.addrs[0].Addr().Is4() {
		return errors.New("a NAT has an external address")
	}
	l.links++
	upper.ports++
	a.number, a.port = l.links, fmt.Sprint("port", upper.ports)
	lower.up = append(lower.up, a)
	if err := a.join(cfg); err != nil {
		return err
	}
	for _, p := range a.told() {
		if err := a.announce(p); err != nil {
			return err
		}
	}
	if lower.role == nat {
		return lower.loadRules()
	}
	return nil
}

// parsePrefix reads an address, alone or with the length of its prefix.
func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// above finds the router or NAT that the link leads to, by switches or at once.
func (a *attachment) above() {
	for at, n := a, a.up; ; {
		if n.role != bridge {
			a.routed, a.gateway = n, at
			return
		}
		if len(n.up) == 0 {
			return
		}
		at = n.up[0]
		n = at.up
	}
}

// join makes the link, up to the routes of the lower node.
func (a *attachment) join(cfg netsim.LinkConfig) error {
	mtu := ""
	if cfg.MTU > 0 {
		mtu = fmt.Sprintf(" mtu %d", cfg.MTU)
	}
	up := []string{
		fmt.Sprintf("link add name %s address %s%s type veth peer name %s address %s%s netns %s",
			a.port, upperMAC(a.number), mtu, a.dev, lowerMAC(a.number), mtu, a.node.ns.path),
	}
	if a.up.role == bridge {
		up = append(up, fmt.Sprintf("link set %s addrgenmode none master %s up", a.port, bridgeName))
	} else {
		up = append(up,
			fmt.Sprintf("link set %s addrgenmode none up", a.port),
			fmt.Sprintf("address add %s/64 dev %s nodad", upperLocal, a.port),
		)
	}
	if err := a.up.ip(up...); err != nil {
		return err
	}
	if err := a.node.ip(a.lowerCommands()...); err != nil {
		return err
	}
	return errors.Join(a.up.ns.await(a.port), a.node.ns.await(a.dev))
}

// lowerCommands are the ip commands that make the lower node's end.
func (a *attachment) lowerCommands() []string {
	n := a.node
	if n.role == bridge {
		return []string{fmt.Sprintf("link set %s addrgenmode none master %s up", a.dev, bridgeName)}
	}
	commands := []string{fmt.Sprintf("link set %s addrgenmode none up", a.dev)}
	if n.role != host {
		commands = append(commands, fmt.Sprintf("address add %s/64 dev %s nodad", lowerLocal(a.number), a.dev))
	}
	var families [2]bool // IPv4, IPv6
	for _, p := range a.addrs {
		if n.role == nat && p.Addr().Is4() && !n.nat.NoTranslation {
			p = netip.PrefixFrom(p.Addr(), 32)
		}
		commands = append(commands, fmt.Sprintf("address add %v dev %s noprefixroute%s", p, a.dev, noDAD(p)))
		if a.up.role == bridge && !p.IsSingleIP() {
			commands = append(commands, fmt.Sprintf("route add %v dev %s", p.Masked(), a.dev))
		}
		families[family(p)] = true
	}
	if n.role != host {
		families = [2]bool{true, true}
	}
	if a.gateway == nil {
		for i, has := range families {
			if has {
				commands = append(commands, fmt.Sprintf("route add %s dev %s metric %d", defaults[i], a.dev, 100+len(n.up)))
			}
		}
		return commands
	}
	commands = append(commands, fmt.Sprintf("neigh add %s lladdr %s dev %s nud permanent", upperLocal, upperMAC(a.gateway.number), a.dev))
	way := fmt.Sprintf("via inet6 %s dev %s", upperLocal, a.dev)
	for i, has := range families {
		if !has {
			continue
		}
		commands = append(commands, fmt.Sprintf("route add %s %s metric %d", defaults[i], way, 100+len(n.up)))
		if len(n.up) < 2 {
			continue
		}
		// What comes from an address of this link leaves by it.
		commands = append(commands, fmt.Sprintf("route add %s %s table %d", defaults[i], way, 100+len(n.up)))
		for _, p := range a.addrs {
			if family(p) == i {
				commands = append(commands, fmt.Sprintf("rule add from %v lookup %d", p.Addr(), 100+len(n.up)))
			}
		}
	}
	return commands
}

// noDAD has an IPv6 address be usable at once.
func noDAD(p netip.Prefix) string {
	if p.Addr().Is6() {
		return " nodad"
	}
	return ""
}

// defaults are the default routes of each family.
var defaults = [2]string{"0.0.0.0/0", "::/0"}

// family is 0 for IPv4 and 1 for IPv6.
func family(p netip.Prefix) int { return p.Addr().BitLen() / 128 }

// external returns the external address of a NAT.
func (a *attachment) external() netip.Addr {
	for _, p := range a.addrs {
		if p.Addr().Is4() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// told returns what is to be announced above.
func (a *attachment) told() []netip.Prefix {
	var told []netip.Prefix
	for _, p := range a.addrs {
		switch {
		case a.node.role == bridge:
			continue
		case a.node.role == host, a.node.hides(p):
			p = netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
		}
		told = append(told, p.Masked())
	}
	return told
}

// hides reports whether prefixes of p's family below n are unknown above it.
func (n *Node) hides(p netip.Prefix) bool {
	return n.role == nat && p.Addr().Is4() && !n.nat.NoTranslation
}

// announce tells the routers above that p is where the lower end of the link is, up to the
// first that hides it.
func (a *attachment) announce(p netip.Prefix) error {
	for a.routed != nil {
		r := a.routed
		port := a.gateway.port
		// A prefix that another link has stays with it.
		for _, q := range r.below {
			if q == p {
				return nil
			}
		}
		r.below = append(r.below, p)
		err := r.ip(
			fmt.Sprintf("neigh replace %s lladdr %s dev %s nud permanent", lowerLocal(a.number), lowerMAC(a.number), port),
			fmt.Sprintf("route add %v via inet6 %s dev %s", p, lowerLocal(a.number), port),
		)
		if err != nil {
			return err
		}
		if r.hides(p) || len(r.up) == 0 {
			return nil
		}
		a = r.up[0]
	}
	return nil
}

package netsim

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/bdtnet/bdt/internal/nat64"
)

// A Preset is a way to the internet that people meet.
type Preset struct {
	Name    string
	Summary string // in a line
	// Boxes are the NATs and firewalls between a host and the internet, from the host outwards.
	Boxes      []NATConfig
	IPv4, IPv6 bool // what its hosts have
}

// Presets returns all presets: those of [GridPresets] first. The caller may change it.
func Presets() []Preset {
	linux := NATConfig{
		Filtering: AddressAndPortDependent, StealPorts: true, InboundRefresh: true,
		UnrepliedTimeout: 30 * time.Second, Timeout: 120 * time.Second,
		TCPTimeout: 5 * 24 * time.Hour, TCPTransitory: 120 * time.Second,
	}
	symmetric := NATConfig{
		Mapping: AddressAndPortDependent, Filtering: AddressAndPortDependent,
		Ports: RandomPort, Timeout: 60 * time.Second,
	}
	sequential, blocked, hotel, carrier, corporate := symmetric, PortRestricted, symmetric, symmetric, symmetric
	sequential.Ports = SequentialPort
	blocked.BlockUDP = true
	hotel.UDPRate, hotel.Timeout = 512_000, 30*time.Second
	carrier.InboundRefresh, carrier.PortsTaken = true, 0.5
	corporate.BlockUDP, corporate.AllowPorts = true, [4]uint16{80, 443}
	fullCone, restricted := FullCone, RestrictedCone
	fullCone.Hairpin, restricted.Hairpin = true, true
	sixfour := NAT64
	sixfour.Ports, sixfour.Timeout = RandomPort, 5*time.Minute // RFC 6146 §4
	sixfour.Hairpin = true                                     // §3.8
	return []Preset{
		{"full-cone", "a home router that lets anyone in by a port once it is open", []NATConfig{fullCone}, true, false},
		{"restricted", "a home router that lets in whom a packet went to, from any of his ports", []NATConfig{restricted}, true, false},
		{"port-restricted", "a home router that lets in only what a packet went to, as RFC 4787 allows it to", []NATConfig{PortRestricted}, true, false},
		{"linux-masquerade", "nftables or iptables masquerading with an open WAN side, which loses ports to unsolicited packets", []NATConfig{linux}, true, false},
		{"symmetric-sequential", "an old office router: a new port for every destination, each the next one", []NATConfig{sequential}, true, false},
		{"symmetric-random", "a firewall appliance: a new and random port for every destination", []NATConfig{symmetric}, true, false},
		{"cgn", "a Linux home router behind a carrier's NAT with a block of ports for each subscriber (RFC 6888)", []NATConfig{linux, {
			Filtering: AddressDependent, Ports: RandomPort, PortRange: PortRange{20_480, 22_527}, PortsTaken: 0.25,
			MaxMappings: 2048, Hairpin: true, Timeout: 120 * time.Second, InboundRefresh: true,
		}}, true, false},
		{"udp-blocked", "a network that lets no UDP out", []NATConfig{blocked}, true, false},

		{"nat64", "a mobile network with IPv6 alone, and a NAT64 with DNS64 to IPv4 (RFC 6146)", []NATConfig{sixfour}, false, true},
		{"hotel", "a symmetric NAT that throttles UDP to 512 kbit/s and forgets after 30 s", []NATConfig{hotel}, true, false},
		{"carrier", "a mobile carrier's symmetric NAT, half of whose ports others hold", []NATConfig{carrier}, true, false},
		{"corporate", "a company's firewall: no UDP, and TCP to ports 80 and 443 only", []NATConfig{corporate}, true, false},
		{"firewall-v6", "a home with IPv6 behind a stateful firewall (RFC 6092) and IPv4 behind a port-restricted NAT", []NATConfig{PortRestricted}, true, true},
	}
}

// numGridPresets is how many of Presets are in the grid.
const numGridPresets = 8

// GridPresets returns the eight that the grid of `netsim grid` has.
func GridPresets() []Preset { return Presets()[:numGridPresets] }

// PresetByName returns a preset. The error lists the names that there are.
func PresetByName(name string) (Preset, error) {
	all := Presets()
	i := slices.IndexFunc(all, func(p Preset) bool { return p.Name == name })
	if i < 0 {
		names := make([]string, len(all))
		for i, p := range all {
			names[i] = p.Name
		}
		return Preset{}, fmt.Errorf("netsim: no preset is called %q; there are %s", name, strings.Join(names, ", "))
	}
	return all[i], nil
}

// A Site is a preset that has been drawn, with a network for hosts below its boxes.
type Site struct {
	Boxes []*NAT  // from the internet inwards
	Links []*Link // above each of them
	Inner Node    // what hosts are connected to
	LAN4  netip.Prefix
	LAN6  netip.Prefix // either is zero where there is none
}

// lan4 is the private network of every site: as in life, they all have the same.
var lan4 = netip.MustParsePrefix("198.18.1.0/24")

// Attach draws the boxes of p below up. The link above the outermost is as link says, the others
// are without delay. wan is the external IPv4 address, where p has one, and a prefix of IPv6
// of at most 64 bits for what is below it, where p has that: of either p takes what
// it needs. The network is otherwise as [Network.Connect] makes it.
func (p Preset) Attach(n *Network, name string, up Node, link LinkConfig, wan ...string) (*Site, error) {
	s, err := p.attach(n, name, up, link, wan)
	if err != nil {
		return nil, fmt.Errorf("netsim: attach %s, %s: %w", name, p.Name, err)
	}
	return s, nil
}

func (p Preset) attach(n *Network, name string, up Node, link LinkConfig, wan []string) (*Site, error) {
	addr4, net6, err := p.wan(wan)
	if err != nil {
		return nil, err
	}
	s := &Site{Inner: up}
	if p.IPv4 {
		s.LAN4 = lan4
	}
	if p.IPv6 {
		s.LAN6 = netip.PrefixFrom(net6.Addr(), 64)
	}
	for i, cfg := range slices.Backward(p.Boxes) {
		label := name
		if i > 0 {
			label = fmt.Sprintf("%s.%d", name, i)
		}
		box := n.NAT(label, cfg)
		l, err := n.Connect(box, s.Inner, link, p.boxAddrs(len(s.Boxes), addr4, net6)...)
		if err != nil {
			return nil, err
		}
		s.Boxes, s.Links, s.Inner = append(s.Boxes, box), append(s.Links, l), box
		link = LinkConfig{}
	}
	return s, nil
}

// wan picks what p needs of the addresses that it is given.
func (p Preset) wan(list []string) (addr4 string, net6 netip.Prefix, err error) {
	for _, s := range list {
		q, err := parsePrefix(s)
		switch {
		case err != nil:
			return "", net6, err
		case q.Addr().Is4() && addr4 == "":
			addr4 = s
		case q.Addr().Is6() && !net6.IsValid():
			net6 = q.Masked()
		default:
			return "", net6, fmt.Errorf("%s: a site has one address of IPv4 and one prefix of IPv6", s)
		}
	}
	switch {
	case addr4 == "" && (p.IPv4 || p.translates64()):
		return "", net6, errors.New("it needs an external IPv4 address")
	case p.IPv6 && (!net6.IsValid() || net6.Bits() > 64):
		return "", net6, errors.New("it needs a prefix of IPv6, of at most 64 bits")
	}
	return addr4, net6, nil
}

// translates64 reports whether a box is a NAT64.
func (p Preset) translates64() bool {
	return slices.ContainsFunc(p.Boxes, func(c NATConfig) bool { return nat64.Valid(c.Prefix64) })
}

// BoxAddrs returns the addresses of each box, from the internet inwards, to the node above it, as
// [Preset.Attach] gives them: for who draws the boxes elsewhere.
func (p Preset) BoxAddrs(wan ...string) ([][]string, error) {
	addr4, net6, err := p.wan(wan)
	if err != nil {
		return nil, fmt.Errorf("netsim: attach %s: %w", p.Name, err)
	}
	all := make([][]string, len(p.Boxes))
	for i := range all {
		all[i] = p.boxAddrs(i, addr4, net6)
	}
	return all, nil
}

// boxAddrs returns the addresses of the i-th box from the internet inwards, to the node above it.
func (p Preset) boxAddrs(i int, addr4 string, net6 netip.Prefix) (addrs []string) {
	switch {
	case i > 0 && p.IPv4: // a carrier's network
		addrs = append(addrs, fmt.Sprintf("198.19.%d.2/24", i))
	case addr4 != "" && (p.IPv4 || p.translates64()):
		addrs = append(addrs, addr4)
	}
	if p.IPv6 {
		addrs = append(addrs, net6.String())
	}
	return addrs
}

// HostAddrs returns addresses for the i-th host of the site, counted from 0 to 99, for
// [Network.Connect].
func (s *Site) HostAddrs(i int) (addrs []string) {
	for _, lan := range []netip.Prefix{s.LAN4, s.LAN6} {
		if !lan.IsValid() {
			continue
		}
		a := lan.Addr().AsSlice()
		a[len(a)-1] += byte(2 + i) // the first is a router's
		host, _ := netip.AddrFromSlice(a)
		addrs = append(addrs, netip.PrefixFrom(host, lan.Bits()).String())
	}
	return addrs
}

package scenario

import (
	"net/netip"

	"github.com/goccy/go-yaml/ast"

	"github.com/bdtnet/bdt/netsim"
)

// preset has a preset be there.
func (r *reader) preset(n ast.Node, name string) error {
	if _, err := netsim.PresetByName(name); err == nil {
		return nil
	}
	var names []string
	for _, p := range netsim.Presets() {
		names = append(names, p.Name)
	}
	hint := meant(name, names)
	if hint == "" {
		hint = "'netsim presets' lists them"
	}
	return r.errorAt(n, hint, "%q is no preset", name)
}

// families returns which addresses hosts below a NAT have.
func (n *Node) families() (ip4, ip6 bool) {
	if p, err := netsim.PresetByName(n.Preset); err == nil {
		return p.IPv4, p.IPv6
	}
	return true, false
}

// lan6 returns the network below a NAT, as the first prefix of IPv6 on its link up gives it; zero
// if there is none.
func (f *File) lan6(nat string) netip.Prefix {
	l, ok := find(f.Links, func(l Link) bool { return l.From == nat })
	if !ok {
		return netip.Prefix{}
	}
	for _, a := range l.Addrs {
		if p, err := netip.ParsePrefix(a); err == nil && p.Addr().Is6() {
			return netip.PrefixFrom(p.Masked().Addr(), 64)
		}
	}
	return netip.Prefix{}
}

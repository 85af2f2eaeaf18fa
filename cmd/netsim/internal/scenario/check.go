package scenario

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// check looks up all that is named, when all is read, and fills in what may be left out.
func (r *reader) check(f *File) error {
	for _, p := range r.places {
		if err := p.check(p.node); err != nil {
			return err
		}
	}
	if err := r.checkTree(f); err != nil {
		return err
	}
	return r.address(f)
}

// at is an error at a line that a part of the file stands on.
func (r *reader) at(line int, hint, format string, args ...any) error {
	return &Error{File: r.file, Line: line, Column: 1, Text: fmt.Sprintf(format, args...), Hint: hint}
}

func names[T any](list []T, name func(T) string) []string {
	all := make([]string, len(list))
	for i, x := range list {
		all[i] = name(x)
	}
	return all
}

func (f *File) nodeNames(kinds ...Kind) []string {
	var list []string
	for _, n := range f.Nodes {
		if len(kinds) == 0 || slices.Contains(kinds, n.Kind) {
			list = append(list, n.Name)
		}
	}
	return list
}

// checkNode has a node be there, and of one of some kinds.
func checkNode(r *reader, n ast.Node, f *File, name string, kinds ...Kind) error {
	node, ok := f.Node(name)
	if !ok {
		return r.errorAt(n, meant(name, f.nodeNames(kinds...)), "there is no node %q", name)
	}
	if len(kinds) > 0 && !slices.Contains(kinds, node.Kind) {
		return r.errorAt(n, meant("", f.nodeNames(kinds...)), "%q is a %s, which cannot stand here", name, node.Kind)
	}
	return nil
}

func checkLink(r *reader, n ast.Node, f *File, l *Link) error {
	for _, name := range []string{l.From, l.To} {
		if err := checkNode(r, n, f, name); err != nil {
			return err
		}
	}
	if l.From == l.To {
		return r.errorAt(n, "", "%q is linked to itself", l.From)
	}
	return nil
}

// checkHost has the host of something be there.
func checkHost(r *reader, n ast.Node, f *File, host, of string) error {
	if _, ok := f.Node(host); !ok && host == of {
		return r.errorAt(n, "say where it runs by 'host: …', or add the node", "there is no host %q for it", host)
	}
	return checkNode(r, n, f, host, Host)
}

func checkDevice(r *reader, n ast.Node, f *File, d *Device) error {
	if err := checkHost(r, n, f, d.Host, d.Name); err != nil {
		return err
	}
	for _, s := range d.SNs {
		if _, ok := f.SuperNode(s); !ok {
			return r.errorAt(n, meant(s, names(f.SuperNodes, func(s SuperNode) string { return s.Name })), "there is no super node %q", s)
		}
	}
	for _, p := range d.PNs {
		if _, ok := f.ProxyNode(p); !ok {
			return r.errorAt(n, meant(p, names(f.ProxyNodes, func(p ProxyNode) string { return p.Name })), "there is no proxy node %q", p)
		}
	}
	if d.NoPNs && len(d.PNs) > 0 {
		return r.errorAt(n, "", "it uses no proxy node, and one")
	}
	if d.NoServe && len(d.Serve) > 0 {
		return r.errorAt(n, "", "it serves none, and something")
	}
	if d.OOD && d.Owner == "" {
		return r.errorAt(n, "say whose by 'owner: …'", "it answers for its owner, and has none")
	}
	if d.Count > 0 && len(d.SNs) != 1 && len(f.SuperNodes) != 1 {
		return r.errorAt(n, "say which by 'sns: …'", "light devices have one super node")
	}
	return nil
}

// device has a device be there, and be light or not.
func device(r *reader, n ast.Node, f *File, name string, light bool) error {
	d, ok := f.Device(name)
	switch {
	case !ok:
		return r.errorAt(n, meant(name, names(f.Devices, func(d Device) string { return d.Name })), "there is no device %q", name)
	case light && d.Count == 0:
		return r.errorAt(n, "give it a 'count: …'", "%q is no group of light devices", name)
	case !light && d.Count > 0:
		return r.errorAt(n, "of these there is only the step load", "%q is a group of light devices", name)
	}
	return nil
}

func checkStep(r *reader, n ast.Node, f *File, s *Step) error {
	if err := checkExpect(r, s); err != nil {
		return err
	}
	switch s.Do {
	case DoDial, DoCall, DoPing, DoTransfer:
		if err := device(r, n, f, s.To, false); err != nil {
			return err
		}
		if s.From == s.To {
			return r.errorAt(n, "", "%q cannot dial itself", s.From)
		}
		return device(r, n, f, s.From, false)
	case DoNetcheck, DoOnline:
		return device(r, n, f, s.From, false)
	case DoLoad:
		return device(r, n, f, s.From, true)
	case DoStart, DoStop:
		_, sn := f.SuperNode(s.Target)
		if _, pn := f.ProxyNode(s.Target); sn || pn {
			return nil
		}
		return device(r, n, f, s.Target, false)
	case DoCut, DoMend, DoSet:
		return checkLinkName(r, n, f, s.Target, "")
	case DoReboot:
		return checkNode(r, n, f, s.Target, NAT, Router, Switch)
	case DoAdd, DoRemove, DoMove:
		return checkChange(r, n, f, s)
	}
	return nil
}

// checkExpect has a step be expected only what can come of it: nobody would look at the rest.
func checkExpect(r *reader, s *Step) error {
	e, word, of := &s.Expect, "", ""
	switch s.Do {
	case DoDial, DoCall, DoPing, DoTransfer:
	default:
		if len(e.Paths) > 0 && !e.Fails() {
			word, of = "path", "dial, call, ping and transfer"
		}
	}
	if e.Stall > 0 && s.Do != DoTransfer {
		word, of = "stall", "transfer"
	}
	if e.Lost > 0 && s.Do != DoPing && s.Do != DoLoad {
		word, of = "lost", "ping and load"
	}
	for _, name := range Verdicts {
		if _, ok := e.Verdicts[name]; ok && s.Do != DoNetcheck {
			word, of = name, "netcheck"
		}
	}
	if word == "" {
		return nil
	}
	return r.at(e.Line, fmt.Sprintf("it can be expected of %s", of), "the step %s has no %q", s.Do, word)
}

// checkChange checks a step that changes where a host is.
func checkChange(r *reader, n ast.Node, f *File, s *Step) error {
	if err := checkNode(r, n, f, s.Target, Host); err != nil {
		return err
	}
	switch s.Do {
	case DoMove:
		if s.To == s.Target {
			return r.errorAt(n, "", "%q cannot move to itself", s.To)
		}
		return checkNode(r, n, f, s.To)
	case DoAdd:
		if s.Link != "" {
			return checkLinkName(r, n, f, s.Link, s.Target)
		}
	}
	return nil
}

// checkLinkName has a link be there, or be made by a step that moves a host; and lead up from a
// node, if one is named.
func checkLinkName(r *reader, n ast.Node, f *File, name, from string) error {
	var all []string
	for _, l := range f.Links {
		if from == "" || l.From == from {
			all = append(all, l.Name)
		}
	}
	for _, s := range f.Steps {
		if s.Do == DoMove && (from == "" || s.Target == from) {
			all = append(all, s.Link)
		}
	}
	if !slices.Contains(all, name) {
		return r.errorAt(n, meant(name, all), "there is no link %q", name)
	}
	return nil
}

// checkTree has all nodes hang together, below one.
func (r *reader) checkTree(f *File) error {
	up := make(map[string][]string)
	for _, l := range f.Links {
		up[l.From] = append(up[l.From], l.To)
		if err := r.checkNAT(f, &l, len(up[l.From])); err != nil {
			return err
		}
	}
	var tops []string
	for _, n := range f.Nodes {
		if len(up[n.Name]) > 0 {
			continue
		}
		if tops = append(tops, n.Name); len(tops) > 1 {
			return r.at(n.Line, "add a link from it to the node above", "%q and %q both have nothing above: one node alone may", tops[0], n.Name)
		}
	}
	if top, _ := f.Node(cmp.Or(tops...)); top != nil && top.Kind == NAT {
		return r.at(top.Line, "add a router above it, and a link", "nothing is above the NAT %q", top.Name)
	}
	if len(tops) == 0 {
		return r.at(f.Links[0].Line, "links lead up, to one node that has none", "the links go in a circle")
	}
	const visiting, done = 1, 2
	state := make(map[string]int)
	var visit func(name string) error
	visit = func(name string) error {
		switch state[name] {
		case visiting:
			node, _ := f.Node(name)
			return r.at(node.Line, "links lead up, to one node that has none", "the links of %q go in a circle", name)
		case done:
			return nil
		}
		state[name] = visiting
		for _, to := range up[name] {
			if err := visit(to); err != nil {
				return err
			}
		}
		state[name] = done
		return nil
	}
	for _, n := range f.Nodes {
		if err := visit(n.Name); err != nil {
			return err
		}
	}
	return nil
}

// checkNAT checks the link that leads up from a NAT, the nth that does.
func (r *reader) checkNAT(f *File, l *Link, nth int) error {
	node, _ := f.Node(l.From)
	if node.Kind != NAT {
		return nil
	}
	if nth > 1 {
		return r.at(l.Line, "", "the NAT %q has a link up already", l.From)
	}
	external := slices.ContainsFunc(l.Addrs, func(a string) bool { return !strings.Contains(a, ":") })
	if node.Preset == "" && !node.NAT.NoTranslation && !external {
		return r.at(l.Line, "add 'addrs: …'", "the NAT %q needs an external IPv4 address", l.From)
	}
	return nil
}

// address gives hosts below NATs the addresses that the file leaves out: 198.18.N.2/24 and on
// below the Nth NAT, 198.19.… from the 256th on, and of the NAT's prefix of IPv6 where its
// preset has that.
func (r *reader) address(f *File) error {
	next := make(map[string]int)
	give := func(line int, host, up string) ([]string, error) {
		nat, number := f.natAbove(up)
		if nat == "" || number >= 512 || next[nat] >= 250 {
			return nil, r.at(line, "add 'addrs: …'", "the host %q needs an address", host)
		}
		node, _ := f.Node(nat)
		ip4, ip6 := node.families()
		lan6 := f.lan6(nat)
		if ip6 && !lan6.IsValid() {
			return nil, r.at(line, "add one to the 'addrs' of the link above it", "below %q, a %s, a host needs a prefix of IPv6", nat, node.Preset)
		}
		for {
			next[nat]++
			i := byte(1 + next[nat])
			var addrs []string
			if ip4 {
				addrs = append(addrs, netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(18 + number/256), byte(number), i}), 24).String())
			}
			if ip6 {
				a := lan6.Addr().As16()
				a[15] = i
				addrs = append(addrs, netip.PrefixFrom(netip.AddrFrom16(a), 64).String())
			}
			if !slices.ContainsFunc(addrs, f.has) {
				return addrs, nil
			}
		}
	}
	for i := range f.Links {
		l := &f.Links[i]
		if node, _ := f.Node(l.From); node.Kind == Host && len(l.Addrs) == 0 {
			addrs, err := give(l.Line, l.From, l.To)
			if err != nil {
				return err
			}
			l.Addrs = addrs
		}
	}
	for i := range f.Steps {
		if s := &f.Steps[i]; s.Do == DoMove && len(s.Addrs) == 0 {
			addrs, err := give(s.Line, s.Target, s.To)
			if err != nil {
				return err
			}
			s.Addrs = addrs
		}
	}
	return nil
}

// natAbove returns the NAT that a node is or is below, by switches alone, and which of
// the file's NATs it is, from 1.
func (f *File) natAbove(name string) (string, int) {
	for range len(f.Nodes) {
		node, _ := f.Node(name)
		switch node.Kind {
		case NAT:
			number := 0
			for _, n := range f.Nodes {
				if n.Kind == NAT {
					number++
				}
				if n.Name == name {
					break
				}
			}
			if node.NAT.NoTranslation {
				return "", 0
			}
			return name, number
		case Switch:
			l, ok := find(f.Links, func(l Link) bool { return l.From == name })
			if !ok {
				return "", 0
			}
			name = l.To
		default:
			return "", 0
		}
	}
	return "", 0
}

// has reports whether the file gives an address to somebody.
func (f *File) has(addr string) bool {
	return slices.ContainsFunc(f.Links, func(l Link) bool { return slices.Contains(l.Addrs, addr) })
}

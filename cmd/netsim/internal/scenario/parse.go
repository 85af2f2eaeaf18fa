package scenario

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

// Bounds of what a file may hold.
const (
	maxNodes   = 4096
	maxLinks   = 8192
	maxSNs     = 64
	maxPNs     = 64
	maxDevices = 4096    // entries
	maxLight   = 100_000 // light devices in all
	maxSteps   = 4096
)

// Parse reads a scenario from the text of a file, whose name errors begin with. An error is an
// [*Error].
func Parse(name string, text []byte) (*File, error) {
	r := &reader{file: name}
	body, err := r.document(text)
	if err != nil {
		return nil, err
	}
	f := &File{Path: name, Seed: 1, Limit: DefaultLimit, Ready: DefaultReady}
	if err := mapping(r, body, "a scenario", fileKeys, f); err != nil {
		return nil, err
	}
	if err := r.check(f); err != nil {
		return nil, err
	}
	return f, nil
}

var fileKeys = []key[File]{
	{name: "name", form: "text", usage: "what the scenario is about, in a line", read: func(r *reader, n ast.Node, f *File) (err error) {
		if f.Name, err = r.text(n); err == nil && strings.ContainsFunc(f.Name, unicode.IsControl) {
			err = r.errorAt(n, "write it in one line", "%q is not for people to read", f.Name)
		}
		return err
	}},
	{name: "seed", form: "number from 1 on", usage: "decides all that is random in the network (1); --seed comes before it", read: func(r *reader, n ast.Node, f *File) error {
		v, err := r.integer(n, 1, 1<<63-1)
		f.Seed = uint64(v)
		return err
	}},
	{name: "limit", form: "duration", usage: "how long the whole may take, by the simulated clock (1h)", read: func(r *reader, n ast.Node, f *File) (err error) {
		f.Limit, err = r.duration(n)
		return err
	}},
	{name: "ready", form: "duration", usage: "how long the steps wait for the devices to come online (5s); they begin as soon as all are", read: func(r *reader, n ast.Node, f *File) (err error) {
		f.Ready, err = r.duration(n)
		return err
	}},
	{name: "nodes", form: "NAME: node", usage: "the machines of the network", need: true, read: readNodes},
	{name: "links", form: "list of links", usage: "what joins them: each node but the topmost has a link up", need: true, read: readLinks},
	{name: "supernodes", form: "NAME: super node", usage: "the super nodes", read: readSuperNodes},
	{name: "proxynodes", form: "NAME: proxy node", usage: "the proxy nodes, which relay for all devices", read: readProxyNodes},
	{name: "devices", form: "NAME: device", usage: "the devices", read: readDevices},
	{name: "steps", form: "list of steps", usage: "what happens, and what is expected of it", read: readSteps},
}

// named reads a mapping of names to things, most at most.
func named(r *reader, n ast.Node, what string, most int, add func(name string, key, value ast.Node) error) error {
	pairs, err := r.pairs(n, what)
	if err != nil {
		return err
	}
	if len(pairs) > most {
		return r.errorAt(n, "", "%d %s: at most %d can be had", len(pairs), what, most)
	}
	for _, p := range pairs {
		if err := r.checkName(p.key, p.name); err != nil {
			return err
		}
		if err := add(p.name, p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}

func readNodes(r *reader, n ast.Node, f *File) error {
	return named(r, n, "nodes", maxNodes, func(name string, key, value ast.Node) error {
		node := Node{Name: name, Line: line(key)}
		if err := r.node(value, &node); err != nil {
			return err
		}
		f.Nodes = append(f.Nodes, node)
		return nil
	})
}

// node reads what a node is: its kind, or {nat: …}.
func (r *reader) node(n ast.Node, to *Node) error {
	if _, err := r.pairs(n, ""); err == nil {
		return mapping(r, n, "a node", nodeKeys, to)
	}
	i, err := r.choice(n, []string{string(Host), string(Router), string(Switch), string(NAT)})
	if err != nil {
		return err
	}
	to.Kind = []Kind{Host, Router, Switch, NAT}[i]
	if to.Kind == NAT {
		return r.errorAt(n, "write it like {nat: port-restricted}", "a NAT needs to be told how it behaves")
	}
	return nil
}

var nodeKeys = []key[Node]{
	{name: "nat", form: "preset, or {key: value, …}", usage: "a NAT or firewall, by the name of a preset ('netsim presets') or by how it behaves", need: true, read: func(r *reader, n ast.Node, to *Node) error {
		to.Kind = NAT
		if _, err := r.pairs(n, ""); err == nil {
			_, err := r.plain(n, "a NAT", reflect.ValueOf(&to.NAT).Elem(), nil)
			return err
		}
		s, err := r.text(n)
		to.Preset = s
		if err != nil {
			return err
		}
		return r.preset(n, s)
	}},
}

func readLinks(r *reader, n ast.Node, f *File) error {
	items, err := r.list(n, "links", maxLinks)
	if err != nil {
		return err
	}
	for _, item := range items {
		l := Link{Line: line(item)}
		if err := r.link(item, &l); err != nil {
			return err
		}
		if l.Name == "" {
			l.Name = l.From + "-" + l.To
		}
		if _, twice := f.Link(l.Name); twice {
			return r.errorAt(item, "give one of them another by 'name: …'", "there are two links called %q", l.Name)
		}
		f.Links = append(f.Links, l)
		r.later(item, func(n ast.Node) error { return checkLink(r, n, f, &l) })
	}
	return nil
}

// link reads a link: its own keys, and those of its configuration.
func (r *reader) link(n ast.Node, l *Link) error {
	rest, err := own(r, n, "a link", linkKeys, l)
	if err != nil {
		return err
	}
	_, err = r.plain(n, "a link", reflect.ValueOf(&l.Config).Elem(), rest)
	return err
}

// own reads those pairs of a mapping that keys know, and returns what tells them from the
// others.
func own[T any](r *reader, n ast.Node, what string, keys []key[T], to *T) (known func(string) bool, err error) {
	pairs, err := r.pairs(n, what)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for _, p := range pairs {
		i := indexKey(keys, p.name)
		if i < 0 {
			continue
		}
		seen[p.name] = true
		if err := keys[i].read(r, p.value, to); err != nil {
			return nil, err
		}
	}
	for _, k := range keys {
		if k.need && !seen[k.name] {
			return nil, r.errorAt(n, fmt.Sprintf("add '%s: %s'", k.name, k.form), "%s needs %q", what, k.name)
		}
	}
	return func(name string) bool { return indexKey(keys, name) >= 0 }, nil
}

var linkKeys = []key[Link]{
	{name: "name", form: "name", usage: "by which steps call it (FROM-TO)", read: func(r *reader, n ast.Node, l *Link) (err error) {
		l.Name, err = r.name(n)
		return err
	}},
	{name: "from", form: "node", usage: "the lower node, further from the internet", need: true, read: func(r *reader, n ast.Node, l *Link) (err error) {
		l.From, err = r.name(n)
		return err
	}},
	{name: "to", form: "node", usage: "the upper node", need: true, read: func(r *reader, n ast.Node, l *Link) (err error) {
		l.To, err = r.name(n)
		return err
	}},
	{name: "addrs", form: "address, or a list", usage: "the lower node's: a host's own, a NAT's external one, the prefixes below a router or firewall. A host below a NAT gets one if it has none", read: func(r *reader, n ast.Node, l *Link) (err error) {
		l.Addrs, err = r.addrs(n)
		return err
	}},
}

func readSuperNodes(r *reader, n ast.Node, f *File) error {
	return named(r, n, "super nodes", maxSNs, func(name string, key, value ast.Node) error {
		s := SuperNode{Name: name, Line: line(key), Host: name}
		if err := hosted(r, value, "a super node", superNodeKeys, &s, &s.Host); err != nil {
			return err
		}
		f.SuperNodes = append(f.SuperNodes, s)
		r.later(key, func(n ast.Node) error {
			if _, twice := f.Device(name); twice {
				return r.errorAt(n, "", "a device is called %q, too", name)
			}
			return checkHost(r, n, f, s.Host, name)
		})
		return nil
	})
}

func readProxyNodes(r *reader, n ast.Node, f *File) error {
	return named(r, n, "proxy nodes", maxPNs, func(name string, key, value ast.Node) error {
		p := ProxyNode{Name: name, Line: line(key), Host: name}
		if err := hosted(r, value, "a proxy node", proxyNodeKeys, &p, &p.Host); err != nil {
			return err
		}
		f.ProxyNodes = append(f.ProxyNodes, p)
		r.later(key, func(n ast.Node) error {
			_, device := f.Device(name)
			if _, sn := f.SuperNode(name); device || sn {
				return r.errorAt(n, "", "a device or super node is called %q, too", name)
			}
			return checkHost(r, n, f, p.Host, name)
		})
		return nil
	})
}

// hosted reads what runs on a host: nothing, which stands for the host of the same name, the
// name of the host, or a mapping.
func hosted[T any](r *reader, n ast.Node, what string, keys []key[T], to *T, host *string) error {
	if n == nil || n.Type() == ast.NullType {
		return nil
	}
	if _, err := r.pairs(n, ""); err == nil {
		return mapping(r, n, what, keys, to)
	}
	s, err := r.name(n)
	*host = s
	return err
}

var superNodeKeys = []key[SuperNode]{
	{name: "host", form: "host", usage: "where it runs (the host of its name)", read: func(r *reader, n ast.Node, s *SuperNode) (err error) {
		s.Host, err = r.name(n)
		return err
	}},
	{name: "listen", form: "ADDRESS:PORT, or a list", usage: "where it listens (port 8443 of each address of the host). On two addresses of a family it can name NATs", read: func(r *reader, n ast.Node, s *SuperNode) (err error) {
		s.Listen, err = r.listen(n)
		return err
	}},
	{name: "stopped", form: "true, false", usage: "it does not run until a step starts it", read: func(r *reader, n ast.Node, s *SuperNode) (err error) {
		s.Stopped, err = r.truth(n)
		return err
	}},
}

var proxyNodeKeys = []key[ProxyNode]{
	{name: "host", form: "host", usage: "where it runs (the host of its name)", read: func(r *reader, n ast.Node, p *ProxyNode) (err error) {
		p.Host, err = r.name(n)
		return err
	}},
	{name: "listen", form: "ADDRESS:PORT, or a list", usage: "where it listens (port 8444 of each address of the host)", read: func(r *reader, n ast.Node, p *ProxyNode) (err error) {
		p.Listen, err = r.listen(n)
		return err
	}},
	{name: "stopped", form: "true, false", usage: "it does not run until a step starts it", read: func(r *reader, n ast.Node, p *ProxyNode) (err error) {
		p.Stopped, err = r.truth(n)
		return err
	}},
}

// listen reads where a server listens.
func (r *reader) listen(n ast.Node) ([]netip.AddrPort, error) {
	var list []netip.AddrPort
	for _, item := range r.items(n) {
		text, err := r.text(item)
		if err != nil {
			return nil, err
		}
		a, err := netip.ParseAddrPort(text)
		if err != nil || a.Addr().Zone() != "" || a.Port() == 0 || len(list) >= 16 {
			return nil, r.errorAt(item, "write it like 203.0.113.1:8443 or '[2001:db8::1]:8443', 16 at most", "%q is no address to listen on", text)
		}
		list = append(list, a)
	}
	return list, nil
}

func readDevices(r *reader, n ast.Node, f *File) error {
	light := 0
	return named(r, n, "devices", maxDevices, func(name string, key, value ast.Node) error {
		d := Device{Name: name, Line: line(key), Host: name}
		if err := hosted(r, value, "a device", deviceKeys, &d, &d.Host); err != nil {
			return err
		}
		if light += d.Count; light > maxLight {
			return r.errorAt(key, "", "more than %d light devices", maxLight)
		}
		f.Devices = append(f.Devices, d)
		r.later(key, func(n ast.Node) error { return checkDevice(r, n, f, &d) })
		return nil
	})
}

// audience is whom something is for.
var audience = []string{"everyone", "zone", "nobody"}

var deviceKeys = []key[Device]{
	{name: "host", form: "host", usage: "where it runs (the host of its name)", read: func(r *reader, n ast.Node, d *Device) (err error) {
		d.Host, err = r.name(n)
		return err
	}},
	{name: "sns", form: "super node, or a list", usage: "where it registers, in order (all)", read: func(r *reader, n ast.Node, d *Device) error {
		for _, item := range r.items(n) {
			s, err := r.name(item)
			if err != nil {
				return err
			}
			d.SNs = append(d.SNs, s)
		}
		return nil
	}},
	{name: "pns", form: "proxy node, or a list; none", usage: "through which it may be relayed, in order (all)", read: func(r *reader, n ast.Node, d *Device) error {
		for _, item := range r.items(n) {
			p, err := r.name(item)
			if err != nil {
				return err
			}
			if p == None {
				d.NoPNs = true
				continue
			}
			d.PNs = append(d.PNs, p)
		}
		return nil
	}},
	{name: "serve", form: "echo, sink, call, or a list; none", usage: "what it offers (all of them)", read: func(r *reader, n ast.Node, d *Device) error {
		for _, item := range r.items(n) {
			i, err := r.choice(item, []string{Echo, Sink, Call, None})
			if err != nil {
				return err
			}
			if i == 3 {
				d.NoServe = true
				continue
			}
			d.Serve = append(d.Serve, []string{Echo, Sink, Call}[i])
		}
		return nil
	}},
	{name: "access", form: "everyone, zone, nobody", usage: "who may use what it serves (everyone)", read: func(r *reader, n ast.Node, d *Device) error {
		i, err := r.choice(n, audience)
		if err == nil {
			d.Access = audience[i]
		}
		return err
	}},
	{name: "owner", form: "name", usage: "devices of one owner are a zone (none)", read: func(r *reader, n ast.Node, d *Device) (err error) {
		d.Owner, err = r.name(n)
		return err
	}},
	{name: "ood", form: "true, false", usage: "it answers for its owner", read: func(r *reader, n ast.Node, d *Device) (err error) {
		d.OOD, err = r.truth(n)
		return err
	}},
	{name: "visible", form: "everyone, zone, nobody", usage: "to whom super nodes may show its addresses (everyone)", read: func(r *reader, n ast.Node, d *Device) error {
		i, err := r.choice(n, audience)
		if err == nil {
			d.Visible = audience[i]
		}
		return err
	}},
	{name: "keepalive", form: "duration", usage: "the time between the packets that keep a NAT's mapping, 1s or more (learned)", read: func(r *reader, n ast.Node, d *Device) (err error) {
		d.KeepAlive, err = r.duration(n)
		if err == nil && d.KeepAlive < 1e9 {
			err = r.errorAt(n, "leave it out to have it learned", "a keepalive is a second or more")
		}
		return err
	}},
	{name: "no-lan", form: "true, false", usage: "it neither looks for others on the local network nor is found there", read: func(r *reader, n ast.Node, d *Device) (err error) {
		d.NoLAN, err = r.truth(n)
		return err
	}},
	{name: "stopped", form: "true, false", usage: "it does not run until a step starts it", read: func(r *reader, n ast.Node, d *Device) (err error) {
		d.Stopped, err = r.truth(n)
		return err
	}},
	{name: "count", form: "number", usage: "makes it that many light devices, which share sockets and do only what the step load says", read: func(r *reader, n ast.Node, d *Device) error {
		v, err := r.integer(n, 1, maxLight)
		d.Count = int(v)
		return err
	}},
}

package simulate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/snload"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/sn"
)

// A world is a scenario that runs.
type world struct {
	file   *scenario.File
	opt    Options
	net    *netsim.Network
	tracer *tracer
	nodes  map[string]*node
	owners map[string]*identity.LocalPeople
	takers *takers

	sns     map[string]*superNode
	pns     map[string]*proxyNode
	devices map[string]*device

	begin time.Time     // when the first step could begin
	began time.Duration // the same, by the network's clock

	mu      sync.Mutex // guards what follows
	links   map[string]*netsim.Link
	up      map[string][]*netsim.Link // by the lower node's name
	configs map[string]netsim.LinkConfig
	hidden  []*netsim.Link // within presets
	closed  bool
}

// A node is a node of the file as it is drawn. A preset may be several boxes.
type node struct {
	*scenario.Node
	upper netsim.Node // that its link up begins at
	inner netsim.Node // that those below it are connected to
	host  *netsim.Host
	boxes []*netsim.NAT
}

func newWorld(f *scenario.File, o Options) *world {
	w := &world{
		file: f, opt: o,
		net:     netsim.New(netsim.Config{Seed: o.Seed}),
		tracer:  newTracer(o.Trace),
		nodes:   make(map[string]*node),
		owners:  make(map[string]*identity.LocalPeople),
		takers:  newTakers(),
		links:   make(map[string]*netsim.Link),
		up:      make(map[string][]*netsim.Link),
		configs: make(map[string]netsim.LinkConfig),
		sns:     make(map[string]*superNode),
		pns:     make(map[string]*proxyNode),
		devices: make(map[string]*device),
	}
	w.tracer.net = w.net
	w.tracer.arm()
	return w
}

// errorAt is an error at a line of the file.
func (w *world) errorAt(line int, err error) error {
	if err == nil || w.file.Path == "" || line == 0 {
		return err
	}
	return &scenario.Error{File: w.file.Path, Line: line, Column: 1, Text: err.Error()}
}

// draw makes the network.
func (w *world) draw() error {
	for i := range w.file.Nodes {
		n := &node{Node: &w.file.Nodes[i]}
		w.nodes[n.Name] = n
		switch n.Kind {
		case scenario.Host:
			n.host = w.net.Host(n.Name)
			n.upper, n.inner = n.host, n.host
		case scenario.Router:
			r := w.net.Router(n.Name)
			n.upper, n.inner = r, r
		case scenario.Switch:
			s := w.net.Switch(n.Name)
			n.upper, n.inner = s, s
		case scenario.NAT:
			if n.Preset == "" {
				b := w.net.NAT(n.Name, n.NAT)
				n.upper, n.inner, n.boxes = b, b, []*netsim.NAT{b}
			}
		}
	}
	// From the top down: what a preset is made of is drawn with its link.
	done := make(map[string]bool)
	for len(done) < len(w.file.Links) {
		before := len(done)
		for i := range w.file.Links {
			l := &w.file.Links[i]
			if done[l.Name] || w.nodes[l.To].inner == nil {
				continue
			}
			if err := w.connect(l); err != nil {
				return w.errorAt(l.Line, err)
			}
			done[l.Name] = true
		}
		if len(done) == before {
			return errors.New("the links cannot be drawn")
		}
	}
	for i := range w.file.SuperNodes {
		if err := w.addSN(&w.file.SuperNodes[i]); err != nil {
			return err
		}
	}
	for i := range w.file.ProxyNodes {
		if err := w.addPN(&w.file.ProxyNodes[i]); err != nil {
			return err
		}
	}
	for i := range w.file.Devices {
		if err := w.addDevice(&w.file.Devices[i]); err != nil {
			return err
		}
	}
	return w.nameOODs()
}

// connect draws a link.
func (w *world) connect(l *scenario.Link) error {
	low, up := w.nodes[l.From], w.nodes[l.To]
	if low.Kind == scenario.NAT && low.Preset != "" {
		return w.attach(low, up, l)
	}
	link, err := w.net.Connect(low.upper, up.inner, l.Config, l.Addrs...)
	if err == nil {
		w.setLink(l.Name, l.From, link, l.Config)
	}
	return err
}

// setLink notes a link that is drawn, and the name of its lower node.
func (w *world) setLink(name, from string, l *netsim.Link, c netsim.LinkConfig) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.links[name]; old != nil {
		w.hidden = append(w.hidden, old) // a host comes back to where it was
	}
	w.links[name], w.configs[name] = l, c
	w.up[from] = append(w.up[from], l)
}

// packets returns how many were sent on all links.
func (w *world) packets() (n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	count := func(l *netsim.Link) {
		up, down := l.Stats()
		n += up.Packets[netsim.Sent] + down.Packets[netsim.Sent]
	}
	for _, l := range w.links {
		count(l)
	}
	for _, l := range w.hidden {
		count(l)
	}
	return n
}

// link returns a link by its name.
func (w *world) link(name string) (*netsim.Link, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.links[name]
	if l == nil {
		return nil, fmt.Errorf("there is no link %q yet", name)
	}
	return l, nil
}

// start starts all that the file does not have stopped, super nodes and proxy nodes first, and waits until the
// devices are online, or no longer than they may take.
func (w *world) start(ctx context.Context) error {
	for _, s := range w.file.SuperNodes {
		if !s.Stopped {
			if err := w.sns[s.Name].start(w); err != nil {
				return w.errorAt(s.Line, err)
			}
		}
	}
	for _, p := range w.file.ProxyNodes {
		if !p.Stopped {
			if err := w.pns[p.Name].start(w); err != nil {
				return w.errorAt(p.Line, err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, w.file.Ready)
	defer cancel()
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for _, d := range w.file.Devices {
		if d.Stopped || d.Count > 0 {
			continue
		}
		stack, err := w.devices[d.Name].start(w)
		if err != nil {
			return w.errorAt(d.Line, err)
		}
		waiting.Go(func() { stack.WaitOnline(ctx) }) // or not: a step will tell
	}
	return nil
}

// close stops everything. Further calls do nothing.
func (w *world) close() {
	w.mu.Lock()
	closed := w.closed
	w.closed = true
	w.mu.Unlock()
	if closed {
		return
	}
	var closing sync.WaitGroup
	for _, d := range w.devices {
		closing.Go(d.stop)
	}
	closing.Wait()
	for _, s := range w.sns {
		s.stop()
	}
	for _, p := range w.pns {
		p.stop()
	}
	w.net.Close()
}

// secret derives the key of a name, so that ids are the same each time.
func (w *world) secret(kind, name string) (*identity.Secret, [16]byte) {
	seed := digest(w.opt.Seed, kind, name)
	unique := digest(w.opt.Seed, kind+" id", name)
	return identity.SecretFromSeed(seed), [16]byte(unique[:16])
}

// stamp is when all objects were made, in Unix milliseconds.
func stamp() uint64 { return uint64(max(time.Now().UnixMilli(), 1)) }

// A superNode is an SN of the file, which runs or does not.
type superNode struct {
	*scenario.SuperNode
	host  *netsim.Host
	local *identity.LocalDevice
	ref   identity.Ref

	mu     sync.Mutex
	server *sn.Server
}

// A device is a device of the file, which runs or does not; or a load.
type device struct {
	*scenario.Device
	host   *netsim.Host
	local  *identity.LocalDevice
	config bdt.Config

	mu      sync.Mutex
	stack   *bdt.Stack
	load    *snload.Load
	serving sync.WaitGroup
}

// listenAddrs returns where a server listens: where it is told to, or at a port of each address.
func listenAddrs(told []netip.AddrPort, host *netsim.Host, port uint16) []netip.AddrPort {
	if len(told) > 0 {
		return told
	}
	var list []netip.AddrPort
	for _, a := range host.Addrs() {
		list = append(list, netip.AddrPortFrom(a, port))
	}
	return list
}

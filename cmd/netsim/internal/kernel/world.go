package kernel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/netsim/natlab"
)

// A world is a scenario that runs.
type world struct {
	file     *scenario.File
	opt      Options
	lab      *natlab.Lab
	dir      string // of keys and sockets; it goes with the world
	nodes    map[string]*node
	programs map[string]*program // by the name of the device or super node
}

// A node is a node of the file as it is drawn. A preset may be several boxes.
type node struct {
	scenario.Node
	upper *natlab.Node // that its link up begins at
	inner *natlab.Node // that those below it are connected to
	addrs []string     // of a host
}

// A program is a device or a super node, which runs or does not.
type program struct {
	name  string
	on    *natlab.Node
	local *identity.LocalDevice
	key   string
	path  string
	args  []string
	ref   identity.Ref // of a super node

	running *natlab.Process
	ready   bool
}

func newWorld(f *scenario.File, o Options) (*world, error) {
	lab, err := natlab.New()
	if err != nil {
		return nil, err
	}
	// Sockets lie in it, whose paths must be short.
	dir, err := os.MkdirTemp("", "netsim")
	if err != nil {
		lab.Close()
		return nil, fmt.Errorf("make a directory for keys: %w", err)
	}
	return &world{file: f, opt: o, lab: lab, dir: dir, nodes: make(map[string]*node), programs: make(map[string]*program)}, nil
}

// close stops everything.
func (w *world) close() {
	w.lab.Close()
	if w.opt.Output != nil {
		for _, name := range slices.Sorted(maps.Keys(w.programs)) {
			if p := w.programs[name]; p.running != nil {
				w.opt.Output(name, p.running.Output())
			}
		}
	}
	os.RemoveAll(w.dir) // what is left is in the directory for temporary files
}

// errorAt is an error at a line of the file.
func (w *world) errorAt(line int, err error) error {
	if err == nil || w.file.Path == "" || line == 0 {
		return err
	}
	return &scenario.Error{File: w.file.Path, Line: line, Column: 1, Text: err.Error()}
}

// draw makes the network, and the identities of who is on it.
func (w *world) draw() error {
	for _, n := range w.file.Nodes {
		x := &node{Node: n}
		w.nodes[n.Name] = x
		var err error
		switch {
		case n.Kind == scenario.Host:
			x.upper, err = w.lab.Host(n.Name)
		case n.Kind == scenario.Router:
			x.upper, err = w.lab.Router(n.Name)
		case n.Kind == scenario.Switch:
			x.upper, err = w.lab.Switch(n.Name)
		case n.Preset == "":
			x.upper, err = w.lab.NAT(n.Name, n.NAT)
		}
		if err != nil {
			return w.errorAt(n.Line, err)
		}
		x.inner = x.upper
	}
	if err := w.connectAll(); err != nil {
		return err
	}
	for _, s := range w.file.SuperNodes {
		if err := w.addSN(s); err != nil {
			return w.errorAt(s.Line, err)
		}
	}
	for _, d := range w.file.Devices {
		if err := w.addDevice(d); err != nil {
			return w.errorAt(d.Line, err)
		}
	}
	return nil
}

// connectAll draws the links from the top down.
func (w *world) connectAll() error {
	above := make(map[string]int) // links that lead up from a node and are not drawn
	for _, l := range w.file.Links {
		above[l.From]++
	}
	todo := slices.Clone(w.file.Links)
	for len(todo) > 0 {
		i := slices.IndexFunc(todo, func(l scenario.Link) bool { return above[l.To] == 0 })
		if i < 0 {
			return errors.New("the links cannot be drawn")
		}
		l := todo[i]
		todo = slices.Delete(todo, i, i+1)
		above[l.From]--
		if err := w.connect(l); err != nil {
			return w.errorAt(l.Line, err)
		}
	}
	return nil
}

// connect draws a link, and with it the boxes of a preset.
func (w *world) connect(l scenario.Link) error {
	low, up := w.nodes[l.From], w.nodes[l.To]
	cfg, _ := timeless(l.Config)
	if low.Kind == scenario.NAT && low.Preset != "" {
		return w.attach(low, up, cfg, l.Addrs)
	}
	low.addrs = append(low.addrs, l.Addrs...)
	return w.lab.Connect(low.upper, up.inner, cfg, l.Addrs...)
}

// attach draws the boxes of a preset, as netsim.Preset.Attach does.
func (w *world) attach(low, up *node, cfg netsim.LinkConfig, wan []string) error {
	p, err := netsim.PresetByName(low.Preset)
	if err != nil {
		return err
	}
	addrs, err := p.BoxAddrs(wan...)
	if err != nil {
		return err
	}
	low.inner = up.inner
	for i, box := range slices.Backward(p.Boxes) {
		n, err := w.lab.NAT(low.Name, box)
		if err != nil {
			return err
		}
		if err := w.lab.Connect(n, low.inner, cfg, addrs[len(p.Boxes)-1-i]...); err != nil {
			return err
		}
		if low.upper == nil {
			low.upper = n
		}
		low.inner, cfg = n, netsim.LinkConfig{}
	}
	return nil
}

// identify makes a key for a program.
func (w *world) identify(name, host, binary string) (*program, error) {
	p := &program{
		name: name, on: w.nodes[host].upper, path: filepath.Join(w.opt.Bin, binary),
		key: filepath.Join(w.dir, fmt.Sprintf("%d.pem", len(w.programs))),
	}
	var err error
	if p.local, err = keyfile.New(identity.DeviceDesc{}, identity.DeviceBody{Name: name}); err != nil {
		return nil, err
	}
	w.programs[name] = p
	return p, identity.SaveDevice(p.key, p.local)
}

// addSN prepares a super node.
func (w *world) addSN(s scenario.SuperNode) error {
	p, err := w.identify(s.Name, s.Host, "bdt-sn")
	if err != nil {
		return err
	}
	listen := s.Listen
	if len(listen) == 0 {
		for _, a := range w.nodes[s.Host].addrs {
			text, _, _ := strings.Cut(a, "/")
			addr, err := netip.ParseAddr(text)
			if err != nil {
				return err
			}
			listen = append(listen, netip.AddrPortFrom(addr, scenario.DefaultPort))
		}
	}
	if len(listen) == 0 {
		return fmt.Errorf("the host %q has no address", s.Host)
	}
	if p.ref, err = identity.NewRef(p.local.Device.ID(), listen[0].String()); err != nil {
		return err
	}
	p.args = []string{"--key", p.key, "--state", "none", "--advertise", p.ref.Addr}
	for _, a := range listen {
		p.args = append(p.args, "--listen", a.String())
	}
	return nil
}

// addDevice prepares a device.
func (w *world) addDevice(d scenario.Device) error {
	p, err := w.identify("device "+d.Name, d.Host, "bdt")
	if err != nil {
		return err
	}
	sns := d.SNs
	if len(sns) == 0 {
		for _, s := range w.file.SuperNodes {
			sns = append(sns, s.Name)
		}
	}
	p.args = []string{"up", "-v", "--key", p.key}
	for _, name := range sns {
		p.args = append(p.args, "--sn", w.programs[name].ref.String())
	}
	serve := "echo"
	if d.NoServe || len(d.Serve) > 0 && !slices.Contains(d.Serve, scenario.Echo) {
		serve = "none"
	}
	p.args = append(p.args, "--serve", serve)
	if d.NoLAN {
		p.args = append(p.args, "--no-lan")
	}
	for _, f := range []struct{ flag, value string }{{"--allow", d.Access}, {"--visible", d.Visible}} {
		if f.value != "" && (serve != "none" || f.flag != "--allow") {
			p.args = append(p.args, f.flag, f.value)
		}
	}
	if d.KeepAlive > 0 {
		p.args = append(p.args, "--keepalive", d.KeepAlive.String())
	}
	return nil
}

// env keeps the programs from what is this user's.
func (w *world) env() []string {
	env := []string{"XDG_RUNTIME_DIR=" + w.dir, "XDG_CONFIG_HOME=" + w.dir, "XDG_CACHE_HOME=" + w.dir, "HOME=" + w.dir, "TMPDIR=" + w.dir}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "BDT_") {
			env = append(env, name+"=")
		}
	}
	return env
}

// run starts a program.
func (w *world) run(p *program) error {
	if p.running != nil {
		return fmt.Errorf("%s runs already", p.name)
	}
	running, err := p.on.Start(w.env(), p.path, p.args...)
	if err == nil {
		p.running, p.ready = running, false
	}
	return err
}

// await waits until a program says that it is ready.
func (p *program) await(ctx context.Context) error {
	if p.ready {
		return nil
	}
	_, err := p.running.Ready(ctx)
	p.ready = err == nil
	return err
}

// start starts all that the file does not have stopped, super nodes first, and waits until the
// devices are online, or no longer than they may take.
func (w *world) start(ctx context.Context) error {
	for _, s := range w.file.SuperNodes {
		if s.Stopped {
			continue
		}
		p := w.programs[s.Name]
		if err := w.run(p); err != nil {
			return w.errorAt(s.Line, err)
		}
		if err := p.await(ctx); err != nil {
			return w.errorAt(s.Line, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, w.file.Ready)
	defer cancel()
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for _, d := range w.file.Devices {
		if d.Stopped {
			continue
		}
		p := w.programs["device "+d.Name]
		if err := w.run(p); err != nil {
			return w.errorAt(d.Line, err)
		}
		waiting.Go(func() { p.await(ctx) }) // or not: a step will tell
	}
	return nil
}

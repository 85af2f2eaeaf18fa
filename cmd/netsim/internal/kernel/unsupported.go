package kernel

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/netsim/natlab"
)

// Unsupported returns why the kernel cannot run a scenario, in lines that name the place; empty:
// it can.
func Unsupported(f *scenario.File) (list []string) {
	add := func(line int, what string, err error) {
		if err == nil {
			return
		}
		place := ""
		if line > 0 {
			place = fmt.Sprintf("%s:%d: ", f.Path, line)
		}
		list = append(list, fmt.Sprintf("%s%s: %v", place, what, err))
	}
	for _, n := range f.Nodes {
		for _, cfg := range boxes(n) {
			add(n.Line, "NAT "+n.Name, natlab.CheckNAT(cfg))
		}
	}
	for _, l := range f.Links {
		cfg, _ := timeless(l.Config)
		add(l.Line, "link "+l.Name, natlab.CheckLink(cfg))
	}
	for _, p := range f.ProxyNodes {
		add(p.Line, "proxy node "+p.Name, errors.New("the kernel's driver runs no proxy nodes"))
	}
	for _, d := range f.Devices {
		add(d.Line, "device "+d.Name, checkDevice(d))
	}
	for _, s := range f.Steps {
		add(s.Line, s.Text(), checkStep(s))
	}
	return list
}

// boxes are the NATs that a node is, from the host outwards.
func boxes(n scenario.Node) []netsim.NATConfig {
	if n.Kind != scenario.NAT {
		return nil
	}
	if n.Preset == "" {
		return []netsim.NATConfig{n.NAT}
	}
	p, err := netsim.PresetByName(n.Preset)
	if err != nil {
		return nil // Parse has seen to that
	}
	return p.Boxes
}

// checkDevice returns why the programs cannot be a device.
func checkDevice(d scenario.Device) error {
	switch {
	case d.Count > 0:
		return fmt.Errorf("light devices are simulated only")
	case d.Owner != "":
		return fmt.Errorf("devices with an owner are simulated only")
	}
	return nil
}

// steps are what can be done.
var steps = []scenario.Action{
	scenario.DoDial, scenario.DoPing, scenario.DoNetcheck, scenario.DoOnline, scenario.DoStart, scenario.DoStop, scenario.DoWait,
}

// MaxWait bounds a step that waits.
const MaxWait = 30 * time.Second

// checkStep returns why a step cannot be done.
func checkStep(s scenario.Step) error {
	if !slices.Contains(steps, s.Do) {
		words := make([]string, len(steps))
		for i, a := range steps {
			words[i] = string(a)
		}
		return fmt.Errorf("this is simulated only; the kernel's steps are %s", strings.Join(words, ", "))
	}
	if s.Do == scenario.DoWait && s.For > MaxWait {
		return fmt.Errorf("nobody waits that long in real time; %v at most", MaxWait)
	}
	if s.Timed {
		return fmt.Errorf("steps at a time are simulated only")
	}
	return nil
}

// timeless returns a link without what changes only when packets arrive, and the words for
// what was taken out. The machines that this is for have no netem.
func timeless(c netsim.LinkConfig) (netsim.LinkConfig, []string) {
	var words []string
	take := func(word string, there bool) {
		if there && !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	if c.Down != nil {
		down, more := timeless(*c.Down)
		words = more
		c.Down = &down
		if down == (netsim.LinkConfig{}) {
			c.Down = nil
		}
	}
	take("delay", c.Delay > 0)
	take("jitter", c.Jitter > 0)
	take("rate", c.Rate > 0)
	c.Delay, c.Jitter, c.Rate, c.Queue, c.QueuePackets, c.CoDel = 0, 0, 0, 0, 0, false
	return c, words
}

// wire is the delay of a link of the kernel's, about.
const wire = 20 * time.Microsecond

// Timeless returns a scenario as the kernel runs it, for the simulator: without what changes only
// when packets arrive. Who is first matters to a NAT that loses ports to unsolicited packets.
func Timeless(f *scenario.File) *scenario.File {
	g := *f
	g.Links = slices.Clone(f.Links)
	for i := range g.Links {
		cfg, _ := timeless(g.Links[i].Config)
		cfg.Delay = wire
		g.Links[i].Config = cfg
	}
	return &g
}

// Beside returns what the kernel leaves out of a scenario that it runs: what makes no difference
// to who reaches whom, and how.
func Beside(f *scenario.File) (list []string) {
	for _, l := range f.Links {
		_, words := timeless(l.Config)
		list = append(list, words...)
	}
	for _, n := range f.Nodes {
		for _, cfg := range boxes(n) {
			list = append(list, natlab.Beside(cfg)...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

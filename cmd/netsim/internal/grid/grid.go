package grid

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/cmd/netsim/internal/simulate"
	"github.com/bdtnet/bdt/cmd/netsim/internal/virtual"
	"github.com/bdtnet/bdt/netsim"
)

// A Plan says what is tried.
type Plan struct {
	Presets []netsim.Preset // each as caller with each as callee
	Seeds   int             // dials of each pair
	First   uint64          // the first seed; those that follow are the next ones
	Loss    float64         // of each link to the internet, each way
	PN      bool            // there is a PN that both devices use
	Jobs    int             // dials at a time; 0: as many as processors

	// Progress is called after each dial, from several goroutines.
	Progress func()
	// Setup is called with the network of each dial before it begins, from several goroutines, and
	// with a name for the dial.
	Setup func(name string, n *netsim.Network)
}

// A Dial is one dial of a pair.
type Dial struct {
	Caller, Callee string
	Seed           uint64
	Path           string        // "lan", "direct", "punched", "relayed"; "": it failed
	FirstByte      time.Duration // from Dial to the first answered byte; 0: it failed
	Probes         int           // datagrams to anyone but the SN before one of the other's arrived
	Packets        uint64        // that were sent on links, each hop counted
	Err            string
	Hash           string
}

// Direct reports whether the two met without a relay.
func (d *Dial) Direct() bool { return d.Path != "" && !d.Relayed() }

// Relayed reports whether the two met through a relay.
func (d *Dial) Relayed() bool { return d.Path == scenario.Relayed }

// A Table is what came of a plan.
type Table struct {
	Presets []string
	Seeds   int
	First   uint64
	Loss    float64
	PN      bool
	Cells   [][]Cell // by caller, then by callee, in the order of Presets
	Took    time.Duration
	Virtual time.Duration // of all dials together
}

// A Cell is the dials of a pair.
type Cell struct {
	Caller, Callee string
	Dials          []Dial // by seed
	PN             bool   // there was one
	Expected       *Expectation
}

// Count returns how many of the dials went direct, through a relay, and failed.
func (c *Cell) Count() (direct, relayed, failed int) {
	for i := range c.Dials {
		switch d := &c.Dials[i]; {
		case d.Relayed():
			relayed++
		case d.Direct():
			direct++
		default:
			failed++
		}
	}
	return direct, relayed, failed
}

// Met reports whether the pair did as is written out for it. A pair of which nothing is
// written always does.
func (c *Cell) Met() bool {
	if c.Expected == nil {
		return true
	}
	direct, relayed, _ := c.Count()
	switch {
	case c.Expected.Direct:
		return direct == len(c.Dials)
	case c.Expected.Relay && c.PN:
		return relayed == len(c.Dials)
	}
	return direct == 0
}

// FirstBytes returns the times to the first byte of those dials that met, in order.
func (c *Cell) FirstBytes() []time.Duration {
	var list []time.Duration
	for i := range c.Dials {
		if d := &c.Dials[i]; d.Path != "" {
			list = append(list, d.FirstByte)
		}
	}
	slices.Sort(list)
	return list
}

// Probes returns the mean of the probes of a dial.
func (c *Cell) Probes() float64 {
	sum := 0
	for _, d := range c.Dials {
		sum += d.Probes
	}
	return float64(sum) / float64(max(1, len(c.Dials)))
}

// Failure returns the most frequent error of the dials that failed; empty if none did.
func (c *Cell) Failure() string {
	count := make(map[string]int)
	for _, d := range c.Dials {
		if d.Path == "" {
			count[d.Err]++
		}
	}
	var most string
	for text, n := range count {
		if n > count[most] || n == count[most] && text < most {
			most = text
		}
	}
	return most
}

// Percentile returns the smallest of sorted values that p percent of them do not exceed
// (the nearest rank); 0 if there are none.
func Percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int((p*float64(len(sorted)) + 99.999999) / 100) // rounded up
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Missed returns the cells that did not do as is written out for them.
func (t *Table) Missed() (list []*Cell) {
	for i := range t.Cells {
		for j := range t.Cells[i] {
			if c := &t.Cells[i][j]; !c.Met() {
				list = append(list, c)
			}
		}
	}
	return list
}

// Dials returns how many dials the table holds.
func (t *Table) Dials() int { return len(t.Presets) * len(t.Presets) * t.Seeds }

// setup gives a function for networks the name of a dial.
func setup(f func(string, *netsim.Network), name string) func(*netsim.Network) {
	if f == nil {
		return nil
	}
	return func(n *netsim.Network) { f(name, n) }
}

// Run does what a plan says. ctx is one of package virtual.
func Run(ctx context.Context, p Plan) (*Table, error) {
	if p.Jobs <= 0 {
		p.Jobs = runtime.GOMAXPROCS(0)
	}
	t := &Table{Seeds: p.Seeds, First: p.First, Loss: p.Loss, PN: p.PN, Cells: make([][]Cell, len(p.Presets))}
	for i, a := range p.Presets {
		t.Presets = append(t.Presets, a.Name)
		for _, b := range p.Presets {
			c := Cell{Caller: a.Name, Callee: b.Name, Dials: make([]Dial, p.Seeds), PN: p.PN}
			if e, ok := Expect(a.Name, b.Name); ok {
				c.Expected = &e
			}
			t.Cells[i] = append(t.Cells[i], c)
		}
	}
	spent := make([]time.Duration, t.Dials())
	start := time.Now()
	n := len(p.Presets)
	name := func(i int) string {
		a, b := p.Presets[i/p.Seeds/n].Name, p.Presets[i/p.Seeds%n].Name
		return fmt.Sprintf("%s to %s, seed %d", a, b, p.First+uint64(i%p.Seeds))
	}
	err := virtual.Each(ctx, t.Dials(), p.Jobs, name, func(ctx context.Context, i int) error {
		a, b, k := i/p.Seeds/n, i/p.Seeds%n, i%p.Seeds
		r, err := simulate.Run(ctx, Case(p.Presets[a], p.Presets[b], p.First+uint64(k), p.Loss, p.PN), simulate.Options{Setup: setup(p.Setup, name(i))})
		if err != nil {
			return err
		}
		o := r.Steps[0]
		t.Cells[a][b].Dials[k] = Dial{
			Caller: p.Presets[a].Name, Callee: p.Presets[b].Name, Seed: r.Seed,
			Path: o.Path, FirstByte: o.FirstByte, Probes: o.Probes, Packets: r.Packets, Err: o.Err, Hash: r.Hash,
		}
		spent[i] = r.Virtual
		if p.Progress != nil {
			p.Progress()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, d := range spent {
		t.Virtual += d
	}
	t.Took = time.Since(start)
	return t, nil
}

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/terminal"
	"github.com/bdtnet/bdt/cmd/netsim/internal/grid"
	"github.com/bdtnet/bdt/cmd/netsim/internal/report"
	"github.com/bdtnet/bdt/netsim"
)

const maxGridSeeds = 10_000

// A gridder is the command line of grid.
type gridder struct {
	nats   []string
	seeds  int
	first  uint64
	loss   float64
	jobs   int
	pn     bool
	pairs  bool
	report string
	pcap   string
	asJSON bool
}

func newGrid() *cobra.Command {
	var o gridder
	c := &cobra.Command{
		Use:   "grid",
		Short: "Dial from behind every kind of NAT to behind every other",
		Long: `Dial from behind each of some NATs to behind each other, once for every seed, and
count how often the two meet without a relay, through one, or not at all. A seed
is a pair of homes: it decides how far they are from the internet and each other.

What the stack is to manage today is written out for each pair of presets: which
must go direct, and which may not, and why. With --pn there is a proxy node as well,
and of the others those meet through it from which UDP gets out. The status is 1 if a
pair does otherwise.`,
		Example: `  netsim grid
  netsim grid --pn
  netsim grid --report grid && xdg-open grid/index.html
  netsim grid --nats cgn,carrier,nat64 --seeds 100 --pairs
  netsim grid --loss 0.05 --json | jq '.cells[] | {caller, callee, direct}'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	f := c.Flags()
	f.StringSliceVar(&o.nats, "nats", nil, "these presets, or \"all\" (default: the eight of the grid; see 'netsim presets')")
	f.IntVar(&o.seeds, "seeds", 20, "dials of each pair")
	f.Uint64Var(&o.first, "seed", 1, "the first seed")
	f.Float64Var(&o.loss, "loss", 0, "share of packets that each link to the internet loses, 0 to 1")
	f.IntVar(&o.jobs, "jobs", 0, "dials at a time (default: as many as there are processors)")
	f.BoolVar(&o.pn, "pn", false, "with a proxy node (PN), which both devices use")
	f.BoolVar(&o.pairs, "pairs", false, "print a line for each pair, with times and probes")
	f.StringVar(&o.report, "report", "", "write a page, index.html, to this directory")
	f.StringVar(&o.pcap, "pcap", "", "write the packets of all dials to this file, which Wireshark opens")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON object")
	c.RegisterFlagCompletionFunc("nats", completePresets)
	return c
}

// completePresets completes names of presets.
func completePresets(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	names := []string{"all"}
	for _, p := range netsim.Presets() {
		names = append(names, p.Name+"\t"+p.Summary)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// presetsByName returns presets by their names; the error is one of usage.
func presetsByName(names []string) ([]netsim.Preset, error) {
	if len(names) == 1 && names[0] == "all" {
		return netsim.Presets(), nil
	}
	var list []netsim.Preset
	seen := make(map[string]bool)
	for _, n := range names {
		p, err := netsim.PresetByName(n)
		if err != nil {
			return nil, command.Usagef("%w", err)
		}
		if seen[n] {
			return nil, command.Usagef("the preset %s is there twice", n)
		}
		seen[n] = true
		list = append(list, p)
	}
	return list, nil
}

// plan is what the command line asks for.
func (o *gridder) plan() (grid.Plan, error) {
	p := grid.Plan{Presets: netsim.GridPresets(), Seeds: o.seeds, First: o.first, Loss: o.loss, PN: o.pn, Jobs: o.jobs}
	switch {
	case o.seeds < 1 || o.seeds > maxGridSeeds:
		return p, command.Usagef("--seeds %d: from 1 to %d", o.seeds, maxGridSeeds)
	case !(o.loss >= 0 && o.loss < 1):
		return p, command.Usagef("--loss %v: from 0 to less than 1", o.loss)
	case o.jobs < 0:
		return p, command.Usagef("--jobs %d: not less than 0", o.jobs)
	case len(o.nats) == 0:
		return p, nil
	}
	var err error
	p.Presets, err = presetsByName(o.nats)
	return p, err
}

// run is netsim grid.
func (o *gridder) run(c *cobra.Command) error {
	p, err := o.plan()
	if err != nil {
		return err
	}
	if err := makeReport(o.report); err != nil {
		return err
	}
	out, err := newPcapFile(o.pcap)
	if err != nil {
		return err
	}
	if o.pcap != "" {
		p.Setup = out.capture
	}
	m := newMeter(c, "  dials", int64(len(p.Presets)*len(p.Presets)*p.Seeds))
	p.Progress = func() { m.add(1) }
	t, err := grid.Run(c.Context(), p)
	m.close()
	unwritten := out.close()
	if err != nil {
		return errors.Join(err, unwritten)
	}
	if o.report != "" {
		unwritten = errors.Join(unwritten, o.writeReport(c, t))
	}
	if o.asJSON {
		if err := encode(c.OutOrStdout(), t.JSON()); err != nil {
			return err
		}
	} else {
		showGrid(terminal.New(c.OutOrStdout(), os.Getenv), t, o.pairs)
	}
	if unwritten != nil {
		return unwritten // the results are shown: they may have taken long
	}
	if missed := t.Missed(); len(missed) > 0 {
		return fmt.Errorf("%d pairs did otherwise than is written out for them, the first of them %s to %s", len(missed), missed[0].Caller, missed[0].Callee)
	}
	return nil
}

// writeReport writes the page about a grid.
func (o *gridder) writeReport(c *cobra.Command, t *grid.Table) error {
	cases, err := gridCases(c, t)
	if err != nil {
		return err
	}
	page, err := report.Grid(t, cases, commandLine(c, nil))
	if err != nil {
		return err
	}
	return writeReport(o.report, page)
}

// showGrid prints a table for people.
func showGrid(out *terminal.Terminal, t *grid.Table, pairs bool) {
	width := 0
	for _, n := range t.Presets {
		width = max(width, len(n))
	}
	title := "How many of 100 dials go direct; callers down, callees across"
	if t.PN {
		title += "; R: all meet through the proxy node"
	}
	out.Printf("%s\n\n", out.Bold(title))
	for i, n := range t.Presets {
		out.Printf("%*s  %s\n", width, "", strings.Repeat("   │", i)+"   "+n)
	}
	for i, row := range t.Cells {
		out.Printf("%*s  ", width, t.Presets[i])
		for j := range row {
			c := &row[j]
			direct, relayed, _ := c.Count()
			text := fmt.Sprintf("%3.0f", 100*float64(direct)/float64(len(c.Dials)))
			if relayed == len(c.Dials) {
				text = "  R"
			}
			switch {
			case !c.Met():
				text = out.Bold(out.Bad(text))
			case direct+relayed > 0:
				text = out.Good(text)
			default:
				text = out.Faint(text)
			}
			out.Printf("%s ", text)
		}
		out.Printf("\n")
	}
	out.Printf("\n")
	if pairs {
		showPairs(out, t, width)
	}
	showTotals(out, t)
}

// showPairs prints a line for each pair.
func showPairs(out *terminal.Terminal, t *grid.Table, width int) {
	out.Printf("%s\n", out.Bold(fmt.Sprintf("%-*s  %-*s  direct  relay  fail     p50     p95     p99  probes", width, "caller", width, "callee")))
	for _, row := range t.Cells {
		for i := range row {
			c := &row[i]
			direct, relayed, failed := c.Count()
			first := c.FirstBytes()
			share := func(n int) string { return fmt.Sprintf("%.0f%%", 100*float64(n)/float64(len(c.Dials))) }
			out.Printf("%-*s  %-*s  %6s  %5s  %4s  %6s  %6s  %6s  %6.1f", width, c.Caller, width, c.Callee, share(direct), share(relayed), share(failed),
				quantile(first, 50), quantile(first, 95), quantile(first, 99), c.Probes())
			if text := c.Failure(); text != "" {
				out.Printf("  %s", out.Faint(text))
			}
			out.Printf("\n")
		}
	}
	out.Printf("\n")
}

// quantile is a percentile of sorted times, for people.
func quantile(sorted []time.Duration, p float64) string {
	if len(sorted) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f ms", grid.Percentile(sorted, p).Seconds()*1e3)
}

// showTotals prints what holds of all pairs together, and why some cannot go direct.
func showTotals(out *terminal.Terminal, t *grid.Table) {
	s := t.Total()
	out.Printf("%d dials: %d direct, %d relayed, %d failed; first byte after %s (p50), %s (p95), %s (p99)\n", s.Dials, s.Direct, s.Relayed, s.Failed,
		quantile(s.FirstBytes, 50), quantile(s.FirstBytes, 95), quantile(s.FirstBytes, 99))
	out.Printf("%s\n", out.Faint(fmt.Sprintf("%v of simulated time in %.1f s", t.Virtual.Round(time.Second), t.Took.Seconds())))
	if len(s.Reasons) > 0 {
		out.Printf("\nPairs that cannot go direct yet:\n")
		for _, r := range s.Reasons {
			out.Printf("  %3d  %s\n", r.Pairs, r.Text)
		}
	}
	for _, c := range t.Missed() {
		direct, _, _ := c.Count()
		out.Printf("%s %s to %s: %d of %d went direct, %s\n", out.Bad("unexpected:"), c.Caller, c.Callee, direct, len(c.Dials), expectation(c))
	}
}

// expectation is what is written out for a cell, for people.
func expectation(c *grid.Cell) string {
	switch {
	case c.Expected.Direct:
		return "all were expected to"
	case c.Expected.Relay && c.PN:
		return "all were expected to meet through the proxy node"
	}
	return "none was expected to"
}

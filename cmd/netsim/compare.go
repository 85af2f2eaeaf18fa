package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/terminal"
	"github.com/bdtnet/bdt/cmd/netsim/internal/kernel"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/cmd/netsim/internal/simulate"
	"github.com/bdtnet/bdt/cmd/netsim/internal/virtual"
	"github.com/bdtnet/bdt/netsim"
)

// A comparer is the command line of compare.
type comparer struct {
	grid   bool
	all    bool
	jobs   int
	bin    string
	asJSON bool
}

func newCompare() *cobra.Command {
	var o comparer
	c := &cobra.Command{
		Use:   "compare [FILE...]",
		Short: "Hold the simulator against the kernel",
		Long: `Run scenarios both as 'netsim run' and as 'netsim kernel' do, and print where they
differ: in who reaches whom, by which path once that has settled, and in what an
examination of the network finds. --grid compares the presets of the grid: each by
what netcheck says of it, and each pair by the path that a dial finds.

What the kernel cannot run is skipped, with the reason. The status is 0 if they agree,
1 if they differ, 2 if there was nothing that could be compared.`,
		Example: `  sudo netsim compare docs/netsim/samples/*.yaml
  sudo netsim compare --grid
  sudo netsim compare --grid --all --json | jq 'select(.agree | not)'`,
		ValidArgsFunction: completeFiles,
		RunE:              func(c *cobra.Command, args []string) error { return o.run(c, args) },
	}
	f := c.Flags()
	f.BoolVar(&o.grid, "grid", false, "compare the presets of the grid, and each pair of them")
	f.BoolVar(&o.all, "all", false, "with --grid: compare the other presets, too")
	f.IntVar(&o.jobs, "jobs", 8*runtime.NumCPU(), "how many to run at a time")
	addBin(c, &o.bin)
	f.BoolVar(&o.asJSON, "json", false, "print one JSON object a scenario")
	return c
}

// A comparison is a scenario that both have run, or that the kernel cannot run.
type comparison struct {
	name      string
	file      *scenario.File
	notes     []string // what is not modelled
	skipped   []string // why the kernel cannot run it
	simulated *scenario.Result
	kernel    *scenario.Result
	differ    []difference
}

// A difference is a step of which the simulator and the kernel say different things.
type difference struct {
	Line      int    `json:"line,omitempty"`
	Step      string `json:"step"`
	Simulated string `json:"simulated"`
	Kernel    string `json:"kernel"`
}

// run is netsim compare.
func (o *comparer) run(c *cobra.Command, paths []string) error {
	list, err := o.scenarios(paths)
	if err != nil {
		return err
	}
	bin, err := ready(o.bin)
	if err != nil {
		return err
	}
	m := newMeter(c, "  scenarios", int64(len(list)))
	start := time.Now()
	err = o.compareAll(c.Context(), list, bin, programOutput(c), m)
	m.close()
	if err != nil {
		return err
	}
	if o.asJSON {
		for _, x := range list {
			if err := x.write(c.OutOrStdout()); err != nil {
				return err
			}
		}
	} else {
		showComparisons(terminal.New(c.OutOrStdout(), os.Getenv), list, time.Since(start))
	}
	return disagreement(list)
}

// disagreement is the error of comparisons that found a difference, or that could not be made.
func disagreement(list []*comparison) error {
	compared, differ := 0, 0
	for _, x := range list {
		if len(x.skipped) == 0 {
			compared++
		}
		if len(x.differ) > 0 {
			differ++
		}
	}
	switch {
	case compared == 0:
		return command.Advise(command.Usagef("the kernel cannot run any of it: %s", strings.Join(list[0].skipped, "\n  ")),
			"docs/netsim/kernel.md says what the kernel can do")
	case differ > 0:
		return command.Advise(fmt.Errorf("the simulator and the kernel differ in %d of %d scenarios", differ, compared),
			"run one of them again with -v, by 'netsim run' and 'netsim kernel', to see what devices did")
	}
	return nil
}

// scenarios returns what is to be compared.
func (o *comparer) scenarios(paths []string) (list []*comparison, err error) {
	switch {
	case o.jobs < 1:
		return nil, command.Usagef("--jobs %d: one at least", o.jobs)
	case len(paths) == 0 && !o.grid:
		return nil, command.Advise(command.Usagef("there is nothing to compare"), "name files, or compare the presets by --grid")
	case o.all && !o.grid:
		return nil, command.Usagef("--all goes with --grid")
	}
	for _, p := range paths {
		f, err := loadScenario(p)
		if err != nil {
			return nil, err
		}
		list = append(list, &comparison{name: p, file: f})
	}
	if o.grid {
		presets := netsim.GridPresets()
		if o.all {
			presets = netsim.Presets()
		}
		list = append(list, gridScenarios(presets)...)
	}
	for _, x := range list {
		x.file, x.notes = settled(x.file)
		x.skipped = kernel.Unsupported(x.file)
		x.notes = append(x.notes, kernel.Beside(x.file)...)
	}
	return list, nil
}

// apart puts a router above each NAT of a scenario of scenario.Pair, so that three are between. As on the internet, it
// takes more hops from one to the other than the first packet of a punch may make: where
// it takes fewer, who loses a port to whom is a race.
func apart(f *scenario.File) *scenario.File {
	for i, l := range f.Links {
		if n, _ := f.Node(l.From); n.Kind != scenario.NAT {
			continue
		}
		access := "access-" + l.From
		f.Nodes = append(f.Nodes, scenario.Node{Name: access, Kind: scenario.Router})
		f.Links[i].Name, f.Links[i].To = l.From+"-"+access, access
		f.Links = append(f.Links, scenario.Link{
			Name: access + "-" + l.To, From: access, To: l.To, Addrs: []string{fmt.Sprintf("192.0.2.%d", len(f.Nodes))},
		})
	}
	return f
}

// gridScenarios are an examination of each preset, and a dial of each pair.
func gridScenarios(presets []netsim.Preset) (list []*comparison) {
	for _, p := range presets {
		f := apart(scenario.Pair(p, p))
		f.Name, f.Steps = "netcheck behind "+p.Name, []scenario.Step{{Do: scenario.DoNetcheck, From: "alice"}}
		list = append(list, &comparison{name: f.Name, file: f})
	}
	for _, a := range presets {
		for _, b := range presets {
			f := apart(scenario.Pair(a, b))
			list = append(list, &comparison{name: f.Name, file: f})
		}
	}
	return list
}

// settling is how long a path takes to settle, after a dial; and how long steps wait that are
// to wait for longer than people would.
const settling = 3 * time.Second

// settled returns a scenario as it is compared, and what of it is not: with a ping after each
// dial, once its path has settled, and without what is expected, since the two are held against
// each other. What matters of a call or a transfer is the dial, and of a long wait that it ends.
func settled(f *scenario.File) (_ *scenario.File, notes []string) {
	c := *f
	c.Steps = nil
	for _, s := range f.Steps {
		s.Expect = scenario.Expect{Lost: 1}
		switch {
		case s.Do == scenario.DoCall || s.Do == scenario.DoTransfer:
			notes = append(notes, "calls and transfers beyond their dial")
			s.Do = scenario.DoDial
		case s.Do == scenario.DoWait && s.For > kernel.MaxWait:
			notes = append(notes, "long waits")
			s.For = settling
		}
		c.Steps = append(c.Steps, s)
		if s.Do != scenario.DoDial && s.Do != scenario.DoPing {
			continue
		}
		c.Steps = append(c.Steps, scenario.Step{Do: scenario.DoWait, For: settling},
			scenario.Step{Line: s.Line, Do: scenario.DoPing, From: s.From, To: s.To, Count: 1})
	}
	return &c, notes
}

// compareAll runs what can be run, as many at a time as jobs.
func (o *comparer) compareAll(ctx context.Context, list []*comparison, bin string, output func(name, text string), m *meter) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan *comparison)
	var workers sync.WaitGroup
	for range o.jobs {
		workers.Go(func() {
			for x := range work {
				if err := x.run(ctx, bin, output); err != nil {
					cancel(fmt.Errorf("%s: %w", x.name, err))
				}
				m.add(1)
			}
		})
	}
	for _, x := range list {
		if len(x.skipped) > 0 {
			m.add(1)
			continue
		}
		work <- x
	}
	close(work)
	workers.Wait()
	return context.Cause(ctx)
}

// run runs a scenario by both.
func (x *comparison) run(ctx context.Context, bin string, output func(name, text string)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err := virtual.Run(ctx, x.name, func(ctx context.Context) (err error) {
		x.simulated, err = simulate.Run(ctx, kernel.Timeless(x.file), simulate.Options{})
		return err
	})
	if err != nil {
		return fmt.Errorf("simulate: %w", err)
	}
	// In real time a program may be late on a busy machine: what differs is looked at again.
	const attempts = 2
	for range attempts {
		x.kernel, err = kernel.Run(ctx, x.file, kernel.Options{Bin: bin, Output: output})
		if err != nil {
			return err
		}
		if x.differ = differences(x.simulated, x.kernel); len(x.differ) == 0 || ctx.Err() != nil {
			break
		}
	}
	return context.Cause(ctx)
}

// differences compares two runs step by step.
func differences(simulated, kernelRun *scenario.Result) (list []difference) {
	for i, a := range simulated.Steps {
		b := kernelRun.Steps[i]
		one, two := said(a), said(b)
		if one != two {
			list = append(list, difference{Line: a.Line, Step: a.Text, Simulated: one + reason(a), Kernel: two + reason(b)})
		}
	}
	return list
}

// said is what a step says that is compared.
func said(o scenario.Outcome) string {
	_, examined := strings.CutPrefix(o.Text, string(scenario.DoNetcheck))
	_, pinged := strings.CutPrefix(o.Text, string(scenario.DoPing))
	switch {
	case o.Err != "":
		return "failed"
	case examined:
		return o.Detail
	case pinged:
		return o.Path
	}
	return "done"
}

// reason is why a step failed, for people.
func reason(o scenario.Outcome) string {
	if o.Err == "" {
		return ""
	}
	return " (" + o.Err + ")"
}

// last is what the last step says.
func last(r *scenario.Result) string {
	if len(r.Steps) == 0 {
		return "nothing to do"
	}
	return said(r.Steps[len(r.Steps)-1])
}

// showComparisons shows comparisons to people.
func showComparisons(t *terminal.Terminal, list []*comparison, took time.Duration) {
	width, compared, agree := 0, 0, 0
	for _, x := range list {
		width = max(width, len([]rune(x.name)))
	}
	var beside []string
	for _, x := range list {
		pad := strings.Repeat(" ", width-len([]rune(x.name)))
		if len(x.skipped) > 0 {
			t.Printf("%s  %s%s  %s\n", t.Faint("skipped"), x.name, pad, strings.Join(x.skipped, "; "))
			continue
		}
		beside = append(beside, x.notes...)
		compared++
		if len(x.differ) == 0 {
			agree++
			t.Printf("%s  %s%s  %s\n", t.Good("agree  "), x.name, pad, last(x.kernel))
			continue
		}
		t.Printf("%s  %s\n", t.Bad("DIFFER "), x.name)
		for _, d := range x.differ {
			t.Printf("         %s\n           simulated: %s\n           kernel:    %s\n", d.Step, d.Simulated, d.Kernel)
		}
	}
	t.Printf("\n%d of %d compared agree, %d skipped, in %.1f s\n", agree, compared, len(list)-compared, took.Seconds())
	slices.Sort(beside)
	showBeside(t, slices.Compact(beside))
}

// A comparisonView is a comparison in JSON.
type comparisonView struct {
	Name        string       `json:"name"`
	Skipped     []string     `json:"skipped,omitempty"`
	Agree       bool         `json:"agree"`
	Differences []difference `json:"differences"`
	NotModelled []string     `json:"not_modelled"`
	Steps       []stepView   `json:"kernel_steps"`
}

// write writes a comparison as one line of JSON.
func (x *comparison) write(w io.Writer) error {
	v := comparisonView{
		Name: x.name, Skipped: x.skipped, Agree: len(x.skipped)+len(x.differ) == 0,
		Differences: append([]difference{}, x.differ...), NotModelled: append([]string{}, x.notes...), Steps: []stepView{},
	}
	if x.kernel != nil {
		v.Steps = stepViews(x.kernel)
	}
	return encode(w, v)
}

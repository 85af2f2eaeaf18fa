package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/terminal"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/cmd/netsim/internal/simulate"
	"github.com/bdtnet/bdt/cmd/netsim/internal/virtual"
	"github.com/bdtnet/bdt/netsim"
)

// A runner is the command line of run.
type runner struct {
	seed   uint64
	repeat int
	pcap   string
	report string
	asJSON bool
}

func newRun() *cobra.Command {
	var o runner
	c := &cobra.Command{
		Use:   "run FILE",
		Short: "Run a scenario, and see whether all goes as it expects",
		Long: `Run a scenario: draw its network, start its super nodes and devices, do its steps,
and hold what came of each against what the file expects. The time shown is the
simulated one. docs/netsim/scenario.md says what a file can hold.

The status is 0 if all was as expected, 1 if not, 2 if the file is wrong.

The hash covers time, size and fate of each packet: two runs with the same hash
were the same run. --repeat compares them. What a session packs into one packet, and
what into the next, no seed decides (docs/netsim/determinism.md): there, compare what
came of the steps.`,
		Example: `  netsim run netsim.yaml
  netsim run netsim.yaml --seed 7
  netsim run netsim.yaml --repeat 3
  netsim run netsim.yaml --pcap packets.pcapng --report page
  netsim run netsim.yaml --json | jq '.steps[] | select(.met | not)'`,
		Args:              oneScenario,
		ValidArgsFunction: completeFiles,
		RunE:              func(c *cobra.Command, args []string) error { return o.run(c, args[0]) },
	}
	f := c.Flags()
	f.Uint64Var(&o.seed, "seed", 0, "decides all that is random in the network (default: the file's)")
	f.IntVar(&o.repeat, "repeat", 1, "run it that often with the same seed, and compare the hashes")
	f.StringVar(&o.pcap, "pcap", "", "write all packets to this file, which Wireshark opens")
	f.StringVar(&o.report, "report", "", "write a page about the first run, index.html, to this directory")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON object a run")
	return c
}

// oneScenario has the arguments of a command be the name of one scenario file.
func oneScenario(_ *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return command.Advise(errors.New("which scenario? Name its file"), "make one with 'netsim init', if you have none")
	case 1:
		return nil
	}
	return fmt.Errorf("%d files: one at a time", len(args))
}

// completeFiles completes the name of a scenario file.
func completeFiles(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// loadScenario reads a scenario file. An error is one of usage.
func loadScenario(path string) (*scenario.File, error) {
	const most = 2 << 20 // more than Parse takes
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, command.Advise(command.Usagef("there is no file %s", path), "check the name, or make one with 'netsim init'")
	}
	if err != nil {
		return nil, command.Usagef("read scenario: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return nil, command.Usagef("read scenario: %w", err)
	}
	f, err := scenario.Parse(path, text)
	if err != nil {
		return nil, adviseScenario(err)
	}
	return f, nil
}

// adviseScenario is an error of a scenario file, which is one of usage.
func adviseScenario(err error) error {
	return command.Advise(&command.UsageError{Err: err}, "mend that line: docs/netsim/scenario.md says what a scenario can hold")
}

// run is netsim run.
func (o *runner) run(c *cobra.Command, path string) error {
	switch {
	case o.repeat < 1:
		return command.Usagef("--repeat %d: once at least", o.repeat)
	case c.Flags().Changed("seed") && o.seed == 0:
		return command.Usagef("--seed 0: seeds are numbers from 1 on")
	}
	f, err := loadScenario(path)
	if err != nil {
		return err
	}
	if !c.Flags().Changed("seed") {
		o.seed = f.Seed
	}
	if err := makeReport(o.report); err != nil {
		return err
	}
	rec, err := newRecorder(o.pcap, o.report != "")
	if err != nil {
		return err
	}
	var results []*scenario.Result
	m := newMeter(c, "  steps", int64(o.repeat*len(f.Steps)))
	start := time.Now()
	for i := 0; i < o.repeat && err == nil; i++ {
		var r *scenario.Result
		r, err = simulateOnce(c, f, o.seed, m, rec.setup(i, o.repeat))
		results = append(results, r)
	}
	m.close()
	unwritten := rec.close()
	if err != nil {
		return errors.Join(err, unwritten)
	}
	if o.report != "" {
		first := &recording{f, results[0], rec.captures}
		unwritten = errors.Join(unwritten, first.report(o.report, commandLine(c, []string{path})))
	}
	if o.asJSON {
		for _, r := range results {
			if err := writeResult(c.OutOrStdout(), path, r); err != nil {
				return err
			}
		}
	} else {
		show(terminal.New(c.OutOrStdout(), os.Getenv), f, results, time.Since(start))
	}
	if unwritten != nil {
		return unwritten // the results are shown: they may have taken long
	}
	return verdict(path, results)
}

// simulateOnce runs a scenario in virtual time. setup is called with its network, unless it is nil.
func simulateOnce(c *cobra.Command, f *scenario.File, seed uint64, m *meter, setup func(*netsim.Network)) (*scenario.Result, error) {
	defer virtual.Seed(c.Context(), seed)()
	var r *scenario.Result
	err := virtual.Run(c.Context(), f.Path, func(ctx context.Context) (err error) {
		r, err = simulate.Run(ctx, f, simulate.Options{
			Seed: seed, Logger: logger(c), Setup: setup, Progress: func(scenario.Outcome) { m.add(1) },
		})
		return err
	})
	var wrong *scenario.Error
	switch {
	case c.Context().Err() != nil:
		return nil, command.Advise(fmt.Errorf("stopped before the end: %w", context.Cause(c.Context())), "run it again: nothing is kept of a run")
	case errors.As(err, &wrong):
		return nil, adviseScenario(err)
	}
	return r, err
}

// verdict is the error of runs that did not go as expected; nil if all did.
func verdict(path string, results []*scenario.Result) error {
	for _, r := range results {
		missed, first := 0, scenario.Outcome{}
		for _, o := range r.Steps {
			if o.Met {
				continue
			}
			if missed++; missed == 1 {
				first = o
			}
		}
		if missed > 0 {
			err := fmt.Errorf("%s:%d: %s: expected %s, but %s", path, first.Line, first.Text, first.Expected, first.Why)
			if missed > 1 {
				err = fmt.Errorf("%w (and %d more)", err, missed-1)
			}
			return command.Advise(err, "run it again with -v to see what super nodes and devices did")
		}
	}
	return nil
}

// show shows runs to people: the steps of the first, and how the others differ.
func show(t *terminal.Terminal, f *scenario.File, results []*scenario.Result, took time.Duration) {
	r := results[0]
	met := showSteps(t, f, r)
	t.Printf("%d of %d steps as expected; %s simulated in %.1f s, %d packets, seed %d\n", met, len(r.Steps), clock(r.Virtual), took.Seconds(), r.Packets, r.Seed)
	t.Printf("hash %s\n", r.Hash)
	if len(results) > 1 {
		t.Printf("%s\n", compare(results))
	}
}

// showSteps shows the steps of a run to people, and returns how many went as expected.
func showSteps(t *terminal.Terminal, f *scenario.File, r *scenario.Result) (met int) {
	if f.Name != "" {
		t.Printf("%s\n\n", t.Bold(f.Name))
	}
	width := 0
	for _, o := range r.Steps {
		width = max(width, len([]rune(o.Text)))
	}
	for _, o := range r.Steps {
		mark := t.Good("ok  ")
		if !o.Met {
			mark = t.Bad("FAIL")
		}
		pad := strings.Repeat(" ", width-len([]rune(o.Text)))
		t.Printf("%10s  %s  %s%s  %s\n", t.Faint(fmt.Sprintf("%10s", clock(o.Began))), mark, o.Text, pad, outcome(o))
		if !o.Met {
			t.Printf("%16s  expected %s, but %s\n", "", o.Expected, o.Why)
		}
	}
	for _, o := range r.Steps {
		if o.Met {
			met++
		}
	}
	if len(r.Steps) > 0 {
		t.Printf("\n")
	}
	return met
}

// clock is a simulated time, in seconds.
func clock(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }

// outcome is what came of a step, in a few words.
func outcome(o scenario.Outcome) string {
	var words []string
	if o.Path != "" {
		words = append(words, o.Path)
	}
	if o.FirstByte > 0 {
		words = append(words, fmt.Sprintf("%.1f ms", float64(o.FirstByte)/1e6))
	}
	if o.Detail != "" {
		words = append(words, o.Detail)
	}
	if o.Err != "" && o.Met {
		words = append(words, "failed: "+o.Err)
	}
	return strings.Join(words, ", ")
}

// compare says whether runs were alike: packet for packet, or at least in what came of the steps.
func compare(results []*scenario.Result) string {
	hashes, outcomes := make(map[string]bool), make(map[string]bool)
	for _, r := range results {
		hashes[r.Hash] = true
		all := ""
		for _, o := range r.Steps {
			all += fmt.Sprintf("%v %s\n", o.Met, o.Path)
		}
		outcomes[all] = true
	}
	switch {
	case len(hashes) == 1:
		return fmt.Sprintf("%d runs, the same packet for packet", len(results))
	case len(outcomes) == 1:
		return fmt.Sprintf("%d runs with the same outcomes; their packets are of %d kinds: what a seed does not decide is in docs/netsim/determinism.md", len(results), len(hashes))
	}
	return fmt.Sprintf("%d runs, with outcomes of %d kinds: what a seed does not decide is in docs/netsim/determinism.md", len(results), len(outcomes))
}

// A resultView is a run in JSON.
type resultView struct {
	File    string     `json:"file"`
	Seed    uint64     `json:"seed,string"` // JSON has no 64 bits
	Met     bool       `json:"met"`
	Virtual float64    `json:"virtual_ms"`
	Packets uint64     `json:"packets"`
	Hash    string     `json:"hash"`
	Steps   []stepView `json:"steps"`
}

type stepView struct {
	Line      int      `json:"line"`
	Step      string   `json:"step"`
	Began     float64  `json:"began_ms"`
	Took      float64  `json:"took_ms"`
	Path      string   `json:"path,omitempty"`
	FirstByte *float64 `json:"first_byte_ms,omitempty"`
	Probes    int      `json:"probes"`
	Detail    string   `json:"detail,omitempty"`
	Error     string   `json:"error,omitempty"`
	Expected  string   `json:"expected"`
	Met       bool     `json:"met"`
	Why       string   `json:"why,omitempty"`
}

// writeResult writes a run as one line of JSON.
func writeResult(w io.Writer, path string, r *scenario.Result) error {
	v := resultView{
		File: path, Seed: r.Seed, Met: r.Met(), Virtual: inMilliseconds(r.Virtual),
		Packets: r.Packets, Hash: r.Hash, Steps: []stepView{},
	}
	v.Steps = append(v.Steps, stepViews(r)...)
	return encode(w, v)
}

// stepViews are the steps of a run in JSON.
func stepViews(r *scenario.Result) (list []stepView) {
	for _, o := range r.Steps {
		s := stepView{
			Line: o.Line, Step: o.Text, Began: inMilliseconds(o.Began), Took: inMilliseconds(o.Took), Path: o.Path,
			Probes: o.Probes, Detail: o.Detail, Error: o.Err, Expected: o.Expected, Met: o.Met, Why: o.Why,
		}
		if o.FirstByte > 0 {
			ms := inMilliseconds(o.FirstByte)
			s.FirstByte = &ms
		}
		list = append(list, s)
	}
	return list
}

func inMilliseconds(d time.Duration) float64 { return float64(d) / 1e6 }

package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/terminal"
	"github.com/bdtnet/bdt/cmd/netsim/internal/grid"
	"github.com/bdtnet/bdt/cmd/netsim/internal/report"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/cmd/netsim/internal/sequence"
	"github.com/bdtnet/bdt/netsim"
)

// The width of a diagram, where nothing says how wide a line may be.
const defaultWidth = 120

// An explainer is the command line of explain.
type explainer struct {
	seed   uint64
	step   int
	width  int
	rows   int
	pcap   string
	report string
	asJSON bool
}

func newExplain() *cobra.Command {
	var o explainer
	c := &cobra.Command{
		Use:   "explain CALLER CALLEE | explain FILE",
		Short: "Draw the packets of one dial as a sequence diagram",
		Long: `Draw what is said until two devices have met, or have given up: each packet from where
it is sent to where it is delivered, or dropped and why, and each port that a NAT
takes. CALLER and CALLEE are presets, as for one dial of 'netsim grid'; or it is the
first step of a scenario file that dials, or the one at --line.

The first bytes of a packet tell what it is, but not what is sealed in it: "Sealed"
between devices is mostly probes. Rows that are alike are one row.`,
		Example: `  netsim explain port-restricted port-restricted
  netsim explain cgn symmetric-random --seed 3 --width 160
  netsim explain netsim.yaml --pcap dial.pcapng
  netsim explain full-cone hotel --report explained`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: completeExplain,
		RunE:              func(c *cobra.Command, args []string) error { return o.run(c, args) },
	}
	f := c.Flags()
	f.Uint64Var(&o.seed, "seed", 0, "decides all that is random in the network (default: 1, or the file's)")
	f.IntVar(&o.step, "line", 0, "the line of the file at which the step begins (default: of the first that dials)")
	f.IntVar(&o.width, "width", 0, "characters of a line (default: as many as the terminal has, else 120)")
	f.IntVar(&o.rows, "rows", 150, "the most rows")
	f.StringVar(&o.pcap, "pcap", "", "write all packets to this file, which Wireshark opens")
	f.StringVar(&o.report, "report", "", "write a page, index.html, to this directory")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON object")
	return c
}

// completeExplain completes a preset or the name of a file.
func completeExplain(c *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
	names, _ := completePresets(c, args, text)
	if len(args) > 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names[1:], cobra.ShellCompDirectiveDefault // without "all"
}

// scenario returns what is explained, and the index of its step.
func (o *explainer) scenario(c *cobra.Command, args []string) (*scenario.File, int, error) {
	if len(args) == 2 {
		list, err := presetsByName(slices.Compact(slices.Clone(args)))
		if err != nil {
			return nil, 0, err
		}
		if c.Flags().Changed("line") {
			return nil, 0, command.Usagef("--line is of a file, and there is none")
		}
		if !c.Flags().Changed("seed") {
			o.seed = 1
		}
		return grid.Case(list[0], list[len(list)-1], o.seed, 0, false), 0, nil
	}
	if _, err := netsim.PresetByName(args[0]); err == nil {
		return nil, 0, command.Usagef("%s dials whom? Give the preset of the other, too", args[0])
	}
	f, err := loadScenario(args[0])
	if err != nil {
		return nil, 0, err
	}
	if !c.Flags().Changed("seed") {
		o.seed = f.Seed
	}
	i := slices.IndexFunc(f.Steps, func(s scenario.Step) bool {
		return meets(&s) && (o.step == 0 || s.Line == o.step)
	})
	switch {
	case i < 0 && o.step > 0:
		return nil, 0, command.Advise(command.Usagef("no step that dials, calls, pings or transfers begins at %s:%d", args[0], o.step),
			"name the line of one that does: %s", meetingLines(f))
	case i < 0:
		return nil, 0, command.Usagef("no step of %s dials, calls, pings or transfers", args[0])
	}
	return f, i, nil
}

// meetingLines are the lines at which steps begin that have devices meet, for people.
func meetingLines(f *scenario.File) string {
	var lines []string
	for i := range f.Steps {
		if meets(&f.Steps[i]) {
			lines = append(lines, fmt.Sprint(f.Steps[i].Line))
		}
	}
	if len(lines) == 0 {
		return "there is none"
	}
	return strings.Join(lines, ", ")
}

// run is netsim explain.
func (o *explainer) run(c *cobra.Command, args []string) error {
	switch {
	case o.rows < 1:
		return command.Usagef("--rows %d: one at least", o.rows)
	case o.width < 0:
		return command.Usagef("--width %d: not less than 0", o.width)
	case c.Flags().Changed("seed") && o.seed == 0:
		return command.Usagef("--seed 0: seeds are numbers from 1 on")
	}
	f, step, err := o.scenario(c, args)
	if err != nil {
		return err
	}
	if err := makeReport(o.report); err != nil {
		return err
	}
	r, err := record(c, f, o.seed, o.pcap)
	if err != nil {
		return err
	}
	d := r.diagram(step, o.rows)
	if o.width == 0 {
		o.width = max(lineWidth(), d.MinWidth())
	}
	if o.width < d.MinWidth() {
		return command.Usagef("--width %d: %d machines need %d", o.width, len(d.Lanes), d.MinWidth())
	}
	if o.report != "" {
		page, err := report.Scenario(f, r.result, []report.Case{{
			Title: r.result.Steps[step].Text, Text: saidOf(r.result.Steps[step]), Diagram: d,
		}}, commandLine(c, args))
		if err != nil {
			return err
		}
		if err := writeReport(o.report, page); err != nil {
			return err
		}
	}
	if o.asJSON {
		return encode(c.OutOrStdout(), viewDiagram(f, o.seed, r.result.Steps[step], d))
	}
	t := terminal.New(c.OutOrStdout(), os.Getenv)
	t.Printf("%s\n", t.Bold(fmt.Sprintf("%s, seed %d: %s", cmp.Or(f.Name, f.Path), o.seed, saidOf(r.result.Steps[step]))))
	var legend []string
	for _, k := range sequence.Classes() {
		legend = append(legend, paint(t)(k, k.String()))
	}
	t.Printf("%s; × dropped, ┼ passed, ● a NAT maps\n\n%s", strings.Join(legend, ", "), d.Text(o.width, paint(t)))
	return nil
}

// saidOf is what came of a dial.
func saidOf(o scenario.Outcome) string {
	if o.Err != "" {
		return "failed: " + o.Err
	}
	s := o.Path
	if o.FirstByte > 0 {
		s += fmt.Sprintf(", first byte after %.1f ms", float64(o.FirstByte)/1e6)
	}
	if o.Probes == 1 {
		return s + ", 1 probe"
	}
	return fmt.Sprintf("%s, %d probes", s, o.Probes)
}

// paint returns the colours of classes.
func paint(t *terminal.Terminal) func(sequence.Class, string) string {
	return func(c sequence.Class, s string) string {
		switch c {
		case sequence.SuperNode:
			return t.Tint(terminal.Blue, s)
		case sequence.Opener:
			return t.Tint(terminal.Yellow, s)
		case sequence.Handshake:
			return t.Tint(terminal.Magenta, s)
		case sequence.Probe:
			return t.Tint(terminal.Cyan, s)
		case sequence.Data:
			return t.Tint(terminal.Green, s)
		}
		return s
	}
}

// lineWidth returns how wide a line of standard output may be.
func lineWidth() int {
	if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && w > 0 {
		return w
	}
	return defaultWidth
}

// A diagramView is a diagram in JSON.
type diagramView struct {
	Name  string    `json:"name"`
	Seed  string    `json:"seed"` // a string: JSON has no 64 bits
	Path  string    `json:"path,omitempty"`
	Error string    `json:"error,omitempty"`
	Lanes []string  `json:"lanes"`
	Rows  []rowView `json:"rows"`
	More  int       `json:"more"`
}

type rowView struct {
	At      float64  `json:"at_ms"`
	Arrived *float64 `json:"arrived_ms,omitempty"`
	From    string   `json:"from"`
	To      string   `json:"to"`
	Via     []string `json:"via,omitempty"`
	Text    string   `json:"text"`
	Class   string   `json:"class,omitempty"` // none: a note
	Count   int      `json:"count"`
	Size    int      `json:"size,omitempty"`
	Dropped string   `json:"dropped,omitempty"`
	Detail  string   `json:"detail"`
}

func viewDiagram(f *scenario.File, seed uint64, o scenario.Outcome, d *sequence.Diagram) diagramView {
	v := diagramView{Name: f.Name, Seed: fmt.Sprint(seed), Path: o.Path, Error: o.Err, Lanes: d.Lanes, Rows: []rowView{}, More: d.More}
	for i := range d.Rows {
		r := &d.Rows[i]
		w := rowView{
			At: inMilliseconds(r.At), From: d.Lanes[r.From], To: d.Lanes[r.To], Text: r.Name, Count: r.Count,
			Size: r.Size, Dropped: r.Dropped, Detail: r.Detail,
		}
		for _, lane := range r.Via {
			w.Via = append(w.Via, d.Lanes[lane])
		}
		if !r.Note() {
			w.Class = r.Class.String()
		}
		if r.Arrived > 0 {
			ms := inMilliseconds(r.Arrived)
			w.Arrived = &ms
		}
		v.Rows = append(v.Rows, w)
	}
	return v
}

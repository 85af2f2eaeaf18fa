package report

import (
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/grid"
	seq "github.com/bdtnet/bdt/cmd/netsim/internal/sequence"
)

// A Case is a dial to be shown packet by packet.
type Case struct {
	Title, Text string
	Diagram     *seq.Diagram
}

// Grid returns the page about a grid. command is how it was asked for.
func Grid(t *grid.Table, cases []Case, command string) ([]byte, error) {
	s := t.Total()
	p := &page{
		Title: "Who reaches whom through which NAT",
		Lead:  fmt.Sprintf("%s dials of the unmodified stack: from behind each of %d kinds of NAT to behind each, %s, in simulated time.", thousands(s.Dials), len(t.Presets), seeds(t)),
		Tiles: gridTiles(t, &s), Command: command,
		Notes: []string{
			"Each seed is another pair of homes: links to the internet, and the super node's, of 5 to 60 ms one way, with up to 3 ms of jitter" + loss(t) + ". Time to the first byte counts from the call until a byte that the other has answered is there: finding it, punching, the handshake and one exchange.",
			"Probes are datagrams to anyone but the super node before the first of the other's arrived. Percentiles are nearest ranks over the dials that met.",
		},
	}
	letters := make(map[string]string)
	for i, r := range s.Reasons {
		letters[r.Text] = string(rune('a' + i))
		p.Reasons = append(p.Reasons, reason{letters[r.Text], r.Text, r.Pairs})
	}
	p.Heat = newHeat(t, letters)
	p.gridVerdict(t)
	p.gridPlots(t, &s)
	p.gridPairs(t)
	p.addCases(cases)
	p.Topology = topology("The network of each dial", []node{
		{Name: "internet", Notes: []string{"router"}},
		{Name: "caller's NAT", Notes: []string{"a row of the grid"}, Up: "internet", Edge: "5–60 ms"},
		{Name: "caller", Notes: []string{"device"}, Up: "caller's NAT", End: true},
		{Name: "super node", Notes: []string{"two addresses"}, Up: "internet", Edge: "5–60 ms", End: true},
		{Name: "callee's NAT", Notes: []string{"a column of the grid"}, Up: "internet", Edge: "5–60 ms"},
		{Name: "callee", Notes: []string{"device"}, Up: "callee's NAT", End: true},
	})
	return p.render()
}

func seeds(t *grid.Table) string {
	if t.Seeds == 1 {
		return fmt.Sprintf("seed %d", t.First)
	}
	return fmt.Sprintf("seeds %d to %d", t.First, t.First+uint64(t.Seeds)-1)
}

func loss(t *grid.Table) string {
	if t.Loss == 0 {
		return ""
	}
	return fmt.Sprintf(", each of which loses %.3g %% of packets", 100*t.Loss)
}

// thousands writes a number with commas.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func gridTiles(t *grid.Table, s *grid.Total) []tile {
	share := func(n int) string { return fmt.Sprintf("%.1f %%", percent(n, s.Dials)) }
	of := func(n int) string { return thousands(n) + " dials" }
	probes := 0.0
	for i := range t.Cells {
		for j := range t.Cells[i] {
			probes += t.Cells[i][j].Probes()
		}
	}
	return []tile{
		{share(s.Direct), "direct", of(s.Direct)},
		{share(s.Relayed), "relayed", of(s.Relayed)},
		{share(s.Failed), "failed", of(s.Failed)},
		{atPercent(s.FirstBytes, 50), "first byte, p50", "p95 " + atPercent(s.FirstBytes, 95) + ", p99 " + atPercent(s.FirstBytes, 99)},
		{fmt.Sprintf("%.1f", probes/float64(max(1, len(t.Presets)*len(t.Presets)))), "probes a dial", "mean of all"},
		{fmt.Sprintf("%.1f s", t.Took.Seconds()), "to compute", t.Virtual.Round(time.Minute).String() + " simulated"},
	}
}

// gridVerdict says whether all pairs did as expected.
func (p *page) gridVerdict(t *grid.Table) {
	known := 0
	for i := range t.Cells {
		for j := range t.Cells[i] {
			if t.Cells[i][j].Expected != nil {
				known++
			}
		}
	}
	missed := t.Missed()
	p.Good = len(missed) == 0
	p.Verdict = fmt.Sprintf("All %d pairs did as is written out for them.", known)
	if !p.Good {
		p.Verdict = fmt.Sprintf("%d of %d pairs did otherwise than is written out for them:", len(missed), known)
	}
	for _, c := range missed {
		direct, _, _ := c.Count()
		want := "none was expected to"
		if c.Expected.Direct {
			want = "all were expected to"
		}
		p.Missed = append(p.Missed, fmt.Sprintf("%s to %s: %d of %d went direct, %s", c.Caller, c.Callee, direct, len(c.Dials), want))
	}
}

// gridPlots draws the distributions.
func (p *page) gridPlots(t *grid.Table, s *grid.Total) {
	var first, probes, failed []float64
	for _, d := range s.FirstBytes {
		first = append(first, d.Seconds()*1e3)
	}
	var strips []strip
	for i, row := range t.Cells {
		one := strip{Name: t.Presets[i]}
		for j := range row {
			one.Values = append(one.Values, row[j].FirstBytes()...)
			for _, d := range row[j].Dials {
				if d.Path != "" {
					probes = append(probes, float64(d.Probes))
				} else {
					failed = append(failed, float64(d.Probes))
				}
			}
		}
		slices.Sort(one.Values)
		strips = append(strips, one)
	}
	var marks []mark
	for _, q := range []float64{50, 95, 99} {
		if len(first) > 0 {
			d := grid.Percentile(s.FirstBytes, q)
			marks = append(marks, mark{d.Seconds() * 1e3, fmt.Sprintf("p%.0f %s", q, milliseconds(d))})
		}
	}
	add := func(title, text string, picture template.HTML) {
		if picture != "" {
			p.Topics = append(p.Topics, topic{title, text, picture})
		}
	}
	if len(first) > 0 {
		add("Time to the first byte", "Dials that met, by milliseconds from the call to the first answered byte.",
			histogram("Histogram of the time to the first byte", bins(first, nil, 40, false), marks, " ms"))
		add("… by the caller's NAT", "A dot is a dial, the line the median of all callees.", spreads("Time to the first byte by preset of the caller", strips))
	}
	add("Probes", "Dials by probes sent: in colour those that met, in grey those that failed.", histogram("Histogram of probes", bins(probes, failed, 40, true), nil, " probes"))
}

// gridPairs fills the table of all pairs.
func (p *page) gridPairs(t *grid.Table) {
	for _, row := range t.Cells {
		for i := range row {
			c := &row[i]
			direct, relayed, failed := c.Count()
			first := c.FirstBytes()
			share := func(n int) string { return fmt.Sprintf("%.0f %%", percent(n, len(c.Dials))) }
			p.Pairs = append(p.Pairs, pair{
				Caller: c.Caller, Callee: c.Callee, Direct: share(direct), Relayed: share(relayed), Failed: share(failed),
				P50: atPercent(first, 50), P95: atPercent(first, 95), P99: atPercent(first, 99),
				Probes: fmt.Sprintf("%.1f", c.Probes()), Error: c.Failure(), Bad: !c.Met(),
			})
		}
	}
}

// addCases adds sequence diagrams.
func (p *page) addCases(cases []Case) {
	for _, c := range cases {
		text := c.Text
		if c.Diagram.More > 0 {
			text += fmt.Sprintf("; %d more packets", c.Diagram.More)
		}
		p.Cases = append(p.Cases, sequence{Title: c.Title, Text: text, Open: len(cases) == 1, Picture: template.HTML(c.Diagram.SVG(c.Title))})
	}
	for _, k := range seq.Classes() {
		p.Legend = append(p.Legend, legend{k.ClassID(), k.String()})
	}
}

package report

import (
	"fmt"
	"strings"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
)

// Scenario returns the page about one run of a scenario.
func Scenario(f *scenario.File, r *scenario.Result, cases []Case, command string) ([]byte, error) {
	p := &page{
		Title: f.Name, Lead: fmt.Sprintf("One run of the unmodified stack, %.1f s of simulated time, %s packets sent on links, seed %d.", r.Virtual.Seconds(), thousands(int(r.Packets)), r.Seed),
		Command: command, Notes: []string{"The hash of packet times, sizes and fates is " + r.Hash + "."},
	}
	if p.Title == "" {
		p.Title = f.Path
	}
	missed := 0
	for _, o := range r.Steps {
		p.Steps = append(p.Steps, newStep(o))
		if !o.Met {
			missed++
		}
	}
	p.Good = missed == 0
	p.Verdict = fmt.Sprintf("All %d steps went as expected.", len(r.Steps))
	switch {
	case len(r.Steps) == 1:
		p.Verdict = p.Steps[0].Outcome
	case missed > 0:
		p.Verdict = fmt.Sprintf("%d of %d steps went otherwise than expected.", missed, len(r.Steps))
	}
	if len(f.Nodes) <= maxDrawn {
		p.Topology = topology("The network", scenarioNodes(f))
	}
	p.addCases(cases)
	return p.render()
}

func newStep(o scenario.Outcome) step {
	var words []string
	if o.Path != "" {
		words = append(words, o.Path)
	}
	if o.FirstByte > 0 {
		words = append(words, "first byte after "+milliseconds(o.FirstByte))
	}
	if o.Detail != "" {
		words = append(words, o.Detail)
	}
	if o.Err != "" {
		words = append(words, "failed: "+o.Err)
	}
	if !o.Met && !strings.Contains(o.Err, o.Why) {
		words = append(words, o.Why)
	}
	return step{At: fmt.Sprintf("%.3f s", o.Began.Seconds()), Text: o.Text, Outcome: strings.Join(words, ", "), Expected: o.Expected, Met: o.Met}
}

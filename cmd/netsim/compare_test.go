package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/kernel"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/netsim"
)

// The kernel can be all presets of the grid, and of the others all but a NAT64.
func TestGridIsBuildable(t *testing.T) {
	for _, x := range gridScenarios(netsim.Presets()) {
		list := kernel.Unsupported(x.file)
		if nat64 := strings.Contains(x.name, "nat64"); (len(list) > 0) != nat64 {
			t.Errorf("%s: %q", x.name, list)
		}
	}
}

// A dial is looked at once it has settled, whatever the file expects.
func TestSettled(t *testing.T) {
	f := &scenario.File{Steps: []scenario.Step{
		{Do: scenario.DoNetcheck, From: "alice", Expect: scenario.Expect{Verdicts: map[string]string{"udp": "no"}}},
		{Line: 7, Do: scenario.DoDial, From: "alice", To: "bob", Expect: scenario.Expect{Paths: []string{"lan"}}},
		{Do: scenario.DoWait, For: time.Hour},
		{Do: scenario.DoTransfer, From: "bob", To: "alice"},
	}}
	var got []string
	g, notes := settled(f)
	for _, s := range g.Steps {
		got = append(got, s.Text()+", "+s.Expect.String())
	}
	want := []string{"netcheck: alice, at most 100 % lost", "dial: alice → bob, at most 100 % lost", "wait: 3s, success", "ping: alice → bob, success",
		"wait: 3s, at most 100 % lost", "dial: bob → alice, at most 100 % lost", "wait: 3s, success", "ping: bob → alice, success"}
	if !slices.Equal(got, want) || len(f.Steps) != 4 || len(notes) != 2 || f.Steps[0].Expect.Verdicts == nil {
		t.Errorf("got %q", got)
	}
}

func TestDifferences(t *testing.T) {
	step := func(text string, change func(*scenario.Outcome)) scenario.Outcome {
		o := scenario.Outcome{Text: text, Path: "punched", Detail: "mapping none"}
		if change != nil {
			change(&o)
		}
		return o
	}
	fail := func(o *scenario.Outcome) { o.Err = "nobody" }
	lan := func(o *scenario.Outcome) { o.Path = "lan" }
	other := func(o *scenario.Outcome) { o.Detail = "mapping other" }
	for _, test := range []struct {
		text                 string
		one, two             func(*scenario.Outcome)
		simulated, kernelRun string
	}{
		{"dial: a → b", nil, lan, "", ""}, // before it has settled
		{"ping: a → b", nil, nil, "", ""},
		{"ping: a → b", nil, lan, "punched", "lan"},
		{"ping: a → b", fail, fail, "", ""},
		{"dial: a → b", nil, fail, "done", "failed (nobody)"},
		{"netcheck: a", nil, other, "mapping none", "mapping other"},
		{"online: a", nil, other, "", ""},
	} {
		got := differences(&scenario.Result{Steps: []scenario.Outcome{step(test.text, test.one)}},
			&scenario.Result{Steps: []scenario.Outcome{step(test.text, test.two)}})
		switch {
		case test.simulated == "" && len(got) > 0:
			t.Errorf("%s: %+v", test.text, got)
		case test.simulated != "" && (len(got) != 1 || got[0].Simulated != test.simulated || got[0].Kernel != test.kernelRun):
			t.Errorf("%s: %+v, want %s and %s", test.text, got, test.simulated, test.kernelRun)
		}
	}
}

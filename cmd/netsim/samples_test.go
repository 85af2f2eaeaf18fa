package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/cmd/netsim/internal/simulate"
	"github.com/bdtnet/bdt/cmd/netsim/internal/virtual"
)

const sampleDir = "../../docs/netsim/samples"

// Every sample goes as it says, and so does what init writes. Of light devices there are fewer
// here: 'netsim run docs/netsim/samples/ten-thousand.yaml' takes 10 s and 300 MB.
func TestSamples(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(sampleDir, "*.yaml"))
	if err != nil || len(paths) < 8 {
		t.Fatalf("%d samples, %v: the test does not see them", len(paths), err)
	}
	readme, err := os.ReadFile("../../docs/netsim/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(paths, "sample.yaml") {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			f, err := loadScenario(path)
			if err != nil {
				t.Fatal(err)
			}
			if f.Name == "" || len(f.Steps) == 0 {
				t.Errorf("no name, or no steps")
			}
			if strings.HasPrefix(path, sampleDir) && !strings.Contains(string(readme), "samples/"+filepath.Base(path)) {
				t.Errorf("docs/netsim/README.md does not tell of it")
			}
			const light = 200
			for i := range f.Devices {
				f.Devices[i].Count = min(f.Devices[i].Count, light)
			}
			for _, o := range simulated(t, f).Steps {
				if !o.Met {
					t.Errorf("%s:%d: %s: expected %s, but %s", path, o.Line, o.Text, o.Expected, o.Why)
				}
			}
		})
	}
}

// simulated runs a scenario in virtual time.
func simulated(t *testing.T, f *scenario.File) *scenario.Result {
	t.Helper()
	var r *scenario.Result
	err := virtual.Run(virtual.Context(t), f.Path, func(ctx context.Context) (err error) {
		r, err = simulate.Run(ctx, f, simulate.Options{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

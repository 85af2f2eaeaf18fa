package simulate

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
)

// What can be read can be drawn, or is refused: nothing in a file makes the program panic.
func FuzzDraw(f *testing.F) {
	samples, err := filepath.Glob("../../../../docs/netsim/samples/*.yaml")
	if err != nil || len(samples) == 0 {
		f.Fatalf("%d samples, %v", len(samples), err)
	}
	for _, name := range samples {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := scenario.Parse("x.yaml", text)
		if err != nil || len(s.Nodes) > 100 || len(s.Devices) > 20 {
			return
		}
		w := newWorld(s, Options{Seed: s.Seed, Logger: slog.New(slog.DiscardHandler)})
		defer w.close()
		if err := w.draw(); err != nil {
			return
		}
		for _, step := range s.Steps {
			if change, ok := changes[step.Do]; ok {
				change(w, &step) // or it is refused
			}
		}
	})
}

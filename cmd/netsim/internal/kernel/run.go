package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/cmd/netsim/internal/simulate"
)

// Options say how a scenario is run.
type Options struct {
	// Bin is the directory of the programs bdt and bdt-sn.
	Bin string
	// Progress is told of each step that is over.
	Progress func(scenario.Outcome)
	// Output is called at the end with what each program has written, by the name of the
	// device or super node. nil: nobody.
	Output func(name, text string)
}

// Programs returns the directory of the programs: dir, or, if it is empty, that of this program.
func Programs(dir string) (string, error) {
	if dir == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find bdt and bdt-sn: %w", err)
		}
		dir = filepath.Dir(self)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for _, name := range []string{"bdt", "bdt-sn"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return "", fmt.Errorf("find the programs: %w", err)
		}
		if info.IsDir() || info.Mode().Perm()&0o111 == 0 {
			return "", fmt.Errorf("find the programs: %s is no program", filepath.Join(dir, name))
		}
	}
	return dir, nil
}

// Run runs a scenario, of which [Unsupported] has nothing to say, in real time. The error is one
// of building or starting it. What is not as expected is in the result, which has neither
// packets nor hash; expected times are not looked at.
func Run(ctx context.Context, f *scenario.File, o Options) (*scenario.Result, error) {
	if list := Unsupported(f); len(list) > 0 {
		return nil, errors.New(strings.Join(list, "\n"))
	}
	if f.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, f.Limit, fmt.Errorf("the scenario has reached its limit, %v", f.Limit))
		defer cancel()
	}
	w, err := newWorld(f, o)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if err := w.draw(); err != nil {
		return nil, err
	}
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	r := &scenario.Result{Seed: f.Seed}
	begin := time.Now()
	for i := range f.Steps {
		r.Steps = append(r.Steps, w.step(ctx, &f.Steps[i], begin))
		if o.Progress != nil {
			o.Progress(r.Steps[i])
		}
	}
	r.Virtual = time.Since(begin)
	return r, nil
}

// step does a step and judges it, but for the time that it took.
func (w *world) step(ctx context.Context, s *scenario.Step, begin time.Time) scenario.Outcome {
	o := scenario.Outcome{Line: s.Line, Text: s.Text(), Began: time.Since(begin)}
	err := context.Cause(ctx)
	if err == nil {
		err = actions[s.Do](w, ctx, s, &o)
	}
	o.Took = time.Since(begin) - o.Began
	if err != nil {
		o.Err = err.Error()
	}
	timeless := *s
	timeless.Expect.Within, timeless.Expect.Stall = 0, 0
	o.Expected = timeless.Expect.String()
	simulate.Judge(&timeless, &o)
	return o
}

package simulate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/netsim"
)

// Options say how a scenario is run. The zero value is usable.
type Options struct {
	// Seed comes before the file's. 0: the file's.
	Seed uint64
	// Trace is called with every event, in order, as netsim.Network.Trace does.
	Trace func(netsim.Event)
	// Setup is called with the network when it is drawn, before anything runs on it.
	Setup func(*netsim.Network)
	// Progress is told of each step that is over. It is called from several goroutines.
	Progress func(scenario.Outcome)
	// Logger receives what super nodes and devices log, with their names as "who". nil: nobody.
	Logger *slog.Logger
}

// Run runs a scenario that Parse has returned, or one that is as consistent. The error is one
// of the scenario itself: that something cannot be drawn or started. What is not as
// expected is in the result.
func Run(ctx context.Context, f *scenario.File, o Options) (*scenario.Result, error) {
	if o.Seed == 0 {
		o.Seed = f.Seed
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if f.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, f.Limit, fmt.Errorf("the scenario has reached its limit, %v", f.Limit))
		defer cancel()
	}
	w := newWorld(f, o)
	defer w.close()
	if err := w.draw(); err != nil {
		return nil, err
	}
	if o.Setup != nil {
		o.Setup(w.net)
	}
	begin := time.Now()
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	steps := w.run(ctx)
	r := &scenario.Result{Seed: o.Seed, Steps: steps, Began: w.began, Virtual: time.Since(begin)}
	w.close()
	r.Packets, r.Hash = w.packets(), w.net.Hash()
	return r, nil
}

// Check draws the network of a scenario, and nothing runs on it. The error is that of Run: an address that two
// have, a link that cannot be.
func Check(f *scenario.File) error {
	w := newWorld(f, Options{Seed: f.Seed, Logger: slog.New(slog.DiscardHandler)})
	defer w.close()
	return w.draw()
}

// run runs the steps: a timed one at its time, another when all before it are over.
func (w *world) run(ctx context.Context) []scenario.Outcome {
	outcomes := make([]scenario.Outcome, len(w.file.Steps))
	over := make([]chan struct{}, len(outcomes))
	for i := range over {
		over[i] = make(chan struct{})
	}
	w.begin, w.began = time.Now(), w.net.Now()
	var running sync.WaitGroup
	do := func(i int, act func() error) {
		running.Go(func() {
			defer close(over[i])
			s, o := &w.file.Steps[i], &outcomes[i]
			w.step(ctx, s, o, act)
			if w.opt.Progress != nil {
				w.opt.Progress(*o)
			}
		})
	}
	for i := range outcomes {
		if s := &w.file.Steps[i]; s.Timed {
			do(i, w.prepare(ctx, s, &outcomes[i]))
		}
	}
	for i := range outcomes {
		s := &w.file.Steps[i]
		if s.Timed {
			continue
		}
		for _, before := range over[:i] {
			<-before
		}
		do(i, w.prepare(ctx, s, &outcomes[i]))
	}
	running.Wait()
	return outcomes
}

// prepare returns what a step does, which the step then calls; a change of the network is in the
// network's schedule when prepare returns.
func (w *world) prepare(ctx context.Context, s *scenario.Step, o *scenario.Outcome) func() error {
	if change, ok := changes[s.Do]; ok {
		return w.schedule(ctx, s, change)
	}
	return func() error {
		if s.Timed {
			if err := sleep(ctx, time.Until(w.begin.Add(s.At))); err != nil {
				return err
			}
		}
		o.Began = time.Since(w.begin)
		return actions[s.Do](w, ctx, s, o)
	}
}

// step runs one step, and judges it.
func (w *world) step(ctx context.Context, s *scenario.Step, o *scenario.Outcome, act func() error) {
	o.Line, o.Text, o.Expected = s.Line, s.Text(), s.Expect.String()
	o.Began = time.Since(w.begin)
	if s.Timed {
		o.Began = max(o.Began, s.At)
	}
	err := context.Cause(ctx)
	if err == nil {
		err = act()
	}
	o.Took = max(0, time.Since(w.begin)-o.Began)
	if err != nil {
		o.Err = text(err)
	}
	Judge(s, o)
}

// text is an error without the id of the peer, which means nothing to those who know names.
func text(err error) string {
	if op := (*bdt.OpError)(nil); errors.As(err, &op) {
		return strings.ReplaceAll(err.Error(), op.Error(), op.Op+": "+op.Err.Error())
	}
	return err.Error()
}

// actions are what steps do, but for changes of the network. Each fills in what it finds out.
var actions map[scenario.Action]func(w *world, ctx context.Context, s *scenario.Step, o *scenario.Outcome) error

func init() {
	actions = map[scenario.Action]func(*world, context.Context, *scenario.Step, *scenario.Outcome) error{
		scenario.DoDial:     (*world).dial,
		scenario.DoCall:     (*world).call,
		scenario.DoPing:     (*world).ping,
		scenario.DoTransfer: (*world).transfer,
		scenario.DoNetcheck: (*world).netcheck,
		scenario.DoOnline:   (*world).online,
		scenario.DoStart:    (*world).startOne,
		scenario.DoStop:     (*world).stopOne,
		scenario.DoWait:     (*world).wait,
		scenario.DoLoad:     (*world).load,
	}
}

// sleep waits for a time, or for the end of a context, whose cause it returns.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// wait lets time pass.
func (w *world) wait(ctx context.Context, s *scenario.Step, _ *scenario.Outcome) error {
	return sleep(ctx, s.For)
}

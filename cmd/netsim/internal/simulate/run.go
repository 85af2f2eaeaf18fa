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
	r := &scenario.Result{Seed: o.Seed, Steps: steps, Virtual: time.Since(begin)}
	w.close()
	r.Packets, r.Hash = w.tracer.sum()
	return r, nil
}

// run runs the steps: a timed one at its time, another when all before it are over.
func (w *world) run(ctx context.Context) []scenario.Outcome {
	outcomes := make([]scenario.Outcome, len(w.file.Steps))
	begin := time.Now()
	var running sync.WaitGroup
	defer running.Wait()
	for i := range w.file.Steps {
		s, o := &w.file.Steps[i], &outcomes[i]
		if !s.Timed {
			running.Wait()
		}
		running.Go(func() {
			if s.Timed {
				sleep(ctx, time.Until(begin.Add(s.At)))
			}
			*o = w.step(ctx, s, begin)
			if w.opt.Progress != nil {
				w.opt.Progress(*o)
			}
		})
	}
	running.Wait()
	return outcomes
}

// step runs one step, and judges it.
func (w *world) step(ctx context.Context, s *scenario.Step, begin time.Time) scenario.Outcome {
	start := time.Now()
	o := scenario.Outcome{Line: s.Line, Text: s.Text(), Began: start.Sub(begin), Expected: s.Expect.String()}
	err := context.Cause(ctx)
	if err == nil {
		err = actions[s.Do](w, ctx, s, &o)
	}
	o.Took = time.Since(start)
	if err != nil {
		o.Err = text(err)
	}
	judge(s, &o)
	return o
}

// text is an error without the id of the peer, which means nothing to those who know names.
func text(err error) string {
	if op := (*bdt.OpError)(nil); errors.As(err, &op) {
		return strings.ReplaceAll(err.Error(), op.Error(), op.Op+": "+op.Err.Error())
	}
	return err.Error()
}

// actions are what steps do. Each fills in what it finds out.
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
		scenario.DoCut:      (*world).cut,
		scenario.DoMend:     (*world).mend,
		scenario.DoSet:      (*world).set,
		scenario.DoReboot:   (*world).reboot,
		scenario.DoMove:     (*world).move,
		scenario.DoAdd:      (*world).add,
		scenario.DoRemove:   (*world).remove,
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

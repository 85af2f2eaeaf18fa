package kernel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/cmd/netsim/internal/simulate"
)

const (
	// patience bounds the wait for a program that does a step.
	patience = 30 * time.Second
	// settle is how long a path that is expected may take to come about, and look how often
	// that is looked at.
	settle = 2 * time.Second
	look   = 100 * time.Millisecond
)

// actions are what steps do. Each fills in what it finds out.
var actions = map[scenario.Action]func(w *world, ctx context.Context, s *scenario.Step, o *scenario.Outcome) error{
	scenario.DoDial:     (*world).ping,
	scenario.DoPing:     (*world).ping,
	scenario.DoNetcheck: (*world).netcheck,
	scenario.DoOnline:   (*world).online,
	scenario.DoStart:    (*world).startOne,
	scenario.DoStop:     (*world).stopOne,
	scenario.DoWait:     (*world).wait,
}

// device returns a device, which must run.
func (w *world) device(name string) (*program, error) {
	p := w.programs["device "+name]
	if p.running == nil {
		return nil, fmt.Errorf("%s does not run", name)
	}
	return p, nil
}

// command runs bdt as a device that runs, and returns what it writes.
func (w *world) command(ctx context.Context, p *program, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := p.on.Run(ctx, w.env(), p.path, append(args, "--key", p.key)...)
	if err != nil {
		err = errors.New(brief(err.Error()))
	}
	return out, err
}

// brief is what a program said was wrong: the line that names it, without what to do.
func brief(text string) string {
	for line := range strings.Lines(text) {
		if _, cause, ok := strings.Cut(line, ": exit status 1: "); ok {
			return strings.TrimSpace(cause)
		}
	}
	return strings.TrimSpace(text)
}

// A pong is one line of bdt ping --json.
type pong struct {
	Path  string   `json:"path"`
	RTT   *float64 `json:"rtt_ms"`
	Error string   `json:"error"`
}

// ping pings some times; a dial is one ping. Until the path is one that is expected it pings on,
// but not for long.
func (w *world) ping(ctx context.Context, s *scenario.Step, o *scenario.Outcome) error {
	from, err := w.device(s.From)
	if err != nil {
		return err
	}
	to := w.programs["device "+s.To].local.Device.ID().String()
	count, every := 1, look
	if s.Do == scenario.DoPing {
		count, every = s.Count, max(s.Every, time.Millisecond)
	}
	pongs, err := w.pings(ctx, from, to, count, every)
	if err != nil {
		return err
	}
	answered := 0
	for _, p := range pongs {
		if p.RTT != nil {
			answered++
		}
	}
	if s.Do == scenario.DoPing && s.Count > 1 {
		o.Detail = fmt.Sprintf("%d of %d answered", answered, s.Count)
	}
	if lost := count - answered; float64(lost) > s.Expect.Lost*float64(count) {
		return fmt.Errorf("%d of %d pings were not answered", lost, count)
	}
	for end := time.Now().Add(settle); ; {
		if o.Path = pongs[len(pongs)-1].Path; len(s.Expect.Paths) == 0 || slices.Contains(s.Expect.Paths, o.Path) || time.Now().After(end) {
			return nil
		}
		if err := sleep(ctx, look); err != nil {
			return err
		}
		if pongs, err = w.pings(ctx, from, to, 1, look); err != nil {
			return err
		}
	}
}

// pings runs bdt ping, and returns its answers, of which there is one at least.
func (w *world) pings(ctx context.Context, from *program, to string, count int, every time.Duration) (pongs []pong, err error) {
	out, err := w.command(ctx, from, "ping", to, "--json", "--count", fmt.Sprint(count), "--interval", every.String())
	if err != nil {
		return nil, err
	}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p pong
		if err := d.Decode(&p); err != nil {
			return nil, fmt.Errorf("bdt ping: %w", err)
		}
		pongs = append(pongs, p)
	}
	if len(pongs) == 0 {
		return nil, fmt.Errorf("bdt ping said nothing")
	}
	return pongs, nil
}

// netcheck examines the network of a device.
func (w *world) netcheck(ctx context.Context, s *scenario.Step, o *scenario.Outcome) error {
	p, err := w.device(s.From)
	if err != nil {
		return err
	}
	out, err := w.command(ctx, p, "netcheck", "--json")
	var r bdt.NetReport
	if wrong := json.Unmarshal(out, &r); wrong != nil { // it says what it found even if it found no super node
		if err == nil {
			err = fmt.Errorf("bdt netcheck: %w", wrong)
		}
		return err
	}
	o.Detail, err = simulate.Verdicts(&r, s.Expect)
	return err
}

// online waits until an SN serves a device.
func (w *world) online(ctx context.Context, s *scenario.Step, _ *scenario.Outcome) error {
	p, err := w.device(s.From)
	if err != nil {
		return err
	}
	return p.await(ctx)
}

// startOne starts a device or an SN.
func (w *world) startOne(ctx context.Context, s *scenario.Step, _ *scenario.Outcome) error {
	if p := w.programs[s.Target]; p != nil {
		if err := w.run(p); err != nil {
			return err
		}
		return p.await(ctx)
	}
	return w.run(w.programs["device "+s.Target])
}

// stopOne stops a device or an SN.
func (w *world) stopOne(_ context.Context, s *scenario.Step, _ *scenario.Outcome) error {
	p := w.programs[s.Target]
	if p == nil {
		p = w.programs["device "+s.Target]
	}
	if p.running != nil {
		p.running.Stop()
		p.running = nil
	}
	return nil
}

// wait lets time pass.
func (w *world) wait(ctx context.Context, s *scenario.Step, _ *scenario.Outcome) error {
	return sleep(ctx, s.For)
}

// sleep waits for a time, or for the end of a context, whose cause it returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

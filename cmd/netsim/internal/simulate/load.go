package simulate

import (
	"context"
	"fmt"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/internal/snload"
)

// load has light devices do something.
func (w *world) load(ctx context.Context, s *scenario.Step, o *scenario.Outcome) error {
	d := w.devices[s.From]
	l, err := d.light(w, s.Load.AtOnce)
	if err != nil {
		return err
	}
	var p snload.Phase
	switch s.Load.Kind {
	case "register":
		if err := l.Prepare(ctx, func(int64) {}); err != nil {
			return err
		}
		p = l.Register(ctx, func(int64) {})
	case "rest":
		p = l.Rest(ctx, s.For)
	case "ping":
		p = l.Ping(ctx, s.For, s.Load.AtOnce, func(int64) {})
	case "call":
		p = l.Call(ctx, s.For, s.Load.AtOnce, func(int64) {})
	}
	time.Sleep(time.Nanosecond) // what has happened until now has been counted after it
	o.Detail = fmt.Sprintf("%d done, %d failed, %.0f a second; latency p50 %v, p99 %v, max %v; %d online",
		p.Done, p.Failed, p.PerSecond(), brief(p.Latency.P50), brief(p.Latency.P99), brief(p.Latency.Max), l.Online())
	if all := p.Done + p.Failed; all == 0 || float64(p.Failed) > s.Expect.Lost*float64(all) {
		if p.Err != nil {
			return fmt.Errorf("%d of %d failed: %w", p.Failed, all, p.Err)
		}
		return fmt.Errorf("%d of %d failed", p.Failed, all)
	}
	return nil
}

// light returns the load that a device of many is, and opens it at first.
func (d *device) light(w *world, atOnce int) (*snload.Load, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.load != nil {
		return d.load, nil
	}
	l, err := snload.Open(snload.Config{
		Ref: d.config.SNs[0], Devices: d.Count, Network: d.host, AtOnce: atOnce, Logger: w.opt.Logger.With("who", d.Name),
	})
	d.load = l
	return l, err
}

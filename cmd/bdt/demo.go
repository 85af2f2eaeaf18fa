package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/terminal"
)

const (
	demoSize    = 64 << 20
	demoCutAt   = demoSize * 2 / 5 // when this much has arrived, the path is cut
	demoTimeout = time.Minute
	demoSettle  = 5 * time.Second // for the best path to win
	demoTick    = 50 * time.Millisecond
)

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "See two devices behind NATs find each other, and survive the loss of a path",
		Long: `Run a super node and two devices behind simulated NATs and firewalls, all in this
process and on no real network, in real time. One device dials the other by its id
alone and sends it 64 MiB; meanwhile the path that won is cut.

The status is 0 only if the paths were the expected ones and every byte arrived.`,
		Example: "  bdt demo",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), demoTimeout)
			defer cancel()
			w, err := newWorld(logger(c))
			if err != nil {
				return err
			}
			defer w.close()
			d := &demo{Terminal: terminal.New(c.OutOrStdout(), os.Getenv), world: w}
			if err := d.run(ctx, c); err != nil {
				return command.Advise(err, "run it again with -v; a machine that is very busy can be too slow for it")
			}
			return nil
		},
	}
}

// A demo is one run of the demo.
type demo struct {
	*terminal.Terminal
	world *world

	dialled     time.Time // when alice dialled
	first       time.Duration
	won, backup bdt.PathStatus
	cut         time.Time // when the path was; zero: not yet
	moved       bool      // to another path, since
	stalled     time.Duration
	took        time.Duration // of the transfer
}

// run runs the demo from one end to the other.
func (d *demo) run(ctx context.Context, c *cobra.Command) error {
	w := d.world
	d.heading("The network")
	d.Printf("  super node at %s\n", w.sn.Ref().Addr)
	for _, s := range []*site{w.alice, w.bob} {
		start := time.Now()
		if err := w.open(ctx, s, logger(c)); err != nil {
			return err
		}
		d.Printf("  %-5s behind a %s (%s) and an IPv6 firewall (%s/64)\n", s.name, s.nat, s.wan, s.prefix)
		d.Printf("        %s  %s\n", s.stack.ID(), d.Faint("online after "+milliseconds(time.Since(start))))
	}
	if _, err := w.bob.stack.ServeEcho(); err != nil {
		return err
	}
	if err := d.dial(ctx); err != nil {
		return err
	}
	if err := d.transfer(ctx); err != nil {
		return err
	}
	d.summary()
	return nil
}

// dial has alice dial bob by his id, and shows how that went.
func (d *demo) dial(ctx context.Context) error {
	alice, bob := d.world.alice.stack, d.world.bob.stack.ID()
	d.heading("alice dials bob by his id")
	d.dialled = time.Now()
	var err error
	if d.first, err = alice.Ping(ctx, bob); err != nil {
		return err
	}
	d.Printf("  first answered byte after %s\n", d.Bold(milliseconds(d.first)))
	d.won, err = d.await(ctx, func(e bdt.Explanation) bool {
		return isValid(e.Peer.Path, "direct") && slices.ContainsFunc(e.Paths, func(p bdt.PathStatus) bool { return p.Standby })
	})
	if err != nil {
		return fmt.Errorf("the direct path over IPv6 did not win, with another as a standby: %w", err)
	}
	d.explain(d.dialled, true)
	return nil
}

// await waits until alice's paths to bob are as wanted, and returns the one that
// data uses.
func (d *demo) await(ctx context.Context, want func(bdt.Explanation) bool) (bdt.PathStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, demoSettle)
	defer cancel()
	tick := time.NewTicker(demoTick)
	defer tick.Stop()
	for {
		e, _ := d.world.alice.stack.Explain(d.world.bob.stack.ID())
		if want(e) {
			return e.Peer.Path, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return e.Peer.Path, fmt.Errorf("data uses %s, %s", where(e.Peer.Path), e.Peer.Path.State)
		}
	}
}

// isValid reports whether a path is of a kind and works.
func isValid(p bdt.PathStatus, kind string) bool { return p.Kind == kind && p.State == "valid" }

// transfer has alice send to bob, and cuts the path on the way.
func (d *demo) transfer(ctx context.Context) error {
	alice, bob := d.world.alice, d.world.bob.stack
	d.heading(fmt.Sprintf("alice sends %d MiB, and loses the path on the way", demoSize>>20))
	ln, err := bob.Listen(demoService, bdt.Everyone)
	if err != nil {
		return err
	}
	defer ln.Close()
	var r receiver
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 2)
	start := time.Now()
	go func() { done <- r.serve(ln) }()
	go func() { done <- send(ctx, alice.stack, bob.ID(), demoSize) }()

	bar := d.Bar("  alice → bob", demoSize)
	defer bar.Clear()
	tick := time.NewTicker(demoTick)
	defer tick.Stop()
	for ends := 0; ends < cap(done); {
		select {
		case err := <-done:
			if err != nil {
				return err
			}
			ends++
		case <-tick.C:
			d.watch(&r, bar)
		}
	}
	bar.Clear()
	d.took, d.stalled = time.Since(start), r.stall()
	d.Printf("  %s all %d bytes arrived, SHA-256 verified, on the same stream\n", d.Good("done"), r.received())
	if d.cut.IsZero() {
		return errors.New("the transfer was over before the path was cut")
	}
	d.backup, err = d.await(ctx, func(e bdt.Explanation) bool { return isValid(e.Peer.Path, "punched") })
	if err != nil {
		return fmt.Errorf("the session did not move to the punched path over IPv4: %w", err)
	}
	d.explain(d.cut, false)
	return nil
}

// watch looks at the transfer: it cuts the path when it is time, and tells
// when data has moved to another.
func (d *demo) watch(r *receiver, bar *terminal.Bar) {
	alice := d.world.alice
	n := r.received()
	switch {
	case d.cut.IsZero() && n >= demoCutAt:
		d.cut = time.Now()
		r.mark()
		alice.cut(d.won.Remote.Addr())
		bar.Clear()
		d.Printf("  %s  alice's link under %s, after %d MiB\n", d.Bad("cut"), where(d.won), n>>20)
	case !d.cut.IsZero() && !d.moved:
		peer, _ := alice.stack.Peer(d.world.bob.stack.ID())
		if d.moved = peer.Path.Remote != d.won.Remote; d.moved {
			bar.Clear()
			d.Printf("  %s the session lives on over %s\n", d.Good("kept"), where(peer.Path))
		}
	}
	bar.Set(n)
}

// explain shows the paths from alice to bob, and the decisions since a time.
func (d *demo) explain(since time.Time, paths bool) {
	e, _ := d.world.alice.stack.Explain(d.world.bob.stack.ID())
	if paths {
		d.Printf("\n  candidates that alice tried\n")
		for _, p := range e.Paths {
			line := fmt.Sprintf("    %-8s %-10s %-26s", p.Kind, p.State, p.Remote)
			switch {
			case p.Current:
				line += " " + d.Good(milliseconds(p.RTT)+"  ← data")
			case p.Standby:
				line += " " + milliseconds(p.RTT) + "  ← standby"
			}
			d.Printf("%s\n", strings.TrimRight(line, " "))
		}
	}
	d.Printf("\n  what alice decided, and when\n")
	for _, l := range e.Lines {
		if at := l.Time.Sub(since); at >= 0 {
			d.Printf("    %s\n", d.Faint(fmt.Sprintf("%9s  %s", milliseconds(at), l.Text)))
		}
	}
}

// summary shows what was verified.
func (d *demo) summary() {
	d.heading("Summary")
	for _, row := range [][2]string{
		{"dialled by", "id alone, through the super node"},
		{"first answered byte", milliseconds(d.first)},
		{"path that won", where(d.won) + ", rtt " + milliseconds(d.won.RTT)},
		{"after the cut", where(d.backup) + ", rtt " + milliseconds(d.backup.RTT)},
		{"stall", milliseconds(d.stalled)},
		{"moved", fmt.Sprintf("%d MiB in %.1f s, %.0f Mbit/s with the stall", demoSize>>20, d.took.Seconds(), demoSize*8/1e6/d.took.Seconds())},
		{"verified", d.Good("byte count, SHA-256, kinds of both paths")},
	} {
		d.Printf("  %-20s %s\n", row[0], row[1])
	}
}

// heading begins a section.
func (d *demo) heading(s string) { d.Printf("\n%s\n", d.Bold(s)) }

// where is a path for people: its kind and the peer's address.
func where(p bdt.PathStatus) string {
	if p.Kind == "" {
		return "no path"
	}
	return fmt.Sprintf("%s %s", p.Kind, p.Remote)
}

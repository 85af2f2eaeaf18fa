package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/daemon"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/terminal"
)

// settle is how long explain gives the paths of a device that it has dialled itself.
const settle = 1500 * time.Millisecond

// An explain is the command line of explain.
type explain struct {
	caller
	asJSON bool
}

func newExplain() *cobra.Command {
	var o explain
	c := &cobra.Command{
		Use:   "explain ID|TICKET",
		Short: "See why a device is reached the way it is",
		Long: `See every address at which a device was tried, what came of it, which path its data
uses now, and the record of the decisions: what was tried, what won and why.

If a device runs here ('bdt up') it tells what it knows, and dials only if it has
had nothing to do with the other. Else this command dials, from a fresh identity
or that of --key.`,
		Example: `  bdt explain ID
  bdt explain 'bdt:ID?sn=…'
  bdt explain ID --json | jq '.paths[] | select(.current)'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completePeers,
		RunE:              func(c *cobra.Command, args []string) error { return o.run(c, args[0]) },
	}
	o.flags(c)
	c.Flags().BoolVar(&o.asJSON, "json", false, "print one JSON object")
	return c
}

// run is explain.
func (o *explain) run(c *cobra.Command, target string) error {
	d, t, err := o.device(c, target)
	if err != nil {
		return err
	}
	defer d.Close()
	ctx, id := c.Context(), t.ID()
	e, err := d.Explain(ctx, id)
	if err != nil || e.Peer.State == "idle" && len(e.Lines) == 0 {
		start := time.Now()
		conn, err := connect(c, d, id, bdt.EchoService)
		if err != nil {
			// What was tried is worth more now than ever.
			if e, e2 := d.Explain(ctx, id); e2 == nil {
				o.write(c, e, start)
			}
			return err
		}
		conn.Close()
		id = conn.RemoteAddr().(bdt.Addr).ID // of an owner's device
		select {
		case <-time.After(settle):
		case <-ctx.Done():
		}
		if e, err = d.Explain(ctx, id); err != nil {
			return adviseDial(err)
		}
	}
	return o.write(c, e, time.Now())
}

// device opens the device that knows most: the only one that runs here, if no key is
// named.
func (o *explain) device(c *cobra.Command, target string) (daemon.Device, flagvalue.Target, error) {
	t, err := parseTarget(target)
	if err != nil {
		return nil, t, err
	}
	if o.key == "" && !o.fresh {
		var any asker
		if d, err := any.open(c.Context()); err == nil {
			if d.ID() != t.ID() {
				return d, t, d.Learn(c.Context(), t.Ticket)
			}
			d.Close()
		}
	}
	d, err := o.open(c, t)
	return d, t, err
}

// write writes an explanation.
func (o *explain) write(c *cobra.Command, e *daemon.Explanation, now time.Time) error {
	if o.asJSON {
		return encode(c.OutOrStdout(), e)
	}
	t := terminal.New(c.OutOrStdout(), os.Getenv)
	_, err := fmt.Fprint(t, explanation(t, e, now))
	return err
}

// explanation is an explanation for people.
func explanation(t *terminal.Terminal, e *daemon.Explanation, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n", e.Peer.ID, e.Peer.State)
	switch {
	case e.Peer.Path != nil:
		p := e.Peer.Path
		fmt.Fprintf(&b, "data uses the path %s\n", t.Bold(strings.TrimSpace(p.Kind+" "+addrText(p.Remote))))
	case len(e.Paths) > 0:
		fmt.Fprintf(&b, "%s\n", t.Bad("no path works"))
	}
	if len(e.Paths) > 0 {
		fmt.Fprintf(&b, "\n%s\n", t.Bold("what was tried"))
		for _, p := range e.Paths {
			use := ""
			switch {
			case p.Current:
				use = t.Good("← data")
			case p.Standby:
				use = "← standby"
			}
			line := fmt.Sprintf("  %-9s %-10s %-28s %10s  %s", p.Kind, p.State, addrText(p.Remote), rttText(p.RTT), use)
			fmt.Fprintln(&b, strings.TrimRight(line, " "))
		}
	}
	if len(e.Lines) == 0 {
		return b.String()
	}
	first := e.Lines[0].Time
	fmt.Fprintf(&b, "\n%s (beginning %s ago)\n", t.Bold("what was decided"), roughly(now.Sub(first)))
	for _, l := range e.Lines {
		fmt.Fprintf(&b, "  %s  %s\n", t.Faint(fmt.Sprintf("%12s", "+"+since(l.Time.Sub(first)))), l.Text)
	}
	return b.String()
}

// since is the time from the first line to another.
func since(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f ms", inMilliseconds(d))
	}
	return d.Round(100 * time.Millisecond).String()
}

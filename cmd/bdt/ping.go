package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/daemon"
	"github.com/bdtnet/bdt/identity"
)

// A ping is the command line of ping.
type ping struct {
	caller
	count    int // 0: until stopped
	interval time.Duration
	timeout  time.Duration
	asJSON   bool
}

func newPing() *cobra.Command {
	var o ping
	c := &cobra.Command{
		Use:   "ping ID|TICKET",
		Short: "Reach a device, and tell over which path and how fast",
		Long: `Connect to a device and send it pings, each on a stream of its own. A line a ping
tells the path that data uses then:

  direct    an end has an address that everybody can reach
  lan       both are on one local network
  punched   through the NATs of both
  relayed   over a relay

and the peer's address on it. The status is 0 if any ping was answered. The id of an
owner stands for the device that answers for it.`,
		Example: `  bdt ping 'bdt:ID?sn=…'
  bdt ping ID --sn ID@sn.example:8443 -c 0 --interval 100ms
  bdt ping 'bdt:ID?sn=…' --json | jq .rtt_ms`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completePeers,
		RunE:              func(c *cobra.Command, args []string) error { return o.run(c, args[0]) },
	}
	o.flags(c)
	f := c.Flags()
	f.IntVarP(&o.count, "count", "c", 4, "how many pings; 0: until stopped")
	f.DurationVar(&o.interval, "interval", time.Second, "between the starts of two pings")
	f.DurationVar(&o.timeout, "timeout", 5*time.Second, "how long to wait for the answer to each, once connected")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON object a line")
	return c
}

// run is ping.
func (o *ping) run(c *cobra.Command, target string) error {
	if o.count < 0 || o.interval <= 0 || o.timeout <= 0 {
		return command.Usagef("--count must not be negative, --interval and --timeout must be above 0")
	}
	ctx, out := c.Context(), c.OutOrStdout()
	d, t, err := o.dial(c, target)
	if err != nil {
		return err
	}
	defer d.Close()
	start := time.Now()
	conn, err := connect(c, d, t.ID(), bdt.EchoService)
	if err != nil {
		return err
	}
	conn.Close()
	id := conn.RemoteAddr().(bdt.Addr).ID // of an owner's device, if the target is an owner
	if !o.asJSON {
		fmt.Fprintf(out, "connected to %s in %s\n", id, milliseconds(time.Since(start)))
	}
	var sum summary
	o.pings(ctx, d, id, func(p pong) {
		sum.add(p)
		p.write(out, o.asJSON)
	})
	if !o.asJSON {
		fmt.Fprintln(out, sum)
	}
	if sum.answered == 0 {
		return adviseDial(fmt.Errorf("no answer: %w", cmp.Or(sum.last, context.Canceled)))
	}
	return nil
}

// pings sends pings until they have been sent or ctx ends, and passes on what
// came of each. It gives up on a device that refuses.
func (o *ping) pings(ctx context.Context, d daemon.Device, id identity.ID, each func(pong)) {
	ticker := time.NewTicker(o.interval)
	defer ticker.Stop()
	for seq := 1; ; seq++ {
		one, cancel := context.WithTimeout(ctx, o.timeout)
		rtt, err := d.Ping(one, id)
		cancel()
		if ctx.Err() != nil {
			return
		}
		each(pong{seq, currentPath(ctx, d, id), rtt, err})
		if seq == o.count || errors.Is(err, bdt.ErrDenied) || errors.Is(err, bdt.ErrNoService) || errors.Is(err, daemon.ErrGone) {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// currentPath is the path that data to a device uses; the zero Path if there is none.
func currentPath(ctx context.Context, d daemon.Device, id identity.ID) daemon.Path {
	if e, err := d.Explain(ctx, id); err == nil && e.Peer.Path != nil {
		return *e.Peer.Path
	}
	return daemon.Path{}
}

// A pong is what came of one ping.
type pong struct {
	seq  int
	path daemon.Path // that data uses
	rtt  time.Duration
	err  error // nil: answered
}

// write writes a line.
func (p pong) write(w io.Writer, asJSON bool) {
	switch {
	case asJSON:
		json.NewEncoder(w).Encode(p.view())
	case p.err != nil:
		fmt.Fprintf(w, "%4d  no answer: %v\n", p.seq, p.err)
	default:
		fmt.Fprintf(w, "%4d  %-8s %-24s %s\n", p.seq, p.path.Kind, addrText(p.path.Remote), milliseconds(p.rtt))
	}
}

// A pongView is a pong in JSON.
type pongView struct {
	Seq   int             `json:"seq"`
	Path  string          `json:"path,omitempty"`
	Addr  *netip.AddrPort `json:"addr,omitempty"`
	RTT   *float64        `json:"rtt_ms,omitempty"` // absent: no answer
	Error string          `json:"error,omitempty"`
}

func (p pong) view() pongView {
	v := pongView{Seq: p.seq, Path: p.path.Kind, Addr: p.path.Remote}
	if p.err != nil {
		v.Error = p.err.Error()
		return v
	}
	ms := inMilliseconds(p.rtt)
	v.RTT = &ms
	return v
}

// A summary is what came of all pings.
type summary struct {
	sent, answered int
	min, max, all  time.Duration
	last           error // of the last that was not answered
}

func (s *summary) add(p pong) {
	s.sent++
	if p.err != nil {
		s.last = p.err
		return
	}
	if s.answered == 0 || p.rtt < s.min {
		s.min = p.rtt
	}
	s.max = max(s.max, p.rtt)
	s.all += p.rtt
	s.answered++
}

// String returns the counts, and the round trips if there were any.
func (s summary) String() string {
	text := fmt.Sprintf("%d of %d answered", s.answered, s.sent)
	if s.answered > 0 {
		mean := s.all / time.Duration(s.answered)
		text += fmt.Sprintf(", rtt min %s, mean %s, max %s", milliseconds(s.min), milliseconds(mean), milliseconds(s.max))
	}
	return text
}

// milliseconds is a duration for people.
func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f ms", inMilliseconds(d)) }

func inMilliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// addrText is an address, or nothing.
func addrText(a *netip.AddrPort) string {
	if a == nil {
		return ""
	}
	return a.String()
}

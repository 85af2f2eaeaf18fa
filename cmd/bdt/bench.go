package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/bench"
	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/daemon"
	"github.com/bdtnet/bdt/cmd/internal/terminal"
	"github.com/bdtnet/bdt/identity"
)

// maxStreams bounds --streams: a session takes no more at once.
const maxStreams = 64

// A measure is the command line of bench.
type measure struct {
	caller
	duration time.Duration
	streams  int
	reverse  bool
	asJSON   bool
}

func newBench() *cobra.Command {
	var o measure
	c := &cobra.Command{
		Use:   "bench ID|TICKET",
		Short: "Measure what the connection to a device carries",
		Long: `Measure the connection to a device that runs 'bdt up --serve bench': the time to
the first answered byte, throughput over some streams, and how many small requests
are answered in a second, one and 64 at a time, with their latency.

It takes twice the duration in all. Outside the device's own zone, throughput is
limited to 100 Mbit/s by the other side.`,
		Example: `  bdt bench 'bdt:ID?sn=…'
  bdt bench 'bdt:ID?sn=…' --duration 10s --streams 4 --reverse --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completePeers,
		RunE:              func(c *cobra.Command, args []string) error { return o.run(c, args[0]) },
	}
	o.flags(c)
	f := c.Flags()
	f.DurationVar(&o.duration, "duration", 5*time.Second, "how long to move bytes, and again to send requests")
	f.IntVar(&o.streams, "streams", 1, "streams that move bytes at once")
	f.BoolVar(&o.reverse, "reverse", false, "move bytes from the device to here")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON object")
	c.AddCommand(newBenchSN(), newServeSN())
	return c
}

// run is bench.
func (o *measure) run(c *cobra.Command, target string) error {
	if o.duration < 10*time.Millisecond || o.duration > bench.MaxDuration || o.streams < 1 || o.streams > maxStreams {
		return command.Usagef("--duration must be from 10ms to %v, --streams from 1 to %d", bench.MaxDuration, maxStreams)
	}
	d, t, err := o.dial(c, target)
	if err != nil {
		return err
	}
	defer d.Close()
	show := terminal.New(c.ErrOrStderr(), os.Getenv)
	tell := watch(c, d, t.ID())
	r, err := o.measure(c.Context(), d, t.ID(), show, tell)
	tell()
	if err != nil {
		return adviseDial(err)
	}
	if o.asJSON {
		return encode(c.OutOrStdout(), r)
	}
	r.write(c.OutOrStdout())
	return nil
}

// measure measures everything, and shows the progress on a live terminal. connected is
// called when the first byte is there.
func (o *measure) measure(ctx context.Context, d daemon.Device, id identity.ID, show *terminal.Terminal, connected func()) (*report, error) {
	var device atomic.Pointer[identity.ID] // an owner's device answers for it
	dial := func(ctx context.Context) (daemon.Stream, error) {
		s, err := d.Dial(ctx, id, bench.Service)
		if err == nil {
			peer := s.RemoteAddr().(bdt.Addr).ID
			device.Store(&peer)
		}
		return s, err
	}
	first, err := bench.FirstByte(ctx, dial)
	connected()
	if err != nil {
		return nil, err
	}
	dir := bench.Direction(o.reverse)
	moved := new(atomic.Int64)
	stop := follow(show.Bar(dir.String(), -1), moved)
	flow, err := bench.Move(ctx, dial, dir, o.streams, o.duration, moved)
	stop()
	if err != nil {
		return nil, err
	}
	r := &report{
		ID:          id,
		FirstByteMS: inMilliseconds(first),
		Direction:   dir.String(),
		Streams:     o.streams,
		Seconds:     flow.Elapsed.Seconds(),
		Bytes:       flow.Bytes,
		MbitPerS:    flow.BitsPerSecond() / 1e6,
	}
	for _, atOnce := range []int{1, 64} {
		q, err := bench.Ask(ctx, dial, atOnce, o.duration/2)
		if err != nil {
			return nil, err
		}
		r.Requests = append(r.Requests, requests{
			AtOnce: q.AtOnce,
			PerS:   q.PerSecond(),
			P50:    inMilliseconds(q.P50),
			P90:    inMilliseconds(q.P90),
			P99:    inMilliseconds(q.P99),
		})
	}
	p := currentPath(ctx, d, *device.Load())
	r.Path, r.Addr = p.Kind, p.Remote
	return r, nil
}

// follow shows a counter on a bar until stop is called.
func follow(bar *terminal.Bar, n *atomic.Int64) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				bar.Set(n.Load())
			case <-done:
				bar.Clear()
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// A report is what was measured.
type report struct {
	ID          identity.ID     `json:"id"`
	Path        string          `json:"path"`
	Addr        *netip.AddrPort `json:"addr"`
	FirstByteMS float64         `json:"first_byte_ms"`
	Direction   string          `json:"direction"` // "up", "down"
	Streams     int             `json:"streams"`
	Seconds     float64         `json:"seconds"`
	Bytes       int64           `json:"bytes"`
	MbitPerS    float64         `json:"mbit_per_s"`
	Requests    []requests      `json:"requests"`
}

// requests is a rate of requests, and their latency in milliseconds.
type requests struct {
	AtOnce int     `json:"at_once"`
	PerS   float64 `json:"per_s"`
	P50    float64 `json:"p50_ms"`
	P90    float64 `json:"p90_ms"`
	P99    float64 `json:"p99_ms"`
}

// write writes the report for people.
func (r *report) write(w io.Writer) {
	fmt.Fprintf(w, "%-24s %s\n", "path", strings.TrimSpace(r.Path+" "+addrText(r.Addr)))
	fmt.Fprintf(w, "%-24s %.2f ms\n", "first answered byte", r.FirstByteMS)
	fmt.Fprintf(w, "%-24s %.1f Mbit/s (%d bytes in %.2f s over %d streams)\n",
		"throughput, "+r.Direction, r.MbitPerS, r.Bytes, r.Seconds, r.Streams)
	for _, q := range r.Requests {
		fmt.Fprintf(w, "%-24s %.0f/s, latency p50 %.2f ms, p90 %.2f ms, p99 %.2f ms\n",
			fmt.Sprintf("requests, %d at once", q.AtOnce), q.PerS, q.P50, q.P90, q.P99)
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/terminal"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/snload"
)

const (
	maxLoadDevices = 500_000
	maxLoadAtOnce  = 4096
	maxFlood       = 1_000_000
	// loadSockets is how many sockets, and on Linux networks of loopback addresses, the
	// devices of a bench are spread over.
	loadSockets = 16
	loadNet     = 1 // 127.1.N.1
	// floodSources is from how many networks a flood comes.
	floodSources = 64
	floodNet     = 2
	// reachSample is how many devices are called after a restart before all are.
	reachSample = 1000
	// reachTimeout bounds the wait for all devices to be back.
	reachTimeout = 2 * time.Minute
)

// A snBench is the command line of bench sn.
type snBench struct {
	devices  int
	atOnce   int
	duration time.Duration
	rest     time.Duration
	sn       string // empty: one of its own
	pid      int
	yes      bool
	flood    int // initiations a second
	restart  bool
	kill     bool
	asJSON   bool
}

func newBenchSN() *cobra.Command {
	var o snBench
	c := &cobra.Command{
		Use:   "sn",
		Short: "Load a super node with simulated devices",
		Long: `Load a super node with simulated devices: bring them online, leave them to their
pings for a while, have them ping as fast as they can, and call each other. It
prints rates, latencies, what failed and what had to be repeated, and the super
node's memory for each device and rates per second of its processor time.

By default it starts a super node for that, on a loopback address, in a process of
its own. Another one is named by --sn; do not do that to one that others need.

A thousand devices need about 25 MB here, and a second or two to come online.`,
		Example: `  bdt bench sn
  bdt bench sn --devices 100000 --restart
  bdt bench sn --sn ID@127.0.0.1:8443 --sn-pid $(pidof bdt-sn) --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	f := c.Flags()
	f.IntVar(&o.devices, "devices", 1000, "how many devices")
	f.IntVar(&o.atOnce, "at-once", 64, "how many come online, ping or call at once")
	f.DurationVar(&o.duration, "duration", 5*time.Second, "how long to ping, and again to call")
	f.DurationVar(&o.rest, "rest", 25*time.Second, "how long to leave the devices to themselves first; 0: not at all")
	f.StringVar(&o.sn, "sn", "", "super node to load, ID@HOST:PORT (default: one of its own)")
	f.IntVar(&o.pid, "sn-pid", 0, "`PID` of that super node, if it runs on this machine, to read its processor time and memory")
	f.BoolVar(&o.yes, "yes", false, "load a super node that is not on this machine")
	f.IntVar(&o.flood, "flood", 0, "then flood it with this `MANY` forged handshakes a second, while devices ping")
	f.BoolVar(&o.restart, "restart", false, "then restart the super node, and tell when all devices can be called again")
	f.BoolVar(&o.kill, "kill", false, "restart it by SIGKILL, not SIGTERM")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON object")
	return c
}

// check refuses what makes no sense.
func (o *snBench) check() error {
	switch {
	case o.devices < 2 || o.devices > maxLoadDevices:
		return command.Usagef("--devices must be from 2 to %d", maxLoadDevices)
	case o.atOnce < 1 || o.atOnce > maxLoadAtOnce:
		return command.Usagef("--at-once must be from 1 to %d", maxLoadAtOnce)
	case o.duration < 10*time.Millisecond || o.rest < 0:
		return command.Usagef("--duration must be at least 10ms, and --rest not negative")
	case o.sn == "" && o.pid != 0:
		return command.Usagef("--sn-pid is for a super node that --sn names")
	case o.flood < 0 || o.flood > maxFlood:
		return command.Usagef("--flood must be from 0 to %d", maxFlood)
	case o.sn != "" && (o.restart || o.flood > 0):
		return command.Usagef("--restart and --flood are for the super node that the bench starts: leave out --sn")
	case o.kill && !o.restart:
		return command.Usagef("--kill says how to restart: add --restart")
	}
	return nil
}

// run is bench sn.
func (o *snBench) run(c *cobra.Command) error {
	if err := o.check(); err != nil {
		return err
	}
	target, err := o.open(c)
	if err != nil {
		return err
	}
	defer target.close()
	load, err := snload.Open(snload.Config{
		Ref: target.ref, Devices: o.devices, AtOnce: o.atOnce, Local: localAddrs(target.ref), Logger: logger(c),
	})
	if err != nil {
		return command.Advise(err, "use fewer devices with --devices")
	}
	defer load.Close()
	r := &snReport{SN: target.ref.String(), Own: target.child != nil, Devices: o.devices, AtOnce: o.atOnce}
	err = o.measure(c, target, load, r)
	if len(r.Phases) > 0 { // what was measured is shown, even if it was stopped then
		if o.asJSON {
			if err := json.NewEncoder(c.OutOrStdout()).Encode(r); err != nil {
				return err
			}
		} else {
			r.write(c.OutOrStdout())
		}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("stopped: %w", err)
	case err != nil:
		return err
	case r.Phases[0].Done == 0:
		return command.Advise(fmt.Errorf("no device came online: %s", r.Phases[0].Error),
			"check the super node given by --sn: its id, its address, and that nothing blocks UDP to it")
	}
	return nil
}

// measure runs the phases, and restarts the super node if that is asked for.
func (o *snBench) measure(c *cobra.Command, target *target, load *snload.Load, r *snReport) error {
	ctx, done := c.Context(), func() {}
	if target.child != nil {
		ctx, done = target.child.during(ctx)
	}
	err := o.phases(ctx, c, target, load, r)
	if cause := context.Cause(ctx); cause != nil && c.Context().Err() == nil {
		err = cause
	}
	if err == nil && o.flood > 0 && load.Online() > 0 {
		err = o.floodSN(ctx, target, load, r)
	}
	done()
	if err == nil && o.restart && load.Online() > 0 {
		err = o.restartSN(c, target, load, r)
	}
	return err
}

// phases runs the phases.
func (o *snBench) phases(ctx context.Context, c *cobra.Command, target *target, load *snload.Load, r *snReport) error {
	show := terminal.New(c.ErrOrStderr(), os.Getenv)
	counted := func(label string, total int, run func(snload.Progress) error) error {
		bar := show.Counter(label, int64(total))
		defer bar.Clear()
		return run(bar.Set)
	}
	if err := counted("making identities", o.devices, func(p snload.Progress) error { return load.Prepare(ctx, p) }); err != nil {
		return err
	}
	before, err := target.measure()
	if err != nil {
		return err
	}
	for _, ph := range []struct {
		name, label string
		skip        bool
		total       int
		run         func(snload.Progress) snload.Phase
	}{
		{"registrations", "coming online", false, o.devices, func(p snload.Progress) snload.Phase { return load.Register(ctx, p) }},
		{"pings, natural rate", "resting", o.rest == 0, -1, func(snload.Progress) snload.Phase { return load.Rest(ctx, o.rest) }},
		{"pings, full speed", "pinging", false, -1, func(p snload.Progress) snload.Phase { return load.Ping(ctx, o.duration, o.atOnce, p) }},
		{"calls", "calling", false, -1, func(p snload.Progress) snload.Phase { return load.Call(ctx, o.duration, o.atOnce, p) }},
	} {
		if ph.skip {
			continue
		}
		from, err := target.measure()
		if err != nil {
			return err
		}
		var got snload.Phase
		if err := counted(ph.label, ph.total, func(p snload.Progress) error { got = ph.run(p); return ctx.Err() }); err != nil && got.Done == 0 {
			return err // stopped before there was anything to tell
		}
		to, err := target.measure()
		if err != nil {
			return err
		}
		r.add(ph.name, got, to.CPU-from.CPU)
		if ph.name == "registrations" || ph.name == "pings, natural rate" {
			// After the rest, since what a handshake leaves for 10 s is not a device's.
			r.memory(before, to, load.Online())
		}
		if ctx.Err() != nil || load.Online() == 0 {
			return ctx.Err()
		}
	}
	return nil
}

// floodSN floods the super node, and measures what it makes of that.
func (o *snBench) floodSN(ctx context.Context, target *target, load *snload.Load, r *snReport) error {
	before, err := target.measure()
	if err != nil {
		return err
	}
	sent, pings, err := load.Flood(ctx, o.duration, o.flood, loopback(floodNet, floodSources), o.atOnce, nil)
	if err != nil {
		return err
	}
	after, err := target.measure()
	if err != nil {
		return err
	}
	cpu := after.CPU - before.CPU
	r.add("pings, in a flood", pings, cpu)
	f := &snFlood{
		Sent:       sent,
		Handshakes: after.Handshakes - before.Handshakes,
		Cookies:    after.Cookies - before.Cookies,
		Dropped:    after.Limited - before.Limited + after.Overload - before.Overload,
		Seconds:    pings.Elapsed.Seconds(),
	}
	if cpu > 0 {
		f.RefusedPerCPU = float64(f.Cookies+f.Dropped) / cpu.Seconds()
	}
	r.Flood = f
	return ctx.Err()
}

// restartSN restarts the super node, and measures how long it takes until the
// devices can be called again.
func (o *snBench) restartSN(c *cobra.Command, target *target, load *snload.Load, r *snReport) error {
	show := terminal.New(c.ErrOrStderr(), os.Getenv)
	start := time.Now()
	ready, err := target.restart(c, o.kill)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), reachTimeout)
	defer cancel()
	bar := show.Counter("calling after the restart", -1)
	defer bar.Clear()
	sample := load.Reach(ctx, start, reachSample, o.atOnce, bar.Set)
	all := sample
	if o.devices > reachSample {
		all = load.Reach(ctx, start, o.devices, o.atOnce, bar.Set)
	}
	bar.Clear()
	after, err := target.measure()
	if err != nil {
		return err
	}
	r.Restart = &snRestart{
		Handshakes: after.Handshakes, Moves: after.Moves, Online: load.Online(),
		Killed: o.kill, ReadyS: ready.Seconds(),
		Sample: int(sample.Done), SampleS: sample.Latency.Max.Seconds(),
		All: int(all.Done), AllS: all.Latency.Max.Seconds(), Missing: int(all.Failed),
	}
	return c.Context().Err()
}

// A target is the super node that is loaded.
type target struct {
	ref   identity.Ref
	child *childSN // nil: it is another's
	dir   string   // of the child's files
	pid   int      // 0: unknown
}

// open starts a super node, or looks at the one that the command line names.
func (o *snBench) open(c *cobra.Command) (*target, error) {
	if o.sn != "" {
		ref, err := identity.ParseRef(o.sn)
		if err != nil {
			return nil, command.Usagef("--sn: %w", err)
		}
		return &target{ref: ref, pid: o.pid}, o.mayLoad(c.Context(), ref)
	}
	dir, err := os.MkdirTemp("", "bdt-bench-sn-")
	if err != nil {
		return nil, err
	}
	child, err := startChild(c, dir, netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return &target{ref: child.Ref, child: child, dir: dir}, nil
}

// mayLoad refuses a super node that is not on this machine, unless told otherwise.
func (o *snBench) mayLoad(ctx context.Context, ref identity.Ref) error {
	host, _, err := net.SplitHostPort(ref.Addr)
	if err != nil {
		return command.Usagef("--sn: %w", err)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if !a.IsLoopback() && !o.yes {
			return command.Advise(
				command.Usagef("%s is not on this machine (%s): a bench takes all that a super node can give, from those who need it", host, a),
				"repeat it with --yes if the super node is yours and nobody else's")
		}
	}
	return nil
}

// localAddrs are the addresses that devices come from: on loopback, where Linux
// has many, one in each of some networks.
func localAddrs(ref identity.Ref) []netip.AddrPort {
	a, ok := ref.AddrPort()
	if !ok || !a.Addr().IsLoopback() || !a.Addr().Is4() || runtime.GOOS != "linux" {
		return nil
	}
	return loopback(loadNet, loadSockets)
}

// loopback are some addresses of this machine, each in a /24 of its own if Linux
// has them.
func loopback(net, n int) []netip.AddrPort {
	list := make([]netip.AddrPort, n)
	for i := range list {
		a := [4]byte{127, byte(net), byte(i), 1}
		if runtime.GOOS != "linux" {
			a = [4]byte{127, 0, 0, 1}
		}
		list[i] = netip.AddrPortFrom(netip.AddrFrom4(a), 0)
	}
	return list
}

// measure returns what the super node has used, zero if that is not known.
func (t *target) measure() (u snUsage, err error) {
	switch {
	case t.child != nil:
		return t.child.measure()
	case t.pid != 0:
		u.CPU, u.RSS, err = processUsage(t.pid)
		return u, command.Advise(err, "give the PID of the super node with --sn-pid, or leave it out")
	}
	return u, nil
}

// restart stops the super node and starts it again, with the same key and state
// and on the same address, and returns how long that took.
func (t *target) restart(c *cobra.Command, kill bool) (time.Duration, error) {
	start := time.Now()
	var sig os.Signal = syscall.SIGTERM
	if kill {
		sig = os.Kill
	}
	if err := t.child.stop(sig); err != nil {
		return 0, err
	}
	addr, _ := t.ref.AddrPort() // it was started on one
	child, err := startChild(c, t.dir, addr)
	if err != nil {
		return 0, err
	}
	t.child = child
	return time.Since(start), nil
}

// close ends what open started.
func (t *target) close() {
	if t.child != nil {
		t.child.stop(os.Kill)
		os.RemoveAll(t.dir)
	}
}

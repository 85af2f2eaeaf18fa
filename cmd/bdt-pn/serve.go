package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/cmd/internal/operator"
	"github.com/bdtnet/bdt/pn"
)

// stopLimit bounds how long the server may take to stop, once it is drained.
const stopLimit = 10 * time.Second

// A process is the server with what the operator sees of it.
type process struct {
	options options
	flags   *pflag.FlagSet
	level   *slog.LevelVar
	log     *slog.Logger
	running settings // as they were at the start
	server  *pn.Server
}

// serve runs the server until the context ends.
func serve(c *cobra.Command, o options) error {
	hangups, ignore := operator.Hangups()
	defer ignore()

	p := &process{options: o, flags: c.Flags(), level: new(slog.LevelVar)}
	var err error
	if p.running, err = load(o, p.flags); err != nil {
		return err
	}
	p.level.Set(slog.Level(p.running.LogLevel))
	p.log = operator.NewLogger(c.ErrOrStderr(), p.running.LogFormat, p.level)
	cfg, err := p.running.server()
	if err != nil {
		return err
	}
	if !p.running.Admission.anybody() {
		return command.Advise(errors.New("nobody is admitted"),
			"say who may have traffic relayed: --open for everybody, --allow ID, --allow-zone FILE, or --tokens")
	}
	local, made, err := keyfile.LoadOrMake(p.running.Key)
	if err != nil {
		return err
	}
	if made {
		p.log.Info("made a key file: keep a copy of it", "file", p.running.Key)
	}
	m := newMetrics()
	cfg.Local, cfg.Metrics, cfg.Logger = local, m, p.log
	var a *operator.Admin
	if p.running.Metrics != "" {
		if a, err = operator.NewAdmin(p.running.Metrics, m.registry, p.running.Pprof, p.log); err != nil {
			return err
		}
		defer a.Close()
	}
	if p.server, err = pn.Open(cfg); err != nil {
		return explain(err)
	}
	m.watch(p.server)
	if err := operator.Ready(c.OutOrStdout(), p.server.Addrs(), p.server.Ref(), a); err != nil {
		return errors.Join(err, p.stop())
	}
	start := time.Now()
	operator.Wait(c.Context(), hangups, func() { operator.Reload(p.log, o.config, p.change, p.server.Ref) })
	if a != nil {
		a.SetReady(false)
	}
	p.drain()
	stats := p.server.Stats()
	p.log.Info("stopping", "up", time.Since(start).Round(time.Second), "sessions", stats.Sessions,
		"bindings", stats.Pairs, "packets", stats.Packets, "bytes", stats.Bytes)
	return p.stop()
}

// anybody reports whether the settings admit anybody.
func (a *admission) anybody() bool {
	return a.Open || a.Tokens || len(a.Devices)+len(a.Zones)+len(a.Issuers) > 0
}

// drain has the devices move, as long as there is patience.
func (p *process) drain() {
	patience := time.Duration(p.running.Drain)
	if n := p.server.Stats().Pairs; n > 0 {
		p.log.Info("draining", "bindings", n, "for", patience)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p.server.Drain(ctx)
}

// stop closes the server, and gives up when that takes too long.
func (p *process) stop() error { return operator.Stop(p.server.Close, stopLimit, "") }

// explain returns an error of opening the server with what to do about it.
func explain(err error) error {
	if errors.Is(err, pn.ErrConfig) {
		return command.Advise(err, "correct that value: 'bdt-pn --help' and deploy/pn.yaml say what each setting takes")
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return command.Advise(err, "choose another port with --listen :PORT: an SN on this machine has 8444 as its second port, unless its stun-port is another")
	}
	return command.Advise(err, "choose other addresses with --listen (0.0.0.0:PORT for IPv4 alone), or check --advertise HOST:PORT")
}

// names are what the configuration file calls what [pn.Server.Reload] names.
var names = map[string]string{
	"Limits.Sessions":  "limits.sessions",
	"Limits.Pairs":     "limits.bindings",
	"Limits.Payers":    "limits.payers",
	"Limits.Workers":   "limits.workers",
	"Limits.Bandwidth": "limits.bytes-per-second.all",
	"Listen":           "listen",
	"Sockets":          "sockets",
}

// change takes over what can be changed in the configuration file, and returns what wants a
// restart.
func (p *process) change() (restart []string, err error) {
	next, err := load(p.options, p.flags)
	if err != nil {
		return nil, err
	}
	cfg, err := next.server()
	if err != nil {
		return nil, err
	}
	fields, err := p.server.Reload(cfg)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		restart = append(restart, cmp.Or(names[f], f))
	}
	for _, x := range []struct {
		name    string
		changed bool
	}{
		{"key", next.Key != p.running.Key},
		{"metrics", next.Metrics != p.running.Metrics},
		{"pprof", next.Pprof != p.running.Pprof},
		{"log-format", next.LogFormat != p.running.LogFormat},
	} {
		if x.changed {
			restart = append(restart, x.name)
		}
	}
	p.level.Set(slog.Level(next.LogLevel))
	p.running.Drain = next.Drain
	return restart, nil
}

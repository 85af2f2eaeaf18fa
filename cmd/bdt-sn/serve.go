package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/sn"
)

// stopLimit bounds how long the server may take to stop.
const stopLimit = 20 * time.Second

// A process is the server with what the operator sees of it.
type process struct {
	options options
	flags   *pflag.FlagSet
	level   *slog.LevelVar
	log     *slog.Logger
	running settings // as they were at the start
	server  *sn.Server
}

// newLogger returns a logger of a format whose level can be changed.
func newLogger(w io.Writer, f format, level *slog.LevelVar) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if f == formatJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// serve runs the server until the context ends.
func serve(c *cobra.Command, o options) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	p := &process{options: o, flags: c.Flags(), level: new(slog.LevelVar)}
	var err error
	if p.running, err = load(o, p.flags); err != nil {
		return err
	}
	p.level.Set(slog.Level(p.running.LogLevel))
	p.log = newLogger(c.ErrOrStderr(), p.running.LogFormat, p.level)
	cfg, err := p.running.server()
	if err != nil {
		return command.Advise(err, "an address is IP:PORT or :PORT")
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
	var a *admin
	if p.running.Metrics != "" {
		if a, err = newAdmin(p.running.Metrics, m, p.running.Pprof, p.log); err != nil {
			return err
		}
		defer a.close()
	}
	if p.server, err = sn.Open(cfg); err != nil {
		return explain(err)
	}
	m.watch(p.server)
	listen := flagvalue.Listen(p.server.Addrs())
	ready := fmt.Sprintf("ready id=%s listen=%s ref=%s", local.Device.ID(), listen.String(), p.server.Ref())
	if a != nil {
		a.ready.Store(true)
		ready += " metrics=" + a.listener.Addr().String()
	}
	if _, err := fmt.Fprintln(c.OutOrStdout(), ready); err != nil {
		return errors.Join(err, p.stop())
	}
	start := time.Now()
	p.wait(c.Context(), hangup)
	if a != nil {
		a.ready.Store(false)
	}
	stats := p.server.Stats()
	p.log.Info("stopping", "up", time.Since(start).Round(time.Second), "devices", stats.Devices,
		"registers", stats.Registers, "calls", stats.CallsMade)
	return p.stop()
}

// wait reads the configuration again at each hangup, until the context ends.
func (p *process) wait(ctx context.Context, hangup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			p.reload()
		}
	}
}

// stop closes the server, and gives up when that takes too long.
func (p *process) stop() error {
	done := make(chan error, 1)
	go func() { done <- p.server.Close() }()
	select {
	case err := <-done:
		return err
	case <-time.After(stopLimit):
		return errors.New("the server does not stop: some of the last changes may be missing in the state file")
	}
}

// reload takes over what can be changed in the configuration file. A file that is
// wrong changes nothing.
func (p *process) reload() {
	if p.options.config == "" {
		p.log.Warn("there is no configuration file to read again: none was named with --config")
		return
	}
	restart, err := p.change()
	if err != nil {
		p.log.Error("cannot read the configuration again: going on as before", "err", err)
		return
	}
	p.log.Info("read the configuration again", "file", p.options.config, "ref", p.server.Ref().String())
	if len(restart) > 0 {
		p.log.Warn("some changes take effect at the next start only", "changed", restart)
	}
}

// names are what the configuration file calls what [sn.Server.Reload] names.
var names = map[string]string{
	"Limits.Devices": "limits.devices",
	"Limits.Pending": "limits.pending-handshakes",
	"Limits.Objects": "limits.objects",
	"Limits.Calls":   "limits.remembered-calls",
	"Limits.Pairs":   "limits.pairs",
	"Limits.Workers": "limits.workers",
	"Listen":         "listen",
	"STUNPort":       "stun-port",
	"State":          "state",
}

// change does what reload says, and returns what wants a restart.
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
	return restart, nil
}

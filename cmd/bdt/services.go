package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/bench"
	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/daemon"
	"github.com/bdtnet/bdt/cmd/internal/fileserver"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/pipe"
)

const (
	// maxExposed bounds the streams of a service that go to a local server at once.
	maxExposed = 1024
	// localTimeout bounds the wait for a local server to accept.
	localTimeout = 10 * time.Second
	// codeNoServer resets a stream whose local server does not answer, or for which
	// there is no room; codeNoRight one that may not call.
	codeNoServer = 1
	codeNoRight  = 2
)

// services is the command line of what a device serves.
type services struct {
	builtin *flagvalue.Choices
	exposes flagvalue.Exposes
	dirs    flagvalue.Dirs
	allow   flagvalue.Policies
}

func (o *services) flags(c *cobra.Command) {
	o.builtin = builtin()
	f := c.Flags()
	settings.Flag(f, "serve", o.builtin)
	settings.Flag(f, "expose", &o.exposes)
	settings.Flag(f, "serve-dir", &o.dirs)
	settings.Flag(f, "allow", &o.allow)
}

// chosen returns the built-in services to offer.
func (o *services) chosen() []string {
	switch {
	case len(o.builtin.Chosen) == 0:
		return []string{bdt.EchoService}
	case slices.Contains(o.builtin.Chosen, noService):
		return nil
	}
	list := slices.Clone(o.builtin.Chosen)
	slices.Sort(list)
	return slices.Compact(list)
}

// names returns the services, in the order in which they start.
func (o *services) names() []string {
	list := o.chosen()
	for _, e := range o.exposes {
		list = append(list, e.Service)
	}
	for _, d := range o.dirs {
		list = append(list, d.Service)
	}
	return list
}

// check reports names that are there twice, and policies for services that are not
// there.
func (o *services) check() error {
	if len(o.builtin.Chosen) > 1 && slices.Contains(o.builtin.Chosen, noService) {
		return command.Usagef("--serve none stands alone")
	}
	names := o.names()
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return command.Advise(command.Usagef("two services are called %q", name), "give each --serve, --expose and --serve-dir a name of its own")
		}
	}
	for _, p := range o.allow {
		if p.Service != "" && !slices.Contains(names, p.Service) {
			return command.Advise(command.Usagef("--allow %s=%s is for a service that there is not", p.Service, p.Who),
				"offer it with --serve, --expose or --serve-dir, or mend the name")
		}
	}
	return nil
}

// A serving is what a device serves.
type serving struct {
	device *daemon.Local
	log    *slog.Logger
	ctx    context.Context // ends with stop
	cancel context.CancelFunc
	work   sync.WaitGroup
	closes []func() error
}

// start serves, until the context or the device ends, or stop is called.
func (o *services) start(ctx context.Context, device *daemon.Local, logger *slog.Logger) (*serving, error) {
	s := &serving{device: device, log: logger}
	s.ctx, s.cancel = context.WithCancel(ctx)
	if err := s.startAll(o); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *serving) startAll(o *services) error {
	for _, name := range o.chosen() {
		serve := s.echo
		if name == bench.Service {
			serve = s.bench
		}
		if err := serve(o.allow.For(name, "everyone")); err != nil {
			return err
		}
	}
	for _, e := range o.exposes {
		if err := s.expose(e, o.allow.For(e.Service, "zone")); err != nil {
			return err
		}
	}
	for _, d := range o.dirs {
		if err := s.directory(d, o.allow.For(d.Service, "zone")); err != nil {
			return err
		}
	}
	return nil
}

// stop ends what is served, and waits for it.
func (s *serving) stop() {
	for _, c := range s.closes {
		c()
	}
	s.cancel()
	s.work.Wait()
}

// listen opens a service and has stop close it.
func (s *serving) listen(name, who, what string) (*bdt.Listener, error) {
	ln, err := s.device.Serve(name, who, what)
	if err == nil {
		s.closes = append(s.closes, ln.Close)
	}
	return ln, err
}

func (s *serving) echo(who string) error {
	ln, err := s.listen(bdt.EchoService, who, "returns what it reads")
	if err != nil {
		return err
	}
	s.each(ln, func(c *bdt.Conn) {
		if _, err := io.Copy(c, c); err == nil {
			c.CloseWrite()
		}
		c.Close()
	})
	return nil
}

func (s *serving) bench(who string) error {
	ln, err := s.listen(bench.Service, who, "measurements")
	if err != nil {
		return err
	}
	server := bench.Server{Trusted: bdt.Caller.InOwnZone}
	s.work.Go(func() { server.Serve(s.ctx, ln) }) // ends with the listener
	return nil
}

// each has handle take the streams of a listener, each on a goroutine of its own, until
// the listener is closed. Streams end with the context.
func (s *serving) each(ln *bdt.Listener, handle func(*bdt.Conn)) {
	slots := make(chan struct{}, maxExposed)
	s.work.Go(func() {
		for {
			c, err := ln.AcceptConn(s.ctx)
			if err != nil {
				return
			}
			select {
			case slots <- struct{}{}:
			default:
				c.Reset(codeNoServer)
				continue
			}
			s.work.Go(func() {
				defer func() { <-slots }()
				defer context.AfterFunc(s.ctx, func() { c.Reset(0) })()
				handle(c)
			})
		}
	})
}

// expose passes the streams of a service on to a local server.
func (s *serving) expose(e flagvalue.Expose, who string) error {
	ln, err := s.listen(e.Service, who, e.To.String())
	if err != nil {
		return err
	}
	s.each(ln, func(c *bdt.Conn) {
		if !c.Rights().Has(bdt.MayCall) {
			c.Reset(codeNoRight)
			return
		}
		server, err := dialPlace(s.ctx, e.To)
		if err != nil {
			s.log.Warn("a local server does not answer", "service", e.Service, "peer", c.Peer().ID().Short(), "error", err)
			c.Reset(codeNoServer)
			return
		}
		if err := pipe.Join(s.ctx, c, server); err != nil {
			s.log.Debug("stream ended early", "service", e.Service, "peer", c.Peer().ID().Short(), "error", err)
		}
	})
	return nil
}

// dialPlace connects to a local server.
func dialPlace(ctx context.Context, p flagvalue.Place) (pipe.Stream, error) {
	d := net.Dialer{Timeout: localTimeout}
	c, err := d.DialContext(ctx, p.Network, p.Addr)
	if err != nil {
		return nil, err
	}
	return c.(pipe.Stream), nil // *net.TCPConn or *net.UnixConn
}

// directory serves files.
func (s *serving) directory(d flagvalue.Dir, who string) error {
	path, err := filepath.Abs(d.Path)
	if err != nil {
		return err
	}
	server, err := fileserver.Open(path, s.log)
	if err != nil {
		return command.Advise(fmt.Errorf("serve files: %w", err), "name a directory that is there with --serve-dir %s=DIR", d.Service)
	}
	s.closes = append(s.closes, server.Close)
	ln, err := s.listen(d.Service, who, "files of "+path)
	if err != nil {
		return err
	}
	s.work.Go(func() {
		if err := server.Serve(ln); err != nil && !errors.Is(err, net.ErrClosed) {
			s.log.Error("files are no longer served", "service", d.Service, "error", err)
		}
	})
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/bench"
	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/identity"
)

// slowOnline is how long to wait for a super node before saying that it takes long.
const slowOnline = 10 * time.Second

// An up is the command line of up.
type up struct {
	key       string
	owner     string
	sns       flagvalue.Refs
	listen    flagvalue.Listen
	endpoints flagvalue.Endpoints
	serve     []string
	asJSON    bool
}

func newUp() *cobra.Command {
	var o up
	c := &cobra.Command{
		Use:   "up",
		Short: "Be reachable, until stopped",
		Long: `Be a device that others can reach: register with the super nodes, and serve.

The line

  ready id=ID ticket=TICKET

on standard output says that others can dial now. The ticket is all they need.
The key is the device's identity, made on first use. SIGTERM and SIGINT stop it.

Services: echo answers pings of everybody. bench answers measurements of everybody,
but gives devices outside the own zone at most 100 Mbit/s.`,
		Example: `  # Reachable wherever this machine is
  bdt up --sn ID@sn.example:8443

  # A server with a public address needs no super node
  bdt up --listen :4433 --endpoint 203.0.113.9:4433 --serve echo --serve bench`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	f := c.Flags()
	f.StringVar(&o.key, "key", "", "key `FILE`, made if there is none (default: bdt/device.pem in your configuration directory)")
	f.StringVar(&o.owner, "owner", "", "`FILE` of the zone's owner, with or without its secret (default: what is known of it since 'bdt zone join')")
	f.Var(&o.sns, "sn", "super node, ID@HOST:PORT; may be repeated")
	f.Var(&o.listen, "listen", "local UDP address, IP:PORT or :PORT; may be repeated (default: any)")
	f.Var(&o.endpoints, "endpoint", "public address at which this device can be reached; may be repeated")
	f.StringSliceVar(&o.serve, "serve", []string{bdt.EchoService}, "`SERVICE` to offer: echo, bench; may be repeated")
	f.BoolVar(&o.asJSON, "json", false, "print the ready line as a JSON object")
	return c
}

// check reports what is wrong with the command line.
func (o *up) check() error {
	if len(o.sns)+len(o.endpoints) == 0 {
		return command.Advise(command.Usagef("nobody could find this device"),
			"name a super node with --sn ID@HOST:PORT, or the public address of this machine with --endpoint IP:PORT")
	}
	for _, s := range o.serve {
		if s != bdt.EchoService && s != bench.Service {
			return command.Advise(command.Usagef("there is no service %q", s), "choose from echo and bench")
		}
	}
	return nil
}

// run is up.
func (o *up) run(c *cobra.Command) error {
	if err := o.check(); err != nil {
		return err
	}
	ctx := c.Context()
	cfg, err := o.config(c)
	if err != nil {
		return err
	}
	stack, err := bdt.Open(cfg)
	if err != nil {
		return adviseOpen(err)
	}
	var services sync.WaitGroup
	defer services.Wait()
	defer stack.Close()
	if slices.Contains(o.serve, bdt.EchoService) {
		if _, err := stack.ServeEcho(); err != nil {
			return err
		}
	}
	if slices.Contains(o.serve, bench.Service) {
		ln, err := stack.Listen(bench.Service, bdt.Everyone)
		if err != nil {
			return err
		}
		server := bench.Server{Trusted: bdt.Caller.InOwnZone}
		services.Go(func() { server.Serve(ctx, ln) }) // ends with the listener
	}
	if len(o.sns) > 0 {
		if err := waitOnline(ctx, c.ErrOrStderr(), stack); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	o.ready(c.OutOrStdout(), stack)
	<-ctx.Done()
	return nil
}

// config reads the files that the command line names.
func (o *up) config(c *cobra.Command) (bdt.Config, error) {
	cfg := bdt.Config{SNs: o.sns, Listen: o.listen, Endpoints: o.endpoints, Logger: logger(c)}
	if o.key == "" {
		var err error
		if o.key, err = keyfile.Default("device.pem"); err != nil {
			return cfg, err
		}
	}
	device, made, err := keyfile.LoadOrMake(o.key)
	if err != nil {
		return cfg, err
	}
	if made {
		fmt.Fprintf(c.ErrOrStderr(), "made %s: keep a copy of it\n", o.key)
	}
	cfg.Device, cfg.StampFile, cfg.OwnerFile = device, stampFile(o.key), ownerFile(o.key)
	if o.owner == "" {
		return cfg, nil
	}
	if cfg.Owner, err = loadOwner(o.owner); err != nil {
		return cfg, err
	}
	err = cfg.Owner.Member(device.Device, time.Now())
	if errors.Is(err, identity.ErrExpired) {
		fmt.Fprintf(c.ErrOrStderr(), "what %s says has expired: no device is of the zone until a newer version comes\n", o.owner)
	} else if err != nil {
		return cfg, command.Advise(fmt.Errorf("%s is not of the zone of %s: %w", o.key, o.owner, err),
			"make a device of the zone with 'bdt id new --owner', or enrol one with 'bdt zone enrol'")
	}
	return cfg, nil
}

// waitOnline waits until a super node serves the device, and says so if that
// takes long. A stop meanwhile is no error.
func waitOnline(ctx context.Context, stderr io.Writer, stack *bdt.Stack) error {
	slow := time.AfterFunc(slowOnline, func() {
		fmt.Fprintln(stderr, "no super node answers yet: check --sn, and that nothing blocks UDP; still trying")
	})
	defer slow.Stop()
	err := stack.WaitOnline(ctx)
	if ctx.Err() != nil {
		return nil
	}
	superseded := func(s bdt.SNStatus) bool { return s.State == "superseded" }
	if err != nil && slices.ContainsFunc(stack.SNs(), superseded) {
		return command.Advise(err, "stop the other process that uses this key, or give this one a key of its own with --key")
	}
	return adviseDial(err)
}

// ready prints the ready line.
func (o *up) ready(w io.Writer, stack *bdt.Stack) {
	if !o.asJSON {
		fmt.Fprintf(w, "ready id=%s ticket=%s\n", stack.ID(), stack.Ticket())
		return
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // tickets hold &
	e.Encode(struct {
		Ready  bool   `json:"ready"`
		ID     string `json:"id"`
		Ticket string `json:"ticket"`
	}{true, stack.ID().String(), stack.Ticket().String()})
}

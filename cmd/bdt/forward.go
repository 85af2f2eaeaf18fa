package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/daemon"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/pipe"
)

// maxForwarded bounds the connections to one local address; the next ones wait.
const maxForwarded = 1024

// A forward is one local address and where its connections go.
type forward struct {
	local  flagvalue.Place
	target flagvalue.Target
}

func newForward() *cobra.Command {
	var o caller
	var asJSON bool
	c := &cobra.Command{
		Use:   "forward LOCAL ID/SERVICE [LOCAL ID/SERVICE]…",
		Short: "Make services of other devices local addresses",
		Long: `Listen at local addresses, and pass each connection on to a service of a device. LOCAL
is PORT, for this machine alone; HOST:PORT; :PORT for every address of this machine;
or unix:PATH. Where a connection goes is ID/SERVICE, or a ticket with s=SERVICE.

For each address a line 'ready addr=ADDR to=ID/SERVICE' on standard output says that
connections are taken. They are dialled one by one: a device that is away does not
end the command.`,
		Example: `  # The web server of a device that runs 'bdt up --expose http=8000'
  bdt forward 8080 ID/http
  curl http://127.0.0.1:8080/

  # Several, one as a Unix socket
  bdt forward 8080 'bdt:ID?sn=…&s=http' unix:/tmp/db.sock ID/db`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args)%2 != 0 {
				return fmt.Errorf("it takes pairs of a local address and ID/SERVICE; there are %d words", len(args))
			}
			return nil
		},
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args)%2 == 0 {
				return nil, cobra.ShellCompDirectiveDefault // a port, or a file's name
			}
			return peerIDs(c.Context()), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		},
		RunE: func(c *cobra.Command, args []string) error {
			list, err := parseForwards(args)
			if err != nil {
				return err
			}
			return runForwards(c, &o, list, asJSON)
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the ready lines as JSON objects")
	return c
}

// parseForwards reads pairs of a local address and a target with its service.
func parseForwards(args []string) ([]forward, error) {
	var list []forward
	for ; len(args) >= 2; args = args[2:] {
		local, err := flagvalue.ParsePlace(args[0])
		if err != nil {
			return nil, command.Advise(command.Usagef("local address %q: %w", args[0], err), "give PORT, HOST:PORT or unix:PATH, then ID/SERVICE")
		}
		target, err := parseTarget(args[1])
		if err != nil {
			return nil, err
		}
		if target.Service == "" {
			return nil, command.Advise(command.Usagef("%q names no service", args[1]), "add it: ID/SERVICE, or &s=SERVICE to a ticket")
		}
		list = append(list, forward{local, target})
	}
	return list, nil
}

// runForwards forwards until ctx ends.
func runForwards(c *cobra.Command, o *caller, list []forward, asJSON bool) error {
	targets := make([]flagvalue.Target, len(list))
	for i, f := range list {
		targets[i] = f.target
	}
	d, err := o.open(c, targets...)
	if err != nil {
		return err
	}
	defer d.Close()
	defer drain(d)
	ctx, cancel := context.WithCancelCause(c.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel(nil)
	for _, f := range list {
		ln, err := f.local.Listen(ctx)
		if err != nil {
			return command.Advise(err, "choose another local address, or stop what uses it; port 0 takes a free one")
		}
		context.AfterFunc(ctx, func() { ln.Close() })
		work.Go(func() { cancel(f.serve(ctx, c.ErrOrStderr(), d, ln)) })
		if err := f.ready(c.OutOrStdout(), ln, asJSON); err != nil {
			return err
		}
	}
	<-ctx.Done()
	if c.Context().Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// ready says that connections are taken.
func (f forward) ready(w io.Writer, ln net.Listener, asJSON bool) error {
	at := ln.Addr().String()
	if f.local.Network == "unix" {
		at = f.local.String()
	}
	to := f.target.ID().String() + "/" + f.target.Service
	if asJSON {
		return encode(w, struct {
			Ready bool   `json:"ready"`
			Addr  string `json:"addr"`
			To    string `json:"to"`
		}{true, at, to})
	}
	_, err := fmt.Fprintf(w, "ready addr=%s to=%s\n", at, to)
	return err
}

// serve takes the connections of a listener until it is closed, and waits for them.
func (f forward) serve(ctx context.Context, stderr io.Writer, d daemon.Device, ln net.Listener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	slots := make(chan struct{}, maxForwarded)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		c, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		conns.Go(func() {
			defer func() { <-slots }()
			err := f.carry(ctx, d, c.(pipe.Stream)) // *net.TCPConn or *net.UnixConn
			if err != nil && ctx.Err() == nil {
				fmt.Fprintf(stderr, "connection to %s: %v\n", f.local, err)
			}
		})
	}
}

// carry passes one connection on.
func (f forward) carry(ctx context.Context, d daemon.Device, c pipe.Stream) error {
	s, err := d.Dial(ctx, f.target.ID(), f.target.Service)
	if err != nil {
		pipe.Abandon(c)
		return err
	}
	return pipe.Join(ctx, c, s)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/daemon"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/identity"
)

// codeFailed resets a stream whose command has failed.
const codeFailed = 3

// A listen is the command line of listen.
type listen struct {
	caller
	allow   flagvalue.Policies
	once    bool
	service string
	command []string
}

func newListen() *cobra.Command {
	var o listen
	c := &cobra.Command{
		Use:   "listen SERVICE [-- COMMAND [ARG]…]",
		Short: "Take the streams of a service, on standard input and output or by a command",
		Long: `Take the streams that others open to a service. Without a command, they are taken one
after the other: what comes in goes to standard output, and standard input goes to
the first of them. With a command, it runs once for each stream, any number at a
time, with the stream as its standard input and output, and in its environment

  BDT_PEER      the id of the caller
  BDT_SERVICE   the service
  BDT_RIGHTS    what the caller may do: "call,read,write"

A command that fails resets its stream. The line 'ready id=ID service=SERVICE
ticket=TICKET' on standard error says that others can call.

If the usual device runs here ('bdt up'), or the one of --key, the service is one of
its own as long as this command lasts. Else the device lasts as long, and has a
fresh identity unless there is --key. Who may call is said by --allow; by default
it is the device's own zone.`,
		Example: `  # Receive a file from somebody who is told the ticket
  bdt listen drop --allow everyone --once --sn ID@sn.example:8443 > file
  bdt cat 'bdt:ID?sn=…&s=drop' < file

  # A command as a service
  bdt listen date --allow zone -- date -u`,
		Args: func(c *cobra.Command, args []string) error {
			n := c.ArgsLenAtDash()
			if n < 0 {
				n = len(args)
			}
			if n != 1 {
				return fmt.Errorf("it takes one service, and a command behind --; there are %d words before that", n)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			o.service, o.command = args[0], args[1:]
			return o.run(c)
		},
	}
	o.flags(c)
	o.serverFlags(c)
	settings.Flag(c.Flags(), "allow", &o.allow)
	c.Flags().BoolVar(&o.once, "once", false, "end after the first stream")
	return c
}

// run is listen.
func (o *listen) run(c *cobra.Command) error {
	if err := flagvalue.CheckService(o.service); err != nil {
		return command.Usagef("%w", err)
	}
	d, err := o.device(c)
	if err != nil {
		return err
	}
	defer d.Close()
	ctx := c.Context()
	ln, err := d.Listen(ctx, o.service, o.allow.For(o.service, "zone"))
	if errors.Is(err, bdt.ErrServiceInUse) {
		return command.Advise(err, "choose another name for the service")
	}
	if err != nil {
		return err
	}
	defer ln.Close()
	status, err := d.Status(ctx)
	if err != nil {
		return err
	}
	if err := ready(c.ErrOrStderr(), status, o.service); err != nil {
		return err
	}
	defer drain(d)
	return o.serve(ctx, c, ln)
}

// device opens the device that the service is one of.
func (o *listen) device(c *cobra.Command) (daemon.Device, error) {
	device, err := o.identity()
	if err != nil {
		return nil, err
	}
	if device != nil {
		if d, err := o.running(c.Context(), device, nil); d != nil || err != nil {
			return d, err
		}
	}
	if o.key == "" {
		device = nil
	}
	switch {
	case o.hidden():
		return nil, errNobodyFinds()
	case device == nil && o.allow.For(o.service, "") == "":
		return nil, command.Advise(command.Usagef("nobody could call: a fresh identity is of no zone"),
			"say who may with --allow everyone or --allow ID, or name the --key of a device of your zone")
	}
	d, err := o.start(c, device)
	if err != nil {
		return nil, err
	}
	if len(o.sns) > 0 {
		if err := waitOnline(c.Context(), c.ErrOrStderr(), d.(*here).Stack()); err != nil {
			d.Close()
			return nil, err
		}
	}
	return d, nil
}

// ready says that a service can be dialled, and by which ticket.
func ready(w io.Writer, s *daemon.Status, service string) error {
	ticket, err := identity.ParseTicket(s.Ticket)
	if err != nil {
		return err
	}
	ticket.Service = service
	_, err = fmt.Fprintf(w, "ready id=%s service=%s ticket=%s\n", s.ID, service, ticket)
	return err
}

// serve takes streams until ctx ends, or after the first.
func (o *listen) serve(ctx context.Context, c *cobra.Command, ln daemon.Listener) error {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, maxExposed)
	in := c.InOrStdin()
	for {
		s, err := ln.Accept(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return adviseDial(err)
		}
		switch {
		case len(o.command) == 0:
			err = transfer(ctx, s, in, c.OutOrStdout())
			in = strings.NewReader("")
		case o.once:
			err = o.execute(ctx, c, s)
		default:
			slots <- struct{}{}
			running.Go(func() {
				defer func() { <-slots }()
				if err := o.execute(ctx, c, s); err != nil {
					fmt.Fprintf(c.ErrOrStderr(), "%s: %v\n", s.RemoteAddr().(bdt.Addr).ID.Short(), err)
				}
			})
		}
		if o.once {
			return err
		}
		if err != nil && ctx.Err() == nil {
			fmt.Fprintf(c.ErrOrStderr(), "%s: %v\n", s.RemoteAddr().(bdt.Addr).ID.Short(), err)
		}
	}
}

// execute runs the command on a stream.
func (o *listen) execute(ctx context.Context, c *cobra.Command, s daemon.Stream) error {
	cmd := exec.CommandContext(ctx, o.command[0], o.command[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Second
	cmd.Stdout, cmd.Stderr = streamWriter{s}, c.ErrOrStderr()
	cmd.Env = append(os.Environ(),
		"BDT_PEER="+s.RemoteAddr().(bdt.Addr).ID.String(), "BDT_SERVICE="+o.service, "BDT_RIGHTS="+s.Rights().String())
	// Not cmd.Stdin, which Wait would wait for: the caller may say nothing.
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.Reset(codeFailed)
		return err
	}
	var copying sync.WaitGroup
	copying.Go(func() {
		io.Copy(in, s)
		in.Close()
	})
	err = cmd.Wait()
	if err != nil {
		s.Reset(codeFailed)
	} else {
		s.Close()
	}
	copying.Wait()
	return err
}

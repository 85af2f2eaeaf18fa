package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/daemon"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
)

func newCat() *cobra.Command {
	var o caller
	c := &cobra.Command{
		Use:   "cat ID|TICKET [SERVICE]",
		Short: "Connect standard input and output to a service",
		Long: `Open a stream to a service of a device, send it standard input, and write what comes
back to standard output. The end of the input ends that direction alone; the
command ends when both directions have, or, at a terminal, when the other side
has said all.

The service is the second argument, or part of the first: ID/SERVICE, or a ticket
with s=SERVICE.`,
		Example: `  # Talk to a service
  bdt cat 'bdt:ID?sn=…' chat
  echo hello | bdt cat ID/echo

  # ssh to a device that runs 'bdt up --expose ssh=22', wherever it is
  ssh -o ProxyCommand='bdt cat ID/ssh' user@device`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: completePeers,
		RunE: func(c *cobra.Command, args []string) error {
			t, err := withService(args)
			if err != nil {
				return err
			}
			d, err := o.open(c, t)
			if err != nil {
				return err
			}
			defer d.Close()
			s, err := connect(c, d, t.ID(), t.Service)
			if err != nil {
				return err
			}
			defer drain(d)
			return adviseDial(transfer(c.Context(), s, c.InOrStdin(), c.OutOrStdout()))
		},
	}
	o.flags(c)
	return c
}

// withService reads a target and the service that the next argument, or the target
// itself, names.
func withService(args []string) (flagvalue.Target, error) {
	t, err := parseTarget(args[0])
	if err != nil {
		return t, err
	}
	if len(args) > 1 {
		if err := flagvalue.CheckService(args[1]); err != nil {
			return t, command.Usagef("%w", err)
		}
		if t.Service != "" && t.Service != args[1] {
			return t, command.Usagef("two services are named, %s and %s", t.Service, args[1])
		}
		t.Service = args[1]
	}
	if t.Service == "" {
		return t, command.Advise(command.Usagef("no service is named"), "name it behind the id: %s ID SERVICE, or ID/SERVICE", "bdt cat")
	}
	return t, nil
}

// transfer sends in to a stream, and what comes back to out, until both have ended or
// ctx does; then it closes the stream. A direction that fails ends both.
func transfer(ctx context.Context, s daemon.Stream, in io.Reader, out io.Writer) error {
	stop := context.AfterFunc(ctx, func() { s.SetDeadline(time.Now()) })
	defer stop()
	sent := make(chan error, 1)
	go func() { // ends with the process, at the latest: a read of standard input cannot be stopped
		_, err := io.Copy(streamWriter{s}, in)
		if err == nil {
			err = s.CloseWrite()
		}
		sent <- err
	}()
	_, err := io.Copy(out, struct{ io.Reader }{s})
	if err != nil {
		s.Reset(0)
		if ctx.Err() != nil {
			return errStopped
		}
		return err
	}
	if isTerminal(in) {
		s.Close()
		return nil
	}
	select {
	case err = <-sent:
	case <-ctx.Done():
		err = errStopped
	}
	s.Close()
	return err
}

// streamWriter hides everything but Write.
type streamWriter struct{ io.Writer }

// errStopped: a signal has ended what was not done yet.
var errStopped = errors.New("stopped before the end")

// isTerminal reports whether a person types what is read.
func isTerminal(in io.Reader) bool {
	f, ok := in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

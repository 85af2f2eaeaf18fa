package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/cmd/internal/qrcode"
	"github.com/bdtnet/bdt/cmd/internal/terminal"
)

const (
	// slowOnline is how long to wait for a super node before saying that it takes long.
	slowOnline = 10 * time.Second
	// watchEvery is how often to look whether another process has taken over the key.
	watchEvery = time.Second
)

// An up is the command line of up.
type up struct {
	caller
	offer  services
	keep   flagvalue.Switch
	qr     bool
	asJSON bool
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
While it runs, other commands with this key go through it, as do those without a
key if this is the usual one.

What others can use:

  --serve echo         answers pings
  --serve bench        answers measurements; outside the zone at most 100 Mbit/s
  --expose NAME=ADDR   a TCP server of this machine or network, or a Unix socket
  --serve-dir NAME=DIR files, over HTTP: GET and HEAD to read, PUT and DELETE to write

Who may use it: --allow WHO,… for all, --allow NAME=WHO,… for one service. WHO is

  everyone, zone (this device's owner's devices), friends (--friend), nobody,
  or the id of a device or of an owner

and may end in a colon and letters: c to call, r to read, w to write. Unless told
otherwise, echo and bench are open to everyone and the others to the zone.

The status is 1 if another process takes this key over at the super nodes; --keep
stays nevertheless.`,
		Example: `  # Reachable wherever this machine is
  bdt up --sn ID@sn.example:8443

  # A web server for one's own devices and a friend, files for everyone to read
  bdt up --sn ID@sn.example:8443 --expose http=8000 --allow http=zone,ID \
         --serve-dir pub=/srv/pub --allow pub=zone,everyone:r

  # A server with a public address needs no super node
  bdt up --listen :4433 --endpoint 203.0.113.9:4433 --serve echo --serve bench

  # The ticket as a QR code, for a phone
  bdt up --sn ID@sn.example:8443 --qr`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	o.flags(c)
	o.serverFlags(c)
	o.offer.flags(c)
	f := c.Flags()
	f.Lookup("fresh").Hidden = true // a device that nobody can find again
	settings.Flag(f, "keep", &o.keep)
	f.BoolVar(&o.qr, "qr", false, "show the ticket as a QR code, too, on standard error")
	f.BoolVar(&o.asJSON, "json", false, "print the ready line as a JSON object")
	return c
}

// check reports what is wrong with the command line.
func (o *up) check() error {
	if o.hidden() {
		return errNobodyFinds()
	}
	return o.offer.check()
}

// hidden reports whether nobody could find this device, not even on the local network.
func (o *caller) hidden() bool {
	return len(o.sns)+len(o.endpoints) == 0 && bool(o.noLAN)
}

func errNobodyFinds() error {
	return command.Advise(command.Usagef("nobody could find this device"),
		"name a super node with --sn ID@HOST:PORT, or the public address of this machine with --endpoint IP:PORT; or leave out --no-lan")
}

// run is up.
func (o *up) run(c *cobra.Command) error {
	if err := o.check(); err != nil {
		return err
	}
	cfg, err := o.config(c)
	if err != nil {
		return err
	}
	h, err := openHere(c, cfg)
	if err != nil {
		return err
	}
	defer h.Close()
	ctx := c.Context()
	served, err := o.offer.start(ctx, h.Local, cfg.Logger)
	if err != nil {
		return err
	}
	defer served.stop()
	stack := h.Stack()
	if len(o.sns) > 0 {
		if err := waitOnline(ctx, c.ErrOrStderr(), stack); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	if err := o.ready(c, stack); err != nil {
		return err
	}
	return o.stay(ctx, c.ErrOrStderr(), stack)
}

// config makes the key if there is none, and reads the files that are named.
func (o *up) config(c *cobra.Command) (bdt.Config, error) {
	if o.fresh {
		return o.caller.config(c, nil)
	}
	if o.key == "" {
		path, err := keyfile.Default(deviceFile)
		if err != nil {
			return bdt.Config{}, err
		}
		o.key = flagvalue.Text(path)
	}
	device, made, err := keyfile.LoadOrMake(o.key.String())
	if err != nil {
		return bdt.Config{}, err
	}
	if made {
		fmt.Fprintf(c.ErrOrStderr(), "made %s: keep a copy of it\n", o.key.String())
	}
	return o.caller.config(c, device)
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
	if err != nil && superseded(stack) != "" {
		return errSuperseded(superseded(stack))
	}
	return adviseDial(err)
}

// superseded returns the super node at which another process with this key has taken
// this device's place, or nothing.
func superseded(stack *bdt.Stack) string {
	i := slices.IndexFunc(stack.SNs(), func(s bdt.SNStatus) bool { return s.State == "superseded" })
	if i < 0 {
		return ""
	}
	return stack.SNs()[i].Ref.String()
}

func errSuperseded(ref string) error {
	return command.Advise(fmt.Errorf("another process with this key has taken over at super node %s, and gets the calls now", ref),
		"stop the other process, on whichever machine it runs, or give this one a key of its own with --key; --keep stays nevertheless")
}

// ready prints the ready line.
func (o *up) ready(c *cobra.Command, stack *bdt.Stack) error {
	ticket := stack.Ticket().String()
	if o.qr {
		if err := qrcode.Write(c.ErrOrStderr(), ticket, false); err != nil {
			return err
		}
	}
	if o.asJSON {
		return encode(c.OutOrStdout(), struct {
			Ready  bool   `json:"ready"`
			ID     string `json:"id"`
			Ticket string `json:"ticket"`
		}{true, stack.ID().String(), ticket})
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "ready id=%s ticket=%s\n", stack.ID(), ticket)
	return err
}

// stay waits for the end of ctx, or for another process that takes the key over.
func (o *up) stay(ctx context.Context, stderr io.Writer, stack *bdt.Stack) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	said := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		ref := superseded(stack)
		switch {
		case ref == "" || said:
		case !bool(o.keep):
			return errSuperseded(ref)
		default:
			said = true
			fmt.Fprintln(terminal.New(stderr, os.Getenv), errors.Unwrap(errSuperseded(ref)))
		}
	}
}

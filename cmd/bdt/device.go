package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/daemon"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/identity"
)

// A caller is the command line of what uses a device: which one, and through which
// super nodes.
type caller struct {
	key       flagvalue.Text
	fresh     bool
	owner     flagvalue.Text
	friends   flagvalue.IDs
	sns       flagvalue.Refs
	pns       flagvalue.Refs
	pnTokens  flagvalue.RelayTokens
	listen    flagvalue.Listen
	endpoints flagvalue.Endpoints
	visible   flagvalue.Visibility
	noLAN     flagvalue.Switch
	keepAlive flagvalue.Duration
}

// flags adds the flags of what dials.
func (o *caller) flags(c *cobra.Command) {
	f := c.Flags()
	settings.Flag(f, "key", &o.key)
	settings.Flag(f, "sn", &o.sns)
	settings.Flag(f, "pn", &o.pns)
	settings.Flag(f, "pn-token", &o.pnTokens)
	settings.Flag(f, "listen", &o.listen)
	settings.Flag(f, "no-lan", &o.noLAN)
	f.BoolVar(&o.fresh, "fresh", false, "use a fresh identity, for this once")
	c.MarkFlagsMutuallyExclusive("fresh", "key")
}

// serverFlags adds those of what is dialled, too.
func (o *caller) serverFlags(c *cobra.Command) {
	f := c.Flags()
	settings.Flag(f, "owner", &o.owner)
	settings.Flag(f, "friend", &o.friends)
	settings.Flag(f, "endpoint", &o.endpoints)
	settings.Flag(f, "visible", &o.visible)
	settings.Flag(f, "keepalive", &o.keepAlive)
}

// dial opens the device to dial a target from.
func (o *caller) dial(c *cobra.Command, target string) (daemon.Device, flagvalue.Target, error) {
	t, err := parseTarget(target)
	if err != nil {
		return nil, t, err
	}
	d, err := o.open(c, t)
	return d, t, err
}

// open opens the device to dial some targets from: the running one whose key it is, or
// one of this process.
func (o *caller) open(c *cobra.Command, targets ...flagvalue.Target) (daemon.Device, error) {
	device, err := o.identity()
	if err != nil {
		return nil, err
	}
	d, err := o.find(c, device, targets)
	if err != nil {
		return nil, err
	}
	for _, t := range targets {
		if len(t.Ticket.SNs) == 0 && len(o.sns) <= identity.MaxTicketSNs {
			t.Ticket.SNs = o.sns // a running device may not know of them
		}
		if !tells(t.Ticket) {
			continue // or what an earlier ticket said would be forgotten
		}
		if err := d.Learn(c.Context(), t.Ticket); err != nil {
			d.Close()
			return nil, err
		}
	}
	return d, nil
}

// find returns the running device, or starts one in this process; device is nil for a
// fresh one.
func (o *caller) find(c *cobra.Command, device *identity.LocalDevice, targets []flagvalue.Target) (daemon.Device, error) {
	ctx := c.Context()
	for end := time.Now().Add(holdPatience); ; {
		if device != nil {
			if d, err := o.running(ctx, device, targets); d != nil || err != nil {
				return d, err
			}
		}
		if device != nil && o.key == "" {
			device = nil // a device that does not run, and was not asked for
		}
		if err := o.checkRoutes(targets); err != nil {
			return nil, err
		}
		d, err := o.start(c, device)
		if _, held := errors.AsType[*daemon.HeldError](err); !held || time.Now().After(end) {
			return d, err
		}
		select { // another process is about to open its socket, or to end
		case <-time.After(holdPatience / 20):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// holdPatience is how long to wait for a process that holds a key and cannot be
// talked to.
const holdPatience = 2 * time.Second

// identity returns the device whose key was named, or else that of the usual key
// file, or nil for a fresh one.
func (o *caller) identity() (*identity.LocalDevice, error) {
	switch {
	case o.fresh:
		o.key = "" // of the environment or the configuration file
		return nil, nil
	case o.key != "":
		return keyfile.Load(o.key.String())
	}
	path, err := keyfile.Default(deviceFile)
	if err != nil {
		return nil, nil
	}
	device, err := identity.LoadDevice(path)
	if err != nil {
		return nil, nil // whatever is wrong with it, it was not asked for
	}
	return device, nil
}

// deviceFile is the usual key file's name.
const deviceFile = "device.pem"

// running returns the device if another process runs it, nil if none does. One of
// the usual key that is itself a target is left alone.
func (o *caller) running(ctx context.Context, device *identity.LocalDevice, targets []flagvalue.Target) (daemon.Device, error) {
	id := device.Device.ID()
	for _, t := range targets {
		switch {
		case t.ID() != id:
		case o.key == "":
			return nil, nil
		default:
			return nil, command.Advise(command.Usagef("%s holds the key of the very device to reach", o.key.String()),
				"leave out --key, or name that of another device")
		}
	}
	d, err := daemon.Connect(ctx, id)
	if errors.Is(err, daemon.ErrNotRunning) {
		return nil, nil
	}
	if err != nil {
		return nil, adviseDaemon(err)
	}
	return d, nil
}

// checkRoutes reports targets of which nobody could say where they are: a device may
// be on the local network.
func (o *caller) checkRoutes(targets []flagvalue.Target) error {
	if len(o.sns) > 0 {
		return nil
	}
	told := make(map[identity.ID]bool)
	for _, t := range targets {
		found := !bool(o.noLAN) && t.ID().Type() == identity.TypeDevice
		told[t.ID()] = told[t.ID()] || tells(t.Ticket) || found
	}
	for _, ok := range told {
		if !ok {
			return command.Advise(
				command.Usagef("an id alone does not say whom to ask where the device is"),
				"name a super node with --sn ID@HOST:PORT, or give the ticket that 'bdt up' has printed; or leave out --no-lan if the device is on this network")
		}
	}
	return nil
}

// tells reports whether a ticket says where to find whom it names.
func tells(t identity.Ticket) bool {
	return len(t.SNs)+len(t.Endpoints) > 0 || t.Device != nil
}

// start opens a device in this process; device is nil for a fresh one.
func (o *caller) start(c *cobra.Command, device *identity.LocalDevice) (daemon.Device, error) {
	cfg, err := o.config(c, device)
	if err != nil {
		return nil, err
	}
	h, err := openHere(c, cfg)
	if err != nil {
		return nil, err // not a nil *here in a Device
	}
	return h, nil
}

// config is how a stack of the device, nil for a fresh one, is configured.
func (o *caller) config(c *cobra.Command, device *identity.LocalDevice) (bdt.Config, error) {
	cfg := bdt.Config{
		Device:     device,
		SNs:        o.sns,
		PNs:        o.pns,
		PNTokens:   o.pnTokens,
		Listen:     o.listen,
		Endpoints:  o.endpoints,
		Friends:    o.friends,
		Visibility: bdt.Visibility(o.visible),
		NoLAN:      bool(o.noLAN),
		KeepAlive:  time.Duration(o.keepAlive),
		Logger:     logger(c),
	}
	if device == nil {
		return cfg, nil
	}
	key := o.key.String()
	cfg.StampFile, cfg.OwnerFile = stampFile(key), ownerFile(key)
	if o.owner == "" {
		return cfg, nil
	}
	file := o.owner.String()
	var err error
	if cfg.Owner, err = loadOwner(file); err != nil {
		return cfg, err
	}
	err = cfg.Owner.Member(device.Device, time.Now())
	if errors.Is(err, identity.ErrExpired) {
		fmt.Fprintf(c.ErrOrStderr(), "what %s says has expired: no device is of the zone until a newer version comes\n", file)
	} else if err != nil {
		return cfg, command.Advise(fmt.Errorf("%s is not of the zone of %s: %w", key, file, err),
			"make a device of the zone with 'bdt id new --owner', or enrol one with 'bdt zone enrol'")
	}
	return cfg, nil
}

// here is a device of this process, which holds its key if it has one.
type here struct {
	*daemon.Local
	server *daemon.Server // nil: a fresh identity
}

// Close stops the device and what others do with it.
func (h *here) Close() error {
	if h.server != nil {
		h.server.Close()
	}
	return h.Local.Close()
}

// openHere opens a device of this process. While it runs, others use it through this
// process; if another runs it already, the error says which.
func openHere(c *cobra.Command, cfg bdt.Config) (*here, error) {
	about := daemon.About{Command: c.CommandPath(), Version: c.Root().Version, Started: time.Now()}
	var claim *daemon.Claim
	if cfg.Device != nil {
		var err error
		claim, err = daemon.Take(cfg.Device.Device.ID(), daemon.Holder{PID: os.Getpid(), Command: about.Command, Started: about.Started})
		if err != nil {
			return nil, adviseDaemon(err)
		}
	}
	stack, err := bdt.Open(cfg)
	if err != nil {
		if claim != nil {
			claim.Release()
		}
		return nil, adviseOpen(err)
	}
	h := &here{Local: daemon.NewLocal(stack, about)}
	if claim == nil {
		return h, nil
	}
	if h.server, err = daemon.Serve(claim, h.Local, cfg.Logger); err != nil {
		claim.Release()
		stack.Close()
		return nil, err
	}
	return h, nil
}

// adviseDaemon returns err, from finding or becoming the process that runs a device,
// with what to do about it.
func adviseDaemon(err error) error {
	if held, ok := errors.AsType[*daemon.HeldError](err); ok {
		if held.PID == 0 {
			return command.Advise(err, "wait for its end, or use another key with --key")
		}
		return command.Advise(err, "stop it with 'kill %d', or use another key with --key; other commands with this key go through it", held.PID)
	}
	if errors.Is(err, daemon.ErrVersion) {
		return command.Advise(err, "stop the process that runs this device, and start it with this version of bdt")
	}
	return err
}

// parseTarget reads the ID or TICKET argument, with or without a service.
func parseTarget(s string) (flagvalue.Target, error) {
	t, err := flagvalue.ParseTarget(s)
	if err != nil {
		return t, command.Advise(command.Usagef("%q is neither an id nor a ticket: %w", s, err),
			"give the id or the ticket of the other side's 'ready' line, in quotes: 'bdt id show' tells what it names")
	}
	return t, nil
}

// stampFile is where the last stamp of a key's device is kept.
func stampFile(key string) string { return key + ".stamp" }

func adviseOpen(err error) error {
	if errors.Is(err, bdt.ErrOwnerFile) {
		return command.Advise(err, "put back a copy of the file, or remove it: what it knew of revocations is then not known until a super node tells")
	}
	return command.Advise(err, "give a local address that is free with --listen, or leave it out")
}

// adviseDial returns err, from reaching a device, with what to do about it.
func adviseDial(err error) error {
	for _, a := range []struct {
		cause  error
		advice string
	}{
		{bdt.ErrOwnerNotFound, "check the id, and that a device of the owner is online at a common super node; or dial the owner's ticket: 'bdt zone show'"},
		{bdt.ErrNoOOD, "the owner has to name a device that answers for it: 'bdt zone ood add'"},
		{bdt.ErrNotOOD, "the owner names a device that was not made for it: it has to be made anew with the owner's id, or left out: 'bdt zone ood remove'"},
		{bdt.ErrRevoked, "the owner has revoked the device, or has to run 'bdt zone renew'"},
		{bdt.ErrNotFound, "check the id, that 'bdt up' runs there, and that both use a common super node (or dial its ticket)"},
		{bdt.ErrOffline, "check the super node, given by --sn or in the ticket: its id, its address, and that nothing blocks UDP to it"},
		{bdt.ErrNoRoute, "the device is not on this network: name a super node with --sn ID@HOST:PORT, or dial a ticket; a loopback address takes --listen 127.0.0.1:0"},
		{bdt.ErrUnreachable, "check that 'bdt up' still runs there; if it does, the NATs of both let nothing through: try from another network"},
		{bdt.ErrDenied, "the other side decides who may use a service: ask for 'bdt up --allow SERVICE=YOUR-ID', or to be of its zone"},
		{bdt.ErrNoService, "the other side has to offer it: 'bdt up --serve', --expose, --serve-dir or 'bdt listen'"},
		{bdt.ErrBusy, "wait a little, and run it again"},
		{bdt.ErrPeerRestarted, "run it again"},
		{bdt.ErrPeerLost, "check that the other side still has a network, and run it again"},
		{daemon.ErrGone, "start it again: 'bdt up'"},
		{daemon.ErrUnknown, "dial it first: 'bdt ping'"},
		{bdt.ErrPeerClosed, "start 'bdt up' again on the other side"},
	} {
		if errors.Is(err, a.cause) {
			return command.Advise(err, "%s", a.advice)
		}
	}
	if _, ok := errors.AsType[*bdt.ResetError](err); ok {
		return command.Advise(err, "the service broke off: what runs it on the other side, such as 'bdt up', says why")
	}
	return err
}

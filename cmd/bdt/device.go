package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/identity"
)

// A caller is the command line of what dials a device: who calls, and through
// which super nodes.
type caller struct {
	key    string
	sns    flagvalue.Refs
	listen flagvalue.Listen
}

func (o *caller) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.key, "key", "", "key `FILE` of this device, which no running 'bdt up' uses (default: a fresh identity, for this once)")
	f.Var(&o.sns, "sn", "super node, ID@HOST:PORT; may be repeated (default: those of the ticket)")
	f.Var(&o.listen, "listen", "local UDP address, IP:PORT or :PORT; may be repeated (default: any)")
}

// open opens a stack and returns it with the id of the device that target, an
// id or a ticket, names.
func (o *caller) open(c *cobra.Command, target string) (*bdt.Stack, identity.ID, error) {
	ticket, err := parseTarget(target)
	if err != nil {
		return nil, identity.ID{}, err
	}
	if len(o.sns)+len(ticket.SNs)+len(ticket.Endpoints) == 0 && ticket.Device == nil {
		return nil, identity.ID{}, command.Advise(
			command.Usagef("an id alone does not say whom to ask where the device is"),
			"name a super node with --sn ID@HOST:PORT, or give the ticket that 'bdt up' has printed")
	}
	cfg := bdt.Config{SNs: o.sns, Listen: o.listen, Logger: logger(c)}
	if o.key != "" {
		if cfg.Device, err = keyfile.Load(o.key); err != nil {
			return nil, identity.ID{}, err
		}
		cfg.StampFile, cfg.OwnerFile = stampFile(o.key), ownerFile(o.key)
	}
	if cfg.Device != nil && cfg.Device.Device.ID() == ticket.Peer() {
		return nil, identity.ID{}, command.Advise(
			command.Usagef("%s holds the key of the very device to reach", o.key),
			"leave out --key, or name that of another device")
	}
	stack, err := bdt.Open(cfg)
	if err != nil {
		return nil, identity.ID{}, adviseOpen(err)
	}
	if err := stack.Learn(ticket); err != nil {
		stack.Close()
		return nil, identity.ID{}, err
	}
	return stack, ticket.Peer(), nil
}

// parseTarget reads the ID or TICKET argument.
func parseTarget(s string) (identity.Ticket, error) {
	t, err := identity.ParseTicket(s)
	if err != nil {
		return t, command.Advise(command.Usagef("%q is neither an id nor a ticket: %w", s, err),
			"give the id or the ticket of the other side's 'ready' line, in quotes")
	}
	if id := t.Peer(); id.Type() != identity.TypeDevice && id.Type() != identity.TypePeople {
		return t, command.Advise(command.Usagef("%s is of type %s, not a device or an owner", s, t.ID.Type()),
			"give the id of a device or an owner: 'bdt id show' tells what an id names")
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
		{bdt.ErrRevoked, "the owner has revoked the device, or has to run 'bdt zone renew'"},
		{bdt.ErrNotFound, "check the id, that 'bdt up' runs there, and that both use a common super node (or dial its ticket)"},
		{bdt.ErrOffline, "check the super node, given by --sn or in the ticket: its id, its address, and that nothing blocks UDP to it"},
		{bdt.ErrNoRoute, "name a super node with --sn ID@HOST:PORT, or dial a ticket; a loopback address takes --listen 127.0.0.1:0"},
		{bdt.ErrUnreachable, "check that 'bdt up' still runs there; if it does, the NATs of both let nothing through: try from another network"},
		{bdt.ErrDenied, "the other side decides who may use a service: ask for 'bdt up --serve', or to be of its zone"},
		{bdt.ErrNoService, "the other side has to offer it: 'bdt up --serve echo --serve bench'"},
		{bdt.ErrBusy, "wait a little, and run it again"},
		{bdt.ErrPeerRestarted, "run it again"},
		{bdt.ErrPeerLost, "check that the other side still has a network, and run it again"},
		{bdt.ErrPeerClosed, "start 'bdt up' again on the other side"},
	} {
		if errors.Is(err, a.cause) {
			return command.Advise(err, "%s", a.advice)
		}
	}
	return err
}

// where is a path for people: its kind and the peer's address.
func where(p bdt.PathStatus) string {
	if p.Kind == "" {
		return "no path"
	}
	return fmt.Sprintf("%s %s", p.Kind, p.Remote)
}

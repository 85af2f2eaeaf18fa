package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/identity"
)

func newZoneShow() *cobra.Command {
	var o ownerKey
	c := &cobra.Command{
		Use:   "show [FILE|ID|TICKET]",
		Short: "Show what an owner says: which devices answer for it, which are revoked, until when",
		Long: `Show what an owner says: the one whose key is on this machine, the one in a file, or
the one with an id, which super nodes are asked for. The ticket is what others dial the
owner by; it names the super nodes that are given.`,
		Example: `  bdt zone show --sn ID@sn.example:8443
  bdt zone show me.pub
  bdt zone show 'bdt:OWNER-ID?sn=…' --json | jq .revoked`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := o.find(c, args)
			if err != nil {
				return err
			}
			return o.printZone(c, p)
		},
	}
	o.fileFlags(c)
	o.snFlags(c, "super node to ask, and to name in the ticket, ID@HOST:PORT; may be repeated")
	return c
}

// find returns the owner that the command line names.
func (o *ownerKey) find(c *cobra.Command, args []string) (*identity.People, error) {
	if len(args) == 0 {
		owner, _, err := o.load()
		if err != nil {
			return nil, err
		}
		return owner.People, nil
	}
	if _, err := os.Stat(args[0]); err == nil {
		return loadOwner(args[0])
	}
	t, err := identity.ParseTicket(args[0])
	if err != nil || t.Peer().Type() != identity.TypePeople {
		return nil, command.Advise(command.Usagef("%q is no file, nor the id or ticket of an owner", args[0]),
			"'bdt id show' tells what an id names, and the owner of a device")
	}
	o.sns = append(o.sns, t.SNs...)
	if len(o.sns) == 0 {
		return nil, command.Advise(command.Usagef("an id alone does not say whom to ask for the owner"), "name a super node with --sn ID@HOST:PORT")
	}
	stack, err := o.open(c)
	if err != nil {
		return nil, err
	}
	defer stack.Close()
	ctx, cancel := context.WithTimeout(c.Context(), publishTimeout)
	defer cancel()
	p, err := stack.FindOwner(ctx, t.Peer())
	return p, adviseDial(err)
}

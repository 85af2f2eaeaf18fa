package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/identity"
)

func newZoneRevoke() *cobra.Command {
	var o ownerKey
	c := &cobra.Command{
		Use:   "revoke ID|FILE…",
		Short: "Put devices out of the zone, for good",
		Long: `Revoke devices that are lost, sold or stolen. They are no longer of the zone, and no
longer answer for the owner. This cannot be taken back: a device that is found again is
made anew.

With a super node (--sn) it is published at once. A device of the zone that is online
and has the revoked one as its guest learns of it in about 2 minutes, or when that
calls, and ends what it has open there.`,
		Example: `  bdt zone revoke PHONE-ID --sn ID@sn.example:8443`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ids, err := deviceIDs(args)
			if err != nil {
				return err
			}
			p, err := o.change(c, func(b *identity.PeopleBody) error {
				b.OODs = without(b.OODs, ids)
				b.Revoked = union(b.Revoked, ids)
				if len(b.Revoked) > identity.MaxRevoked {
					return command.Advise(fmt.Errorf("%d devices would be revoked, at most %d are", len(b.Revoked), identity.MaxRevoked),
						"make a new owner with 'bdt zone new', and devices for it: a list that forgets would let a stolen device back in")
				}
				return nil
			})
			return o.finish(c, p, err)
		},
	}
	o.flags(c)
	return c
}

// finish prints what the owner says now, also if it could not be published.
func (o *ownerKey) finish(c *cobra.Command, p *identity.People, err error) error {
	if p == nil {
		return err
	}
	if e := o.printZone(c, p); err == nil {
		err = e
	}
	return err
}

func newZoneOOD() *cobra.Command {
	c := &cobra.Command{
		Use:   "ood",
		Short: "Say which devices answer when somebody dials the owner",
		Long: `OODs ("owner online devices") are the devices that answer when somebody dials the
owner's id: the first, or while that is not to be had the next. Each must have been
made with the owner's id.`,
		Example: `  bdt zone ood add NAS-ID
  bdt ping 'bdt:OWNER-ID?sn=…'`,
	}
	c.AddCommand(newZoneOODAdd(), newZoneOODRemove())
	return c
}

func newZoneOODAdd() *cobra.Command {
	var o ownerKey
	var first bool
	c := &cobra.Command{
		Use:   "add ID|FILE…",
		Short: "Have devices answer for the owner",
		Example: `  bdt zone ood add NAS-ID --sn ID@sn.example:8443
  bdt zone ood add NEW-NAS-ID --first`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ids, err := deviceIDs(args)
			if err != nil {
				return err
			}
			p, err := o.change(c, func(b *identity.PeopleBody) error {
				for _, id := range ids {
					if slices.Contains(b.Revoked, id) {
						return command.Advise(fmt.Errorf("%s is revoked", id), "what is revoked stays so: make the device anew")
					}
				}
				if first {
					b.OODs = union(slices.Clone(ids), without(b.OODs, ids))
				} else {
					b.OODs = union(b.OODs, ids)
				}
				if len(b.OODs) > identity.MaxOODs {
					return command.Advise(fmt.Errorf("%d devices would answer, at most %d do", len(b.OODs), identity.MaxOODs),
						"take some away with 'bdt zone ood remove'")
				}
				return nil
			})
			return o.finish(c, p, err)
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&first, "first", false, "before those that there are, not behind them")
	return c
}

func newZoneOODRemove() *cobra.Command {
	var o ownerKey
	c := &cobra.Command{
		Use:     "remove ID|FILE…",
		Short:   "Have devices no longer answer for the owner",
		Example: `  bdt zone ood remove OLD-NAS-ID --sn ID@sn.example:8443`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ids, err := deviceIDs(args)
			if err != nil {
				return err
			}
			p, err := o.change(c, func(b *identity.PeopleBody) error {
				for _, id := range ids {
					if !slices.Contains(b.OODs, id) {
						return command.Advise(fmt.Errorf("%s does not answer for the owner", id), "see 'bdt zone show' for those that do")
					}
				}
				b.OODs = without(b.OODs, ids)
				return nil
			})
			return o.finish(c, p, err)
		},
	}
	o.flags(c)
	return c
}

func newZoneRenew() *cobra.Command {
	var o ownerKey
	var name string
	valid := defaultValidity
	c := &cobra.Command{
		Use:   "renew",
		Short: "Have the owner's word count for longer",
		Long: `Say anew until when the owner's word counts, from now on. Do it before the old time is
over: from then on no device is of the zone. Devices log that it comes, a week before.`,
		Example: `  bdt zone renew --valid 90d --sn ID@sn.example:8443`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkName(name); err != nil {
				return err
			}
			p, err := o.change(c, func(b *identity.PeopleBody) error {
				b.ValidUntil = uint64(max(time.Now().Add(time.Duration(valid)).UnixMilli(), 1))
				if c.Flags().Changed("name") {
					b.Name = name
				}
				return nil
			})
			return o.finish(c, p, err)
		},
	}
	o.flags(c)
	f := c.Flags()
	f.Var(&valid, "valid", "how long the owner's word counts from now, such as 90d")
	f.StringVar(&name, "name", "", nameUsage+" (default: as it is)")
	return c
}

func newZonePublish() *cobra.Command {
	var o ownerKey
	c := &cobra.Command{
		Use:   "publish [FILE] --sn ID@HOST:PORT",
		Short: "Give super nodes what the owner says",
		Long: `Publish what the owner says: the one whose key is on this machine, or the one in a file,
which needs no secret. Super nodes keep it for a day; every device of the zone that is
online publishes it again.`,
		Example: `  bdt zone publish --sn ID@sn.example:8443
  bdt zone publish me.pub --sn ID@sn.example:8443`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(o.sns) == 0 {
				return command.Advise(command.Usagef("there is no super node to publish at"), "name one or more with --sn ID@HOST:PORT")
			}
			p, err := o.published(args)
			if err != nil {
				return err
			}
			stack, err := o.open(c)
			if err != nil {
				return err
			}
			defer stack.Close()
			return o.finish(c, p, publish(c, stack, p))
		},
	}
	o.flags(c)
	return c
}

// published returns the owner to publish.
func (o *ownerKey) published(args []string) (*identity.People, error) {
	if len(args) == 1 {
		return loadOwner(args[0])
	}
	owner, _, err := o.load()
	if err != nil {
		return nil, err
	}
	return owner.People, nil
}

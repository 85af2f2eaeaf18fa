package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/identity"
)

// A newIdentity is the command line of id new.
type newIdentity struct {
	out    string
	name   string
	owner  string // a file
	people bool
	valid  flagvalue.Validity
}

func newIDNew() *cobra.Command {
	o := newIdentity{valid: defaultValidity}
	c := &cobra.Command{
		Use:   "new --out FILE",
		Short: "Make an identity and print its id",
		Long: `Make an identity: a device, or with --people an owner of devices. The file holds
its secret key, for you alone. Standard output is the id.

The devices of one owner form a zone, and trust each other more than strangers. To
make a device a member, name the owner's key file with --owner; the owner's key
is needed only for this and stays where it is. 'bdt zone' does all else with an owner,
and enrols devices that are elsewhere.`,
		Example: `  # A device of its own
  bdt id new --out laptop.pem --name laptop

  # An owner, and a device of its zone
  bdt id new --people --out me.pem --name me
  bdt id new --owner me.pem --out phone.pem --name phone`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("valid") && !o.people {
				return command.Usagef("--valid is for an owner: it takes --people")
			}
			id, err := o.make(time.Now())
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), id)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&o.out, "out", "", "key `FILE` to write; it must not exist")
	f.StringVar(&o.name, "name", "", nameUsage)
	f.StringVar(&o.owner, "owner", "", "key `FILE` of the owner whose zone the device joins")
	f.BoolVar(&o.people, "people", false, "make an owner, not a device")
	f.Var(&o.valid, "valid", "how long an owner's word counts, such as 90d; with --people")
	return c
}

// make makes the identity, writes its file and returns its id.
func (o newIdentity) make(now time.Time) (identity.ID, error) {
	switch {
	case o.out == "":
		return identity.ID{}, command.Usagef("--out FILE is missing: where the key goes")
	case o.people && o.owner != "":
		return identity.ID{}, command.Usagef("--people and --owner exclude each other: an owner has no owner")
	case checkName(o.name) != nil:
		return identity.ID{}, checkName(o.name)
	}
	if o.people {
		p, err := makeOwner(o.out, o.name, o.valid, now)
		if err != nil {
			return identity.ID{}, err
		}
		return p.ID(), nil
	}
	d, err := o.newDevice(now)
	if err != nil {
		return identity.ID{}, err
	}
	if err := identity.SaveDevice(o.out, d); err != nil || o.owner == "" {
		return d.Device.ID(), keyfile.Explain(err, o.out)
	}
	owner, err := loadOwner(o.owner)
	if err != nil {
		return d.Device.ID(), err
	}
	return d.Device.ID(), keepOwner(o.out, owner)
}

// newDevice makes a device, a member of its owner's zone if it has one.
func (o newIdentity) newDevice(now time.Time) (*identity.LocalDevice, error) {
	body := identity.DeviceBody{Name: o.name}
	if o.owner == "" {
		return keyfile.New(identity.DeviceDesc{}, body)
	}
	owner, err := identity.LoadPeople(o.owner)
	if err != nil {
		return nil, command.Advise(err, "name the file that 'bdt id new --people' has written")
	}
	d, err := keyfile.New(identity.DeviceDesc{Owner: owner.People.ID()}, body)
	if err != nil {
		return nil, err
	}
	signature, err := owner.People.SignMembership(owner.Secret, d.Device)
	if err != nil {
		return nil, err
	}
	d.Device, err = d.Device.Join(d.Secret, owner.People, signature, d.Device.NextUpdate(now))
	return d, err
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/identity"
)

// maxEnrolText bounds what is read of a request or an approval.
const maxEnrolText = 128 << 10

func newZoneEnrol() *cobra.Command {
	var o enrol
	c := &cobra.Command{
		Use:   "enrol FILE|REQUEST…",
		Short: "Make devices members of the zone",
		Long: `Make devices members of the zone: those whose key files are on this machine, at once;
those elsewhere by the request that 'bdt zone request' has printed there ('-' reads it
from standard input). The answer to a request is an approval on standard output, for
'bdt zone join' there. Neither text holds a secret.

A request shows only that its sender holds the key of the device with that id. Compare
the id with what the device itself says before you enrol it.`,
		Example: `  bdt zone enrol nas.pem
  bdt zone enrol 'bdt-request:…'
  ssh nas bdt zone request OWNER-ID | bdt zone enrol - | ssh nas bdt zone join -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c, args) },
	}
	o.fileFlags(c)
	return c
}

// An enrol is the command line of zone enrol.
type enrol struct{ ownerKey }

// enrolled is a device that has become a member, as JSON.
type enrolled struct {
	ID       identity.ID `json:"id"`
	Name     string      `json:"name,omitempty"`
	File     string      `json:"file,omitempty"`
	Approval string      `json:"approval,omitempty"`
}

// run is zone enrol.
func (o *enrol) run(c *cobra.Command, args []string) error {
	owner, path, err := o.load()
	if err != nil {
		return err
	}
	if !time.Now().Before(owner.People.ValidUntil()) {
		return command.Advise(fmt.Errorf("the owner in %s has expired: a member would be of no zone", path), "run 'bdt zone renew' first")
	}
	for _, arg := range args {
		var e enrolled
		if _, err := os.Stat(arg); err == nil {
			e, err = enrolFile(owner, arg)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "enrolled %s (%s)\n", e.ID, e.Name)
		} else {
			e, err = enrolRequest(c, owner, arg)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "enrolled %s (%s); run there: bdt zone join APPROVAL\n", e.ID, e.Name)
		}
		switch {
		case o.asJSON:
			if err := printJSON(c.OutOrStdout(), e); err != nil {
				return err
			}
		case e.Approval != "":
			fmt.Fprintln(c.OutOrStdout(), e.Approval)
		default:
			fmt.Fprintln(c.OutOrStdout(), e.ID)
		}
	}
	return nil
}

// enrolFile makes the device of a key file a member.
func enrolFile(owner *identity.LocalPeople, path string) (enrolled, error) {
	d, err := keyfile.Load(path)
	if err != nil {
		return enrolled{}, err
	}
	a, err := approve(owner, d.Device)
	if err != nil {
		return enrolled{}, err
	}
	if err := joinZone(d, path, a); err != nil {
		return enrolled{}, err
	}
	return enrolled{ID: d.Device.ID(), Name: nameOf(d.Device), File: path}, nil
}

// enrolRequest answers a request.
func enrolRequest(c *cobra.Command, owner *identity.LocalPeople, arg string) (enrolled, error) {
	text, err := readText(c, arg, maxEnrolText)
	if err != nil {
		return enrolled{}, err
	}
	d, err := identity.ParseRequest(text)
	if err != nil {
		return enrolled{}, command.Advise(command.Usagef("%.40q is neither a key file nor a request: %w", text, err),
			"give the whole text that 'bdt zone request' has printed, in quotes")
	}
	a, err := approve(owner, d)
	if err != nil {
		return enrolled{}, err
	}
	return enrolled{ID: d.ID(), Name: nameOf(d), Approval: a.String()}, nil
}

// approve signs that a device is a member.
func approve(owner *identity.LocalPeople, d *identity.Device) (identity.Approval, error) {
	a, err := owner.People.Approve(owner.Secret, d)
	switch {
	case errors.Is(err, identity.ErrOwnerMismatch):
		whose := "no owner"
		if !d.Owner().IsZero() {
			whose = d.Owner().String()
		}
		return a, command.Advise(fmt.Errorf("%s names %s as its owner, not %s: its id is bound to that", d.ID(), whose, owner.People.ID()),
			"make a device for this owner: 'bdt id new --owner FILE' here, or 'bdt zone request OWNER-ID' there, with another --key")
	case errors.Is(err, identity.ErrRevoked):
		return a, command.Advise(err, "what is revoked stays so: make the device anew, with a key of its own")
	}
	return a, err
}

// joinZone stores that a device has become a member, and what its owner says.
func joinZone(d *identity.LocalDevice, path string, a identity.Approval) error {
	joined, err := d.Accept(a, time.Now())
	switch {
	case errors.Is(err, identity.ErrWrongID):
		return command.Advise(fmt.Errorf("the approval is for %s, %s holds %s", a.Device, path, d.Device.ID()),
			"name the key file of that device with --key")
	case errors.Is(err, identity.ErrExpired):
		return command.Advise(err, "the owner has to run 'bdt zone renew' and enrol the device again")
	case err != nil:
		return command.Advise(err, "ask the owner to enrol the device again: 'bdt zone request', 'bdt zone enrol'")
	}
	if err := keepOwner(path, a.Owner); err != nil {
		return err
	}
	return keyfile.Explain(identity.ReplaceDevice(path, joined), path)
}

// ownerFile is where what the owner of a key's device says is kept.
func ownerFile(key string) string { return key + ".owner" }

// keepOwner puts an owner beside a device's key, unless a newer version is there.
func keepOwner(key string, p *identity.People) error {
	file := ownerFile(key)
	err := identity.ReplacePublic(file, p)
	switch {
	case errors.Is(err, identity.ErrRolledBack):
		return nil
	case errors.Is(err, identity.ErrWrongID):
		return command.Advise(err, "it belongs to another device's key: remove %s if that is gone", file)
	case errors.Is(err, fs.ErrPermission):
		return command.Advise(err, "name a --key in a directory that you can write")
	}
	return command.Advise(err, "remove %s if it is damaged", file)
}

func newZoneRequest() *cobra.Command {
	var o request
	c := &cobra.Command{
		Use:   "request OWNER",
		Short: "Ask an owner elsewhere to make this device a member of its zone",
		Long: `Print a request, which the owner answers with 'bdt zone enrol'. OWNER is the owner's
id, its ticket, or a file of it.

A device belongs to one owner for good: its id is bound to the owner's. If the key file
does not exist, a device for this owner is made.`,
		Example: `  bdt zone request OWNER-ID
  bdt zone request me.pub --key phone.pem --name phone`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c, args[0]) },
	}
	f := c.Flags()
	settings.Flag(f, "key", &o.key)
	f.Lookup("key").Usage = "key `FILE` of the device, made if there is none (default: bdt/device.pem in your configuration directory)"
	f.StringVar(&o.name, "name", "", nameUsage+", for a device that is made")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON object")
	return c
}

// A request is the command line of zone request.
type request struct {
	key    flagvalue.Text
	name   string
	asJSON bool
}

// run is zone request.
func (o *request) run(c *cobra.Command, arg string) error {
	owner, err := ownerID(arg)
	if err != nil {
		return err
	}
	if err := checkName(o.name); err != nil {
		return err
	}
	key, err := deviceKey(o.key)
	if err != nil {
		return err
	}
	d, made, err := keyfile.LoadOrMakeFor(key, owner, o.name)
	if err != nil {
		return err
	}
	if made {
		fmt.Fprintf(c.ErrOrStderr(), "made %s: keep a copy of it\n", key)
	}
	if d.Device.Owner() != owner {
		whose := "no owner"
		if !d.Device.Owner().IsZero() {
			whose = "the owner " + d.Device.Owner().String()
		}
		return command.Advise(fmt.Errorf("the device in %s was made for %s: its id is bound to that", key, whose),
			"name another file with --key: a device for this owner is made there")
	}
	fmt.Fprintf(c.ErrOrStderr(), "the device is %s; where the owner's key is, run: bdt zone enrol REQUEST\n", d.Device.ID())
	text := identity.FormatRequest(d.Device)
	if o.asJSON {
		return printJSON(c.OutOrStdout(), struct {
			ID      identity.ID `json:"id"`
			Owner   identity.ID `json:"owner"`
			Request string      `json:"request"`
		}{d.Device.ID(), owner, text})
	}
	fmt.Fprintln(c.OutOrStdout(), text)
	return nil
}

// deviceKey is the key file that is named, or else the usual one.
func deviceKey(named flagvalue.Text) (string, error) {
	if named != "" {
		return named.String(), nil
	}
	return keyfile.Default("device.pem")
}

// ownerID reads the argument that names an owner.
func ownerID(arg string) (identity.ID, error) {
	if _, err := os.Stat(arg); err == nil {
		p, err := loadOwner(arg)
		if err != nil {
			return identity.ID{}, err
		}
		return p.ID(), nil
	}
	t, err := identity.ParseTicket(arg)
	if err == nil && t.Peer().Type() != identity.TypePeople {
		err = fmt.Errorf("it names a %s", t.Peer().Type())
	}
	if err != nil {
		return identity.ID{}, command.Advise(command.Usagef("%q is neither the id of an owner nor a file of one: %w", arg, err),
			"'bdt zone show' tells the owner's id, where its key is")
	}
	return t.Peer(), nil
}

func newZoneJoin() *cobra.Command {
	var named flagvalue.Text
	var asJSON bool
	c := &cobra.Command{
		Use:   "join APPROVAL",
		Short: "Become a member of the zone, by the owner's approval",
		Long: `Store what 'bdt zone enrol' has printed where the owner's key is: the membership in
the device's key file, and what the owner says beside it. '-' reads the approval from
standard input. Everything in it is checked.`,
		Example: `  bdt zone join 'bdt-approval:…'
  bdt zone join - --key phone.pem < approval.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := readText(c, args[0], maxEnrolText)
			if err != nil {
				return err
			}
			a, err := identity.ParseApproval(text)
			if err != nil {
				return command.Advise(command.Usagef("%.40q is no approval: %w", text, err),
					"give the whole text that 'bdt zone enrol' has printed, in quotes")
			}
			key, err := deviceKey(named)
			if err != nil {
				return err
			}
			d, err := keyfile.Load(key)
			if err != nil {
				return err
			}
			if err := joinZone(d, key, a); err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "start 'bdt up' again if it runs\n")
			if asJSON {
				return printJSON(c.OutOrStdout(), struct {
					ID         identity.ID `json:"id"`
					Owner      identity.ID `json:"owner"`
					ValidUntil string      `json:"valid_until"`
				}{d.Device.ID(), a.Owner.ID(), a.Owner.ValidUntil().Format(time.RFC3339)})
			}
			fmt.Fprintf(c.OutOrStdout(), "%s is of the zone of %s\n", d.Device.ID(), a.Owner.ID())
			return nil
		},
	}
	f := c.Flags()
	settings.Flag(f, "key", &named)
	f.Lookup("key").Usage = "key `FILE` of the device (default: bdt/device.pem in your configuration directory)"
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// union returns list with those of more that are not in it.
func union(list, more []identity.ID) []identity.ID {
	for _, id := range more {
		if !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	return list
}

// without returns list without those of less.
func without(list, less []identity.ID) []identity.ID {
	return slices.DeleteFunc(list, func(id identity.ID) bool { return slices.Contains(less, id) })
}

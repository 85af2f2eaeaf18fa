package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/identity"
)

// publishTimeout bounds the time in which super nodes must take or give an owner.
const publishTimeout = 15 * time.Second

func newZone() *cobra.Command {
	c := &cobra.Command{
		Use:   "zone",
		Short: "Make an owner of devices, enrol devices and revoke them",
		Long: `A zone is all devices of one owner. They trust each other: what a device serves is
for its zone, unless it says otherwise.

The owner is a key of its own, which no device needs in everyday life: keep its file
on one machine, or on a stick. It signs three things: that a device is a member; which
devices are revoked, and until when the owner's word counts; and which devices answer
when somebody dials the owner's id (OODs, "owner online devices").

Super nodes hand out the owner's newest word. A device that is online asks for it
about every hour, and whenever a device of the zone calls after a while.`,
		Example: `  # The owner, and the device on this machine
  bdt zone new --name me
  bdt id new --owner ~/.config/bdt/owner.pem --out ~/.config/bdt/device.pem --name laptop

  # A device on another machine: ask there, answer here, join there
  bdt zone request OWNER-ID --key phone.pem
  bdt zone enrol 'bdt-request:…'
  bdt zone join 'bdt-approval:…' --key phone.pem

  # The phone is lost
  bdt zone revoke PHONE-ID --sn ID@sn.example:8443`,
	}
	c.AddCommand(newZoneNew(), newZoneShow(), newZoneEnrol(), newZoneRequest(), newZoneJoin(),
		newZoneRevoke(), newZoneOOD(), newZoneRenew(), newZonePublish())
	return c
}

// An ownerKey is the part of the command line that says who the owner is, and
// at which super nodes its object is published.
type ownerKey struct {
	file   string
	sns    flagvalue.Refs
	listen flagvalue.Listen
	asJSON bool
}

func (o *ownerKey) flags(c *cobra.Command) {
	o.fileFlags(c)
	o.snFlags(c, "super node to publish at, ID@HOST:PORT; may be repeated")
}

func (o *ownerKey) fileFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.file, "owner", "", "key `FILE` of the owner (default: bdt/owner.pem in your configuration directory)")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON object a line")
}

func (o *ownerKey) snFlags(c *cobra.Command, usage string) {
	f := c.Flags()
	settings.Flag(f, "sn", &o.sns)
	f.Lookup("sn").Usage = usage
	// No setting: the address of that is the one of the device.
	f.Var(&o.listen, "listen", "local UDP address, IP:PORT or :PORT; may be repeated (default: any)")
}

// path is where the owner's key is.
func (o *ownerKey) path() (string, error) {
	if o.file != "" {
		return o.file, nil
	}
	return keyfile.Default("owner.pem")
}

// load reads the owner's key.
func (o *ownerKey) load() (*identity.LocalPeople, string, error) {
	path, err := o.path()
	if err != nil {
		return nil, "", err
	}
	p, err := identity.LoadPeople(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", command.Advise(err, "make an owner with 'bdt zone new', or name the file of its key with --owner")
	}
	return p, path, keyfile.Explain(err, path)
}

// change has the owner say something new: in the file, and if the command line
// names super nodes there, too. What the super nodes hold is taken over first if
// it is newer, so that an old file does not take back what another one has said.
func (o *ownerKey) change(c *cobra.Command, change func(*identity.PeopleBody) error) (*identity.People, error) {
	owner, path, err := o.load()
	if err != nil {
		return nil, err
	}
	var stack *bdt.Stack
	if len(o.sns) > 0 {
		if stack, err = o.open(c); err != nil {
			return nil, err
		}
		defer stack.Close()
		if err := takeNewer(c, stack, owner); err != nil {
			return nil, err
		}
	}
	body := owner.People.Body()
	body.Updated = owner.People.NextUpdate(time.Now())
	if err := change(&body); err != nil {
		return nil, err
	}
	body.ValidUntil = max(body.ValidUntil, body.Updated+1) // an owner that has expired says things, too
	next, err := owner.People.Update(owner.Secret, body)
	if err != nil {
		return nil, command.Advise(err, "see 'bdt zone show' for what the owner says now")
	}
	err = identity.ReplacePeople(path, &identity.LocalPeople{Secret: owner.Secret, People: next})
	if err != nil {
		return nil, keyfile.Explain(err, path)
	}
	if stack == nil {
		fmt.Fprintf(c.ErrOrStderr(), "written to %s; devices learn of it when it is published: bdt zone publish --sn ID@HOST:PORT\n", path)
		return next, nil
	}
	return next, publish(c, stack, next)
}

// open opens a stack of nobody in particular: what an owner has signed may be
// brought by any device.
func (o *ownerKey) open(c *cobra.Command) (*bdt.Stack, error) {
	stack, err := bdt.Open(bdt.Config{SNs: o.sns, Listen: o.listen, NoLAN: true, Logger: logger(c)})
	return stack, adviseOpen(err)
}

// takeNewer puts what super nodes hold of an owner in the place of what its file
// does, if it is newer.
func takeNewer(c *cobra.Command, stack *bdt.Stack, owner *identity.LocalPeople) error {
	ctx, cancel := context.WithTimeout(c.Context(), publishTimeout)
	defer cancel()
	there, err := stack.FindOwner(ctx, owner.People.ID())
	switch {
	case errors.Is(err, bdt.ErrOwnerNotFound):
		return nil
	case err != nil:
		return command.Advise(fmt.Errorf("nothing is changed, for the super nodes may know of something newer: %w", err),
			"check --sn (or BDT_SN, or the configuration file); without a super node the file alone is changed")
	case there.Updated() > owner.People.Updated():
		fmt.Fprintf(c.ErrOrStderr(), "the super node has a newer version than the file, of %s: going on from that\n", timeText(there.Updated()))
		owner.People = there
	}
	return nil
}

// publish publishes an owner at the super nodes of a stack.
func publish(c *cobra.Command, stack *bdt.Stack, p *identity.People) error {
	ctx, cancel := context.WithTimeout(c.Context(), publishTimeout)
	defer cancel()
	err := stack.PublishOwner(ctx, p)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, identity.ErrRolledBack):
		return command.Advise(err, "the file is an old copy: make any change with --sn, such as 'bdt zone renew', and it goes on from the newer one")
	case errors.Is(err, identity.ErrTooLarge):
		return command.Advise(err, "give the owner's file to the devices yourself: 'bdt id show --public' there, 'bdt up --owner' here")
	}
	return command.Advise(fmt.Errorf("not at every super node: %w", err), "try again with 'bdt zone publish', once the super node answers")
}

// A zoneView is what is shown of an owner.
type zoneView struct {
	view
	Valid  bool   `json:"valid"`
	Ticket string `json:"ticket"` // by which others dial the owner
	until  time.Time
}

func viewZone(p *identity.People, sns []identity.Ref, now time.Time) *zoneView {
	v := viewPeople(p)
	v.SNs = texts(sns)
	return &zoneView{
		view:   *v,
		Valid:  now.Before(p.ValidUntil()),
		Ticket: identity.Ticket{ID: p.ID(), SNs: sns}.String(),
		until:  p.ValidUntil(),
	}
}

// write writes one line for each thing known.
func (v *zoneView) write(w io.Writer, now time.Time) {
	v.view.write(w)
	if left := v.until.Sub(now); v.Valid {
		fmt.Fprintf(w, "%-12s valid, %d days left\n", "state", left/(24*time.Hour))
	} else {
		fmt.Fprintf(w, "%-12s expired: no device is of the zone until 'bdt zone renew'\n", "state")
	}
	fmt.Fprintf(w, "%-12s %s\n", "ticket", v.Ticket)
}

// printZone prints what an owner says.
func (o *ownerKey) printZone(c *cobra.Command, p *identity.People) error {
	now := time.Now()
	v := viewZone(p, o.sns, now)
	if o.asJSON {
		return printJSON(c.OutOrStdout(), v)
	}
	v.write(c.OutOrStdout(), now)
	return nil
}

// printJSON prints one object on a line.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // tickets hold &
	return e.Encode(v)
}

// deviceID reads the argument that names a device: its id, or a file of it.
func deviceID(arg string) (identity.ID, error) {
	if _, err := os.Stat(arg); err == nil {
		o, err := loadObject(arg)
		if err != nil {
			return identity.ID{}, err
		}
		arg = o.ID().String()
	}
	id, err := identity.ParseID(arg)
	if err == nil && id.Type() != identity.TypeDevice {
		err = fmt.Errorf("it is the id of a %s", id.Type())
	}
	if err != nil {
		return identity.ID{}, command.Advise(command.Usagef("%q is neither the id of a device nor a file of one: %w", arg, err),
			"'bdt id show FILE' tells the id of a device, and so does its 'ready' line")
	}
	return id, nil
}

// deviceIDs reads all arguments.
func deviceIDs(args []string) ([]identity.ID, error) {
	var ids []identity.ID
	for _, arg := range args {
		id, err := deviceID(arg)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// readText returns an argument, or standard input if it is "-".
func readText(c *cobra.Command, arg string, limit int64) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	text, err := io.ReadAll(io.LimitReader(c.InOrStdin(), limit))
	return string(text), err
}

// nameOf is a device for people.
func nameOf(d *identity.Device) string { return cmp.Or(d.Name(), "a device without a name") }

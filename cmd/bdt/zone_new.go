package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/identity"
)

// defaultValidity is how long an owner's word counts unless told otherwise.
const defaultValidity = flagvalue.Validity(365 * 24 * time.Hour)

func newZoneNew() *cobra.Command {
	var o ownerKey
	var name string
	valid := defaultValidity
	c := &cobra.Command{
		Use:   "new",
		Short: "Make an owner of devices, and print its id",
		Long: `Make an owner. Its file holds the secret key that makes and revokes devices of the
zone: keep a copy of it in a safe place. Standard output is the owner's id.

After the time given with --valid the owner's word counts no more, and no device is of
the zone, until 'bdt zone renew'. The shorter it is, the less a super node gains that
hides a revocation from a device.`,
		Example: `  bdt zone new --name me
  bdt zone new --owner /media/stick/owner.pem --valid 90d`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := o.path()
			if err != nil {
				return err
			}
			if o.file == "" {
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					return keyfile.Explain(err, path)
				}
			}
			p, err := makeOwner(path, name, valid, time.Now())
			if err != nil {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "made %s: keep a copy of it\n", path)
			if o.asJSON {
				return printJSON(c.OutOrStdout(), viewZone(p, nil, time.Now()))
			}
			fmt.Fprintln(c.OutOrStdout(), p.ID())
			return nil
		},
	}
	o.fileFlags(c)
	f := c.Flags()
	f.Lookup("owner").Usage = "key `FILE` to write; it must not exist (default: bdt/owner.pem in your configuration directory)"
	f.StringVar(&name, "name", "", nameUsage)
	f.Var(&valid, "valid", "how long the owner's word counts, such as 90d")
	return c
}

var nameUsage = fmt.Sprintf("`NAME` for people to read, at most %d bytes", identity.MaxName)

// checkName reports a --name that no identity may have.
func checkName(name string) error {
	if err := identity.CheckName(name); err != nil {
		return command.Usagef("--name: %w", err)
	}
	return nil
}

// makeOwner makes an owner and writes its key file.
func makeOwner(path, name string, valid flagvalue.Validity, now time.Time) (*identity.People, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	secret := identity.GenerateSecret()
	p, err := identity.NewPeople(secret, identity.PeopleDesc{}, identity.PeopleBody{
		Updated:    uint64(max(now.UnixMilli(), 1)),
		ValidUntil: uint64(max(now.Add(time.Duration(valid)).UnixMilli(), 1)),
		Name:       name,
	})
	if err != nil {
		return nil, err
	}
	return p, keyfile.Explain(identity.SavePeople(path, &identity.LocalPeople{Secret: secret, People: p}), path)
}

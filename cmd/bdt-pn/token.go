package main

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/pn"
)

func newTokenCommand() *cobra.Command {
	var key, subject string
	var valid time.Duration
	var anywhere bool
	c := &cobra.Command{
		Use:   "token --for ID",
		Short: "Make a token with which a device may use this PN",
		Long: `Make a token with which a device may use the proxy node that has the key, if that
runs with --tokens. It is one word on standard output. It is of use to that device alone, so it
need not be kept secret. It cannot be taken back before it expires.`,
		Example: `  bdt-pn token --key pn.pem --for ID --valid 720h`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			id, err := identity.ParseID(subject)
			if err != nil {
				return command.Advise(fmt.Errorf("--for %q: %w", subject, err), "give the id of a device, as 'bdt id show' prints it")
			}
			if valid <= 0 {
				return command.Advise(fmt.Errorf("--valid %v is no time to come", valid), "give a duration such as 720h")
			}
			if key == "" {
				if key, err = keyfile.Default("pn.pem"); err != nil {
					return err
				}
			}
			local, err := keyfile.Load(key)
			if err != nil {
				return err
			}
			at := local.Device.ID()
			if anywhere {
				at = identity.ID{}
			}
			token, err := pn.NewToken(local.Secret, id, at, time.Now().Add(valid), rand.Uint64())
			if err != nil {
				return command.Advise(err, "give the id of a device, as 'bdt id show' prints it")
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), base64.RawURLEncoding.EncodeToString(token))
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&key, "key", "", "key `FILE` of the PN, or of whoever it trusts as token-issuers (default: bdt/pn.pem in your configuration directory)")
	f.StringVar(&subject, "for", "", "`ID` of the device")
	f.DurationVar(&valid, "valid", 720*time.Hour, "how long it is good: `DURATION`")
	f.BoolVar(&anywhere, "anywhere", false, "good at every PN that trusts the key, not at this one alone")
	_ = c.MarkFlagRequired("for")
	return c
}

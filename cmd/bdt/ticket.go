package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/qrcode"
	"github.com/bdtnet/bdt/identity"
)

func newTicket() *cobra.Command {
	var o asker
	var service string
	var qr, inverse bool
	c := &cobra.Command{
		Use:   "ticket",
		Short: "Print the ticket by which others dial the running device",
		Long: `Print the ticket of the running device: all that others need to dial it. It is no secret
and grants nothing; who may use what is said by 'bdt up --allow'.`,
		Example: `  bdt ticket
  bdt ticket --service http --qr`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := o.open(c.Context())
			if err != nil {
				return err
			}
			defer d.Close()
			s, err := d.Status(c.Context())
			if err != nil {
				return err
			}
			ticket, err := identity.ParseTicket(s.Ticket)
			if err != nil {
				return err
			}
			if ticket.Service = service; service != "" {
				if err := flagvalue.CheckService(service); err != nil {
					return command.Usagef("%w", err)
				}
			}
			if o.asJSON {
				return encode(c.OutOrStdout(), struct {
					Ticket string `json:"ticket"`
				}{ticket.String()})
			}
			if qr || inverse {
				return qrcode.Write(c.OutOrStdout(), ticket.String(), inverse)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), ticket)
			return err
		},
	}
	o.flags(c)
	f := c.Flags()
	f.StringVar(&service, "service", "", "`SERVICE` for the other side to dial")
	f.BoolVar(&qr, "qr", false, "print it as a QR code, for a terminal with a dark ground")
	f.BoolVar(&inverse, "qr-inverse", false, "print it as a QR code, for a terminal with a light ground")
	c.MarkFlagsMutuallyExclusive("json", "qr", "qr-inverse")
	return c
}

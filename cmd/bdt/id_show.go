package main

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/cmd/internal/qrcode"
	"github.com/bdtnet/bdt/identity"
)

func newIDShow() *cobra.Command {
	var asJSON, public, qr bool
	c := &cobra.Command{
		Use:   "show FILE|TICKET",
		Short: "Show what an identity, a ticket or an id says",
		Long: `Show what is in a key file, without its secret, or in a ticket or id. Everything
that is shown of a key file has been verified.

With --public the output is the identity without its secret, as a file that can be
given to others: an owner's is what 'bdt up --owner' takes.`,
		Example: `  bdt id show laptop.pem
  bdt id show --json 'bdt:ID?sn=…'
  bdt id show --public me.pem > me.pub
  bdt id show --qr 'bdt:ID?sn=…'`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if public {
				return writePublic(c.OutOrStdout(), args[0])
			}
			v, err := describe(args[0])
			if err != nil {
				return err
			}
			if qr {
				return qrcode.Write(c.OutOrStdout(), qrText(args[0], v), false)
			}
			if asJSON {
				return encode(c.OutOrStdout(), v)
			}
			v.write(c.OutOrStdout())
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	c.Flags().BoolVar(&public, "public", false, "print the identity without its secret, PEM-armoured")
	c.Flags().BoolVar(&qr, "qr", false, "print the ticket, or the id of a file, as a QR code")
	c.MarkFlagsMutuallyExclusive("json", "public", "qr")
	return c
}

// qrText is what a QR code says of arg: the ticket that it is, or the id in a file.
func qrText(arg string, v *view) string {
	if _, err := identity.ParseTicket(arg); err == nil {
		return arg
	}
	return "bdt:" + v.ID
}

// A view is what is shown of an identity or ticket. What is not known is
// left out.
type view struct {
	Type       string           `json:"type"`
	ID         string           `json:"id"`
	Name       string           `json:"name,omitempty"`
	Owner      string           `json:"owner,omitempty"`
	From       string           `json:"from,omitempty"`
	Service    string           `json:"service,omitempty"`
	Updated    string           `json:"updated,omitempty"`     // RFC 3339
	ValidUntil string           `json:"valid_until,omitempty"` // RFC 3339
	SigningKey string           `json:"signing_key,omitempty"`
	NoiseKey   string           `json:"noise_key,omitempty"`
	Endpoints  []netip.AddrPort `json:"endpoints,omitempty"`
	SNs        []string         `json:"sns,omitempty"`
	PNs        []string         `json:"pns,omitempty"`
	OODs       []string         `json:"oods,omitempty"`
	Revoked    []string         `json:"revoked,omitempty"`
}

// write writes one line for each thing known.
func (v *view) write(w io.Writer) {
	line := func(label, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-12s %s\n", label, value)
		}
	}
	line(v.Type, v.ID)
	line("name", v.Name)
	line("owner", v.Owner)
	line("from", v.From)
	line("service", v.Service)
	line("updated", v.Updated)
	line("valid until", v.ValidUntil)
	line("signing key", v.SigningKey)
	line("noise key", v.NoiseKey)
	for _, e := range v.Endpoints {
		line("endpoint", e.String())
	}
	for _, list := range []struct {
		label  string
		values []string
	}{{"sn", v.SNs}, {"pn", v.PNs}, {"ood", v.OODs}, {"revoked", v.Revoked}} {
		for _, value := range list.values {
			line(list.label, value)
		}
	}
}

// describe returns what arg says: a key file if there is a file of that name,
// else a ticket.
func describe(arg string) (*view, error) {
	if _, err := os.Stat(arg); err != nil {
		t, err := identity.ParseTicket(arg)
		if err != nil {
			return nil, command.Advise(fmt.Errorf("there is no file %s, and as a ticket: %w", arg, err),
				"check the name, or quote the whole ticket: '%s'", arg)
		}
		return viewTicket(t), nil
	}
	o, err := loadObject(arg)
	if err != nil {
		return nil, err
	}
	switch o := o.(type) {
	case *identity.Device:
		return viewDevice(o), nil
	case *identity.People:
		return viewPeople(o), nil
	}
	return nil, fmt.Errorf("%s holds %T", arg, o)
}

// loadObject reads what a key file, of a device or an owner, describes.
func loadObject(path string) (identity.Object, error) {
	d, err := identity.LoadDevice(path)
	if err == nil {
		return d.Device, nil
	}
	if p, e := identity.LoadPeople(path); e == nil {
		return p.People, nil
	}
	if o, secret, e := loadPublic(path); e == nil && !secret {
		return o, nil
	}
	return nil, keyfile.Explain(err, path)
}

func viewDevice(d *identity.Device) *view {
	return &view{
		Type:       "device",
		ID:         d.ID().String(),
		Name:       d.Name(),
		Owner:      idText(d.Owner()),
		Updated:    timeText(d.Updated()),
		SigningKey: d.SigningKey().String(),
		NoiseKey:   d.NoiseKey().String(),
		Endpoints:  d.Endpoints(),
		SNs:        texts(d.SNs()),
		PNs:        texts(d.PNs()),
	}
}

func viewPeople(p *identity.People) *view {
	return &view{
		Type:       "people",
		ID:         p.ID().String(),
		Name:       p.Name(),
		Updated:    timeText(p.Updated()),
		ValidUntil: p.ValidUntil().UTC().Format(time.RFC3339),
		SigningKey: p.SigningKey().String(),
		OODs:       texts(p.OODs()),
		Revoked:    texts(p.Body().Revoked),
	}
}

func viewTicket(t identity.Ticket) *view {
	v := &view{Type: t.ID.Type().String(), ID: t.ID.String()}
	if t.Device != nil {
		v = viewDevice(t.Device)
	}
	v.From, v.Service, v.Endpoints, v.SNs = idText(t.From), t.Service, t.Endpoints, texts(t.SNs)
	return v
}

// idText is an id, or nothing for none.
func idText(id identity.ID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

// timeText is an update time in UTC.
func timeText(ms uint64) string { return time.UnixMilli(int64(ms)).UTC().Format(time.RFC3339) }

func texts[T fmt.Stringer](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}

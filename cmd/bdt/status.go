package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/daemon"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/cmd/internal/terminal"
)

// An asker is the command line of what asks a running device.
type asker struct {
	key    flagvalue.Text
	asJSON bool
}

func (o *asker) flags(c *cobra.Command) {
	settings.Flag(c.Flags(), "key", &o.key)
	c.Flags().Lookup("key").Usage = "key `FILE` of the device (default: the one that runs, or that of the usual key)"
	c.Flags().BoolVar(&o.asJSON, "json", false, "print one JSON object a line")
}

// open returns the running device that is meant.
func (o *asker) open(ctx context.Context) (daemon.Device, error) {
	if o.key != "" {
		device, err := keyfile.Load(o.key.String())
		if err != nil {
			return nil, err
		}
		d, err := daemon.Connect(ctx, device.Device.ID())
		if err != nil {
			return nil, o.advise(fmt.Errorf("the device of %s: %w", o.key.String(), err))
		}
		return d, nil
	}
	running := daemon.Running(ctx)
	if len(running) == 1 {
		return running[0], nil
	}
	usual := caller{}
	device, _ := usual.identity()
	var found daemon.Device
	var names []string
	for _, d := range running {
		if found == nil && device != nil && d.ID() == device.Device.ID() {
			found = d
			continue
		}
		names = append(names, d.ID().String())
		d.Close()
	}
	switch {
	case found != nil:
		return found, nil
	case len(names) > 0:
		return nil, command.Advise(command.Usagef("several devices run: %s", strings.Join(names, ", ")), "say which with --key FILE")
	}
	return nil, o.advise(daemon.ErrNotRunning)
}

func (o *asker) advise(err error) error {
	if o.key == "" {
		return command.Advise(err, "start one: 'bdt up --sn ID@HOST:PORT'")
	}
	return command.Advise(err, "start it: 'bdt up --key %s'", o.key.String())
}

func newStatus() *cobra.Command {
	var o asker
	c := &cobra.Command{
		Use:   "status",
		Short: "See how the running device is",
		Long: `See the device that 'bdt up' (or another command with a key) runs: who it is, which
super nodes serve it, at which addresses it is, what it serves and to whom.`,
		Example: `  bdt status
  bdt status --key home.pem --json | jq .sns`,
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
			if o.asJSON {
				return encode(c.OutOrStdout(), s)
			}
			return writeStatus(terminal.New(c.OutOrStdout(), os.Getenv), s, time.Now())
		},
	}
	o.flags(c)
	return c
}

// writeStatus writes a status for people.
func writeStatus(t *terminal.Terminal, s *daemon.Status, now time.Time) error {
	var b strings.Builder
	row := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", label, fmt.Sprintf(format, args...))
	}
	row("device", "%s", s.ID)
	if s.Name != "" {
		row("name", "%s", s.Name)
	}
	if s.Owner != nil {
		row("owner", "%s", s.Owner)
	}
	online := t.Bad("no super node serves it")
	switch {
	case s.Online:
		online = t.Good("online")
	case len(s.SNs) == 0:
		online = "without super nodes"
	}
	row("state", "%s, for %s ('%s', process %d)", online, roughly(now.Sub(s.Started)), s.Command, s.PID)
	for _, n := range s.SNs {
		state := t.Good(n.State)
		if n.State != "online" {
			state = t.Bad(n.State)
		}
		text := n.Ref + "  " + state
		if n.RTT != nil {
			text += fmt.Sprintf(", rtt %.2f ms", *n.RTT)
		}
		if n.Observed != nil {
			text += ", sees this device at " + n.Observed.String()
		}
		row("super node", "%s", text)
	}
	for _, n := range s.PNs {
		state := t.Good(n.State)
		if n.State != "online" {
			state = t.Bad(n.State)
		}
		text := fmt.Sprintf("%s  %s, %d relayed", n.Ref, state, n.Relays)
		if n.RTT != nil {
			text += fmt.Sprintf(", rtt %.2f ms", *n.RTT)
		}
		row("proxy node", "%s", text)
	}
	for _, a := range s.Sockets {
		row("socket", "%s", a)
	}
	for _, a := range s.Endpoints {
		row("endpoint", "%s", a)
	}
	for _, one := range s.Services {
		row("service", "%-10s %-28s for %s, used %s", one.Name, one.What, one.Allow, times(one.Streams))
	}
	row("peers", "%d, %d of them connected, %s sent, %s received", s.Peers, s.Connected, bytesText(s.BytesSent), bytesText(s.BytesRecv))
	row("ticket", "%s", s.Ticket)
	_, err := io.WriteString(t, b.String())
	return err
}

// roughly is a duration without what does not matter.
func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// bytesText is a number of bytes, in units of 1024.
func bytesText(n uint64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/(1<<10), 0
	for ; f >= 1<<10 && unit < 4; unit++ {
		f /= 1 << 10
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGTP"[unit])
}

func newPeers() *cobra.Command {
	var o asker
	c := &cobra.Command{
		Use:   "peers",
		Short: "See the devices that the running device has to do with",
		Long: `See the devices that the running device has to do with: which are connected, over
which path, and how much has been sent to and received from each.`,
		Example: `  bdt peers
  bdt peers --json | jq -r 'select(.state == "connected") | .id'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := o.open(c.Context())
			if err != nil {
				return err
			}
			defer d.Close()
			peers, err := d.Peers(c.Context())
			if err != nil {
				return err
			}
			if !o.asJSON {
				return writePeers(c.OutOrStdout(), peers)
			}
			for _, p := range peers {
				if err := encode(c.OutOrStdout(), p); err != nil {
					return err
				}
			}
			return nil
		},
	}
	o.flags(c)
	return c
}

// writePeers writes peers for people.
func writePeers(w io.Writer, peers []daemon.Peer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tSTATE\tPATH\tRTT\tSENT\tRECEIVED")
	for _, p := range peers {
		path := "-"
		if p.Path != nil {
			path = strings.TrimSpace(p.Path.Kind + " " + addrText(p.Path.Remote))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			p.ID, dash(printable(p.Name)), p.State, path, rttText(p.RTT), bytesText(p.BytesSent), bytesText(p.BytesRecv))
	}
	return table.Flush()
}

// printable is a name that a stranger has given himself, without what would move the
// cursor of a terminal or break a table.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

// dash is a text, or a dash for none.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// rttText is a round trip in milliseconds, or a dash.
func rttText(ms *float64) string {
	if ms == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f ms", *ms)
}

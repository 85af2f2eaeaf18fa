package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/daemon"
)

// A netCheck is the command line of netcheck.
type netCheck struct {
	caller
	asJSON bool
}

func newNetcheck() *cobra.Command {
	var o netCheck
	c := &cobra.Command{
		Use:   "netcheck",
		Short: "Examine the network: UDP, NATs, super nodes, what others would see",
		Long: `Examine the network between here and the super nodes, in at most 5 seconds.

For IPv4 and IPv6 it tells whether UDP passes, and how the NAT on the way behaves, by
the names of RFC 4787:

  mapping    endpoint-independent: a socket has one public address, to which peers
             can punch; else it has another one for each destination, and two such
             NATs cannot be punched through
  filtering  whom the NAT lets in: everyone, hosts that were sent to before
             (address-dependent), or only ports that were (address-and-port-dependent)
  hairpin    whether two devices behind the NAT reach each other by public addresses

To name the mapping takes two super nodes, or one with two addresses; what cannot be told
is "unknown", with the reason. The status is 0 if a super node serves this device.`,
		Example: `  bdt netcheck --sn ID@sn.example:8443
  bdt netcheck --sn ID@sn.example:8443 --sn ID@sn.example.net:8443 --json | jq .ipv4.mapping.value`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	o.flags(c)
	c.Flags().Lookup("sn").Usage = "super node to ask, ID@HOST:PORT; may be repeated (default: those of the running 'bdt up')"
	c.Flags().BoolVar(&o.asJSON, "json", false, "print one JSON object")
	return c
}

// run is netcheck.
func (o *netCheck) run(c *cobra.Command) error {
	d, err := o.device(c)
	if err != nil {
		return err
	}
	defer d.Close()
	r, err := d.NetCheck(c.Context())
	if err != nil {
		return err
	}
	if err := c.Context().Err(); err != nil {
		return fmt.Errorf("stopped: %w", err)
	}
	if o.asJSON {
		if err := encode(c.OutOrStdout(), r); err != nil {
			return err
		}
	} else {
		writeNetReport(c.OutOrStdout(), r)
	}
	return netError(r)
}

// device opens the device to ask from. One that runs asks its own super nodes: if
// others are named, it is left alone unless its key was named, too.
func (o *netCheck) device(c *cobra.Command) (daemon.Device, error) {
	device, err := o.identity()
	if err != nil {
		return nil, err
	}
	if c.Flags().Changed("sn") && o.key == "" {
		device = nil
	}
	if device != nil {
		if d, err := o.running(c.Context(), device, nil); d != nil || err != nil {
			return d, err
		}
	}
	if len(o.sns) == 0 {
		return nil, command.Advise(command.Usagef("there is no super node to ask"), "name one or more with --sn ID@HOST:PORT")
	}
	if o.key == "" {
		device = nil
	}
	return o.start(c, device)
}

// netError returns why no super node serves this device, nil if one does.
func netError(r *bdt.NetReport) error {
	for _, n := range r.SNs {
		if n.State == "online" {
			return nil
		}
	}
	if r.UDP.Value == "yes" {
		return command.Advise(errors.New("super nodes answer, but none serves this device"),
			"check the ids: they are the first part of the reference that 'bdt-sn' prints")
	}
	return command.Advise(errors.New(r.UDP.Why), "let UDP to the super nodes pass at the firewall, check their addresses, or try another network")
}

// writeNetReport writes a report for people.
func writeNetReport(w io.Writer, r *bdt.NetReport) {
	row := func(name, format string, args ...any) {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-20s %s", name, fmt.Sprintf(format, args...)), " "))
	}
	row("UDP", "%s", verdict(r.UDP))
	writeFamily(row, "IPv4", r.IPv4)
	writeFamily(row, "IPv6", r.IPv6)
	for _, n := range r.SNs {
		row("super node", "%s", n.Ref)
		if n.Error != "" {
			row("  address", "%s", n.Error)
		}
		row("  registration", "%s", n.State)
		for _, f := range []struct {
			name  string
			reach bdt.Reach
		}{{"  IPv4", n.IPv4}, {"  IPv6", n.IPv6}} {
			switch {
			case f.reach.RTT > 0:
				row(f.name, "%s to %s", milliseconds(f.reach.RTT), f.reach.Addr)
			case f.reach.Addr.IsValid():
				row(f.name, "no answer from %s", f.reach.Addr)
			}
		}
	}
	row("callers see", "%s", map[string]string{
		"everyone": "these addresses, whoever they are",
		"zone":     "these addresses, if they are of the same owner",
		"nobody":   "none, unless this device answers them itself",
	}[r.Visibility])
	for _, c := range r.Candidates {
		row("  "+c.Kind, "%s", c.Addr)
	}
	for _, line := range netAdvice(r) {
		fmt.Fprintln(w, "note: "+line)
	}
}

// writeFamily writes what was found out about IPv4 or IPv6.
func writeFamily(row func(name, format string, args ...any), name string, f bdt.NetFamily) {
	switch {
	case !f.Asked:
		row(name, "unknown (%s)", f.Mapping.Why)
		return
	case !f.Works && len(f.Local) == 0:
		row(name, "no (this machine has no such address)")
		return
	case !f.Works:
		row(name, "no (%s)", f.Mapping.Why)
		return
	}
	nat64 := ""
	if f.NAT64 {
		nat64 = ", through a NAT64"
	}
	row(name, "yes, as %s%s", f.Global, nat64)
	if list := join(f.Local); list != "" && (len(f.Local) > 1 || f.Local[0] != f.Global) {
		row("  local", "%s", list)
	}
	row("  mapping", "%s", verdict(f.Mapping))
	row("  filtering", "%s", verdict(f.Filtering))
	if f.Mapping.Value != "none" {
		row("  hairpin", "%s", verdict(f.Hairpin))
		row("  ports kept", "%s", verdict(f.PortPreservation))
	}
}

// verdict is a verdict with its reason.
func verdict(v bdt.Verdict) string {
	if v.Why == "" {
		return v.Value
	}
	return v.Value + " (" + v.Why + ")"
}

func join(addrs []netip.Addr) string {
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = a.String()
	}
	return strings.Join(words, ", ")
}

// netAdvice is what a report means for its reader.
func netAdvice(r *bdt.NetReport) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if r.UDP.Value == "no" {
		add("no answer over UDP: a firewall here blocks it, or the super nodes are down; devices can neither call nor be called from here")
		return lines
	}
	for _, n := range r.SNs {
		answers := n.IPv4.RTT > 0 || n.IPv6.RTT > 0
		switch {
		case n.Error != "":
			add("the name of %s is not known here: check its spelling, and the resolver", n.Ref.Addr)
		case !answers:
			add("%s does not answer, while another super node does: check its address, and that it runs", n.Ref.Addr)
		case n.State == "superseded":
			add("another instance of this device is registered at %s: two must not run with one key", n.Ref.Addr)
		case n.State != "online":
			add("%s answers, but does not serve this device: check that its id is %s", n.Ref.Addr, n.Ref.ID)
		}
	}
	switch m := r.IPv4.Mapping; m.Value {
	case "address-dependent", "address-and-port-dependent":
		add("the IPv4 NAT maps each destination to another port (\"symmetric\"): to peers behind such a NAT there is no direct path over IPv4;" +
			" IPv6, a port forwarding with --endpoint, or \"full cone\" in the router's settings helps")
	case "unknown":
		if r.IPv4.Works && len(r.SNs) == 1 {
			add("to tell how the IPv4 NAT maps, name another super node, too (--sn)")
		}
	}
	if r.IPv4.Works && r.IPv6.Asked && !r.IPv6.Works {
		add("IPv6 does not work here: with it most paths would need no punching")
	}
	return lines
}

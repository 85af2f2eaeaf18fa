package netsim

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the table of docs/netsim/nats.md anew")

const natsPage = "../docs/netsim/nats.md"

// The table of presets in the documentation is what presets are.
func TestPresetTable(t *testing.T) {
	page, err := os.ReadFile(natsPage)
	if err != nil {
		t.Fatal(err)
	}
	const head = "| preset | box | mapping | filtering | ports | hairpin | UDP life | beyond that |\n"
	before, rest, found := strings.Cut(string(page), head)
	_, after, ended := strings.Cut(rest, "\n\n")
	if !found || !ended {
		t.Fatalf("%s has no table", natsPage)
	}
	want := before + head + presetRows() + "\n" + after
	if *update {
		if err := os.WriteFile(natsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(page) {
		t.Errorf("%s is out of date: run 'go test ./netsim -run TestPresetTable -update'", natsPage)
	}
}

func presetRows() string {
	var b strings.Builder
	b.WriteString("|---|---|---|---|---|---|---|---|\n")
	for _, p := range Presets() {
		for i, c := range p.Boxes {
			name, box := "`"+p.Name+"`", ""
			if len(p.Boxes) > 1 {
				box = fmt.Sprintf("%d of %d, from the host", i+1, len(p.Boxes))
			}
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", name, box,
				behaviorText(c.Mapping), behaviorText(c.Filtering), portsText(c), yesNo(c.Hairpin), lifeText(c), extrasText(p, c))
		}
	}
	return b.String()
}

func behaviorText(b Behavior) string {
	return [...]string{"endpoint-independent", "address-dependent", "address-and-port-dependent"}[b]
}

func portsText(c NATConfig) string {
	text := [...]string{PreservePort: "preserved", RandomPort: "random", SequentialPort: "sequential"}[c.Ports]
	if c.PortRange != (PortRange{}) {
		text += fmt.Sprintf(", %d to %d", c.PortRange.Low, c.PortRange.High)
	}
	if c.PortsTaken > 0 {
		text += fmt.Sprintf(", %.0f %% taken", 100*c.PortsTaken)
	}
	return text
}

func yesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

func lifeText(c NATConfig) string {
	full, err := c.normalize()
	if err != nil {
		panic(err)
	}
	text := seconds(full.Timeout)
	if full.UnrepliedTimeout != full.Timeout {
		text += ", " + seconds(full.UnrepliedTimeout) + " unanswered"
	}
	if full.InboundRefresh {
		text += ", kept by packets in, too"
	}
	return text
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }

func extrasText(p Preset, c NATConfig) string {
	var list []string
	add := func(is bool, format string, args ...any) {
		if is {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	add(c.BlockUDP, "no UDP")
	add(c.UDPRate > 0, "%d kbit/s of UDP", c.UDPRate/1000)
	add(c.AllowPorts != [4]uint16{}, "ports %v only", ports(c.AllowPorts[:]))
	add(c.StealPorts, "loses ports")
	add(c.MaxMappings > 0, "%d mappings", c.MaxMappings)
	add(c.Prefix64.IsValid(), "NAT64, %v", c.Prefix64)
	add(p.IPv6 && p.IPv4, "IPv6, too")
	return strings.Join(list, "; ")
}

func ports(list []uint16) string {
	var words []string
	for _, p := range list {
		if p != 0 {
			words = append(words, fmt.Sprint(p))
		}
	}
	return strings.Join(words, ", ")
}

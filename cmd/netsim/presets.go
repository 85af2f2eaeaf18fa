package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/terminal"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/netsim"
)

// A presetView is a preset in JSON. Its boxes have the keys of a scenario.
type presetView struct {
	Name    string           `json:"name"`
	Summary string           `json:"summary"`
	Grid    bool             `json:"grid"` // among those of 'netsim grid'
	IPv4    bool             `json:"ipv4"`
	IPv6    bool             `json:"ipv6"`
	Boxes   []map[string]any `json:"boxes"`
}

func newPresets() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "presets [NAME]",
		Short: "List the NATs and firewalls that a scenario can name",
		Long: `List the ways to the internet that people meet, by the names that a scenario can use
for a node: {nat: NAME}. A preset is one box or several, each written here as a
scenario would write it. The first eight are those of the grid.`,
		Example: `  netsim presets
  netsim presets cgn
  netsim presets --json | jq -r .name`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completePreset,
		RunE: func(c *cobra.Command, args []string) error {
			list := netsim.Presets()
			if len(args) > 0 {
				p, err := netsim.PresetByName(args[0])
				if err != nil {
					return usage(err)
				}
				list = []netsim.Preset{p}
			}
			if asJSON {
				for _, p := range list {
					if err := encode(c.OutOrStdout(), viewPreset(p)); err != nil {
						return err
					}
				}
				return nil
			}
			showPresets(terminal.New(c.OutOrStdout(), os.Getenv), list)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a preset")
	return c
}

// completePreset completes the name of a preset, which is the only argument.
func completePreset(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, directive := completePresets(c, args, word)
	return list[1:], directive // without "all"
}

// showPresets shows presets to people.
func showPresets(t *terminal.Terminal, list []netsim.Preset) {
	grid := len(netsim.GridPresets())
	for i, p := range list {
		if len(list) > 1 && i == grid {
			t.Printf("\n%s\n\n", t.Faint("beside the grid"))
		}
		t.Printf("%s  %s\n", t.Bold(fmt.Sprintf("%-20s", p.Name)), p.Summary)
		for n, box := range p.Boxes {
			label := ""
			if len(p.Boxes) > 1 {
				label = fmt.Sprintf("box %d: ", n+1)
			}
			t.Printf("%20s  %s\n", "", t.Faint(label+"{nat: "+boxText(box)+"}"))
		}
	}
}

// boxText is a NAT as a scenario writes it.
func boxText(c netsim.NATConfig) string {
	keys := scenario.Written(c)
	words := make([]string, len(keys))
	for i, k := range keys {
		words[i] = fmt.Sprintf("%s: %s", k.Key, k.Text)
	}
	return "{" + strings.Join(words, ", ") + "}"
}

func viewPreset(p netsim.Preset) presetView {
	v := presetView{Name: p.Name, Summary: p.Summary, IPv4: p.IPv4, IPv6: p.IPv6, Boxes: []map[string]any{}}
	for _, g := range netsim.GridPresets() {
		v.Grid = v.Grid || g.Name == p.Name
	}
	for _, box := range p.Boxes {
		m := make(map[string]any)
		for _, k := range scenario.Written(box) {
			m[k.Key] = k.Text
		}
		v.Boxes = append(v.Boxes, m)
	}
	return v
}

// Command netsim simulates networks with NATs, and the devices on them, in virtual time.
package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/netsim/internal/virtual"
)

func main() {
	virtual.Main(func(ctx context.Context) int { return command.MainContext(ctx, newCommand()) })
}

func newCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "netsim",
		Short: "Try networks that you do not have",
		Long: `netsim simulates networks: hosts, routers, NATs, firewalls, and links with delay,
loss and rates. Super nodes and devices run on them as they would on real ones:
the program is the same, and only the network below is simulated. Time is, too:
an hour takes as long as there is something to compute.

All that is random in the network comes from a seed: which packets are lost, late or
damaged, and which ports NATs give. docs/netsim/determinism.md says what else there is.`,
		Example: `  # A scenario to begin with: two homes, a super node, and what is expected
  netsim init
  netsim run netsim.yaml

  # The NATs that a scenario can name
  netsim presets`,
	}
	c.PersistentFlags().BoolP("verbose", "v", false, "log to standard error what super nodes and devices do")
	c.AddCommand(
		newRun(),
		newGrid(),
		newExplain(),
		newInit(),
		newPresets(),
		newZones(),
		newKernel(),
		newCompare(),
	)
	return c
}

// logger returns the logger that the command line asks for: nothing, or everything. What goes
// wrong in a simulation is what is simulated.
func logger(c *cobra.Command) *slog.Logger {
	if v := c.Flags().Lookup("verbose"); v != nil && v.Value.String() == "true" {
		return command.Logger(c.ErrOrStderr(), slog.LevelDebug)
	}
	return slog.New(slog.DiscardHandler)
}

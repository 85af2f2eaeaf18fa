// Command bdt is a device on the command line: it makes identities, stays
// reachable, pings and measures other devices, and shows it all in a demo.
package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
)

func main() { os.Exit(command.Main(newCommand())) }

func newCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bdt",
		Short: "Reach devices by who they are, not by where they are",
		Long: `bdt reaches devices by their identity. An identity is a key; its id is all that
others need to dial it, wherever it is, with the help of a super node (SN), which
'bdt-sn' runs.`,
		Example: `  # See it work, with no other set-up
  bdt demo

  # One machine answers pings …
  bdt up --sn ID@HOST:PORT
  # … and another, anywhere, sends them, to the ticket that up has printed
  bdt ping 'bdt:ID?sn=…'`,
	}
	configure(c)
	c.AddCommand(
		newID(),
		newZone(),
		newUp(),
		newStatus(),
		newPeers(),
		newExplain(),
		newTicket(),
		newPing(),
		newCat(),
		newListen(),
		newForward(),
		newHTTP(),
		newBench(),
		newNetcheck(),
		newDemo(),
		newConfig(),
	)
	return c
}

// logger returns the logger that the command line asks for: warnings alone, or
// everything.
func logger(c *cobra.Command) *slog.Logger {
	level := slog.LevelWarn
	if v := c.Flags().Lookup("verbose"); v != nil && v.Value.String() == "true" {
		level = slog.LevelDebug
	}
	return command.Logger(c.ErrOrStderr(), level)
}

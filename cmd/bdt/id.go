package main

import "github.com/spf13/cobra"

func newID() *cobra.Command {
	c := &cobra.Command{
		Use:   "id",
		Short: "Make and inspect identities",
		Example: `  bdt id new --out laptop.pem --name laptop
  bdt id show laptop.pem`,
	}
	c.AddCommand(newIDNew(), newIDShow())
	return c
}

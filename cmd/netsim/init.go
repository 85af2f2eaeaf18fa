package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
)

// sample is what init writes.
//
//go:embed sample.yaml
var sample []byte

func newInit() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a sample scenario, with comments, to begin with",
		Long: `Write a sample scenario, with a comment at each part, which runs as it is. FILE is
netsim.yaml unless you say otherwise, and - is standard output. A file that is
there already stays as it is.`,
		Example: `  netsim init
  netsim init office.yaml && netsim run office.yaml
  netsim init - | less`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path := "netsim.yaml"
			if len(args) > 0 {
				path = args[0]
			}
			if path == "-" {
				_, err := c.OutOrStdout().Write(sample)
				return err
			}
			if err := writeNew(path, sample); err != nil {
				return err
			}
			if asJSON {
				return encode(c.OutOrStdout(), map[string]string{"file": path})
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "wrote %s: try 'netsim run %s'\n", path, path)
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the file's name as a JSON object")
	return c
}

// writeNew writes a file that is not there yet.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return command.Advise(fmt.Errorf("there is a file %s already", path), "name another: netsim init FILE")
	}
	if err == nil {
		_, err = f.Write(text)
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(path) // else the next attempt would find a file there
		}
	}
	if err != nil {
		return command.Advise(fmt.Errorf("write sample: %w", err), "name a file that can be written: netsim init FILE")
	}
	return nil
}

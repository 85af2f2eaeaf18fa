package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/netsim/internal/grid"
	"github.com/bdtnet/bdt/cmd/netsim/internal/report"
	"github.com/bdtnet/bdt/netsim"
)

// writeReport writes a page as index.html of a directory that makeReport has made.
func writeReport(dir string, page []byte) error {
	if err := os.WriteFile(filepath.Join(dir, "index.html"), page, 0o666); err != nil {
		return adviseReport(err)
	}
	return nil
}

// adviseReport is an error of the directory of a page.
func adviseReport(err error) error {
	return command.Advise(fmt.Errorf("write report: %w", err), "name a directory that you may write to, and that has room: --report DIR")
}

// makeReport makes the directory of a page, if there is to be one, so that what cannot be written is known
// before anything runs.
func makeReport(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return adviseReport(err)
	}
	probe, err := os.CreateTemp(dir, ".index-*")
	if err == nil {
		err = errors.Join(probe.Close(), os.Remove(probe.Name()))
	}
	if err != nil {
		return adviseReport(err)
	}
	return nil
}

// commandLine is the command that was run, without where its output went to.
func commandLine(c *cobra.Command, args []string) string {
	words := append([]string{c.CommandPath()}, args...)
	for _, name := range []string{"nats", "seeds", "seed", "loss", "line"} {
		if f := c.Flags().Lookup(name); f != nil && f.Changed {
			words = append(words, "--"+name, strings.Trim(f.Value.String(), "[]"))
		}
	}
	return strings.Join(words, " ")
}

// shownRows is how many rows a diagram has on the page of a grid.
const shownRows = 120

// gridCases records a few dials of a grid for its page: for every way to meet, and for
// every reason why not, the first pair.
func gridCases(c *cobra.Command, t *grid.Table) (cases []report.Case, err error) {
	seen := make(map[string]bool)
	for i := range t.Cells {
		for j := range t.Cells[i] {
			cell := &t.Cells[i][j]
			d := &cell.Dials[0]
			kind := d.Path
			if kind == "" && cell.Expected != nil {
				kind = cell.Expected.Reason
			}
			if seen[kind] {
				continue
			}
			seen[kind] = true
			one, e := gridCase(c, t, d)
			err = errors.Join(err, e)
			cases = append(cases, one)
		}
	}
	return cases, err
}

// gridCase does a dial of a grid again, and draws it.
func gridCase(c *cobra.Command, t *grid.Table, d *grid.Dial) (report.Case, error) {
	a, err := netsim.PresetByName(d.Caller)
	if err != nil {
		return report.Case{}, err
	}
	b, err := netsim.PresetByName(d.Callee)
	if err != nil {
		return report.Case{}, err
	}
	r, err := record(c, grid.Case(a, b, d.Seed, t.Loss, t.PN), d.Seed, "")
	if err != nil {
		return report.Case{}, err
	}
	return report.Case{
		Title: fmt.Sprintf("%s to %s", d.Caller, d.Callee), Text: fmt.Sprintf("seed %d: %s", d.Seed, saidOf(r.result.Steps[0])),
		Diagram: r.diagram(0, shownRows),
	}, nil
}

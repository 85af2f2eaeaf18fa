package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/terminal"
	"github.com/bdtnet/bdt/cmd/netsim/internal/kernel"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/cmd/netsim/internal/simulate"
	"github.com/bdtnet/bdt/netsim/natlab"
)

// A kernelRunner is the command line of kernel.
type kernelRunner struct {
	bin    string
	asJSON bool
}

func newKernel() *cobra.Command {
	var o kernelRunner
	c := &cobra.Command{
		Use:   "kernel FILE",
		Short: "Run a scenario on network namespaces, with the real programs",
		Long: `Run a scenario as 'netsim run' does, but on a network of the kernel's: network
namespaces, veth pairs and nftables, in which the programs bdt and bdt-sn run, in
real time. It takes Linux, root, iproute2 and nftables. The machine's own network is
not touched, and nothing stays when the command ends, however it ends.

What the kernel cannot do is an error that says where; what it leaves out since it makes
no difference to who reaches whom, such as delays, is said at the end.
docs/netsim/kernel.md lists both. Times that a scenario expects are not looked at.

The status is 0 if all was as expected, 1 if not, 2 if it cannot be run.`,
		Example: `  sudo netsim kernel office.yaml
  sudo netsim kernel office.yaml --bin ~/bin --json`,
		Args:              oneScenario,
		ValidArgsFunction: completeFiles,
		RunE:              func(c *cobra.Command, args []string) error { return o.run(c, args[0]) },
	}
	addBin(c, &o.bin)
	c.Flags().BoolVar(&o.asJSON, "json", false, "print one JSON object")
	return c
}

// addBin adds the flag that says where the programs are.
func addBin(c *cobra.Command, bin *string) {
	c.Flags().StringVar(bin, "bin", "", "`DIR` of the programs bdt and bdt-sn (default: that of this program)")
	c.MarkFlagDirname("bin")
}

// run is netsim kernel.
func (o *kernelRunner) run(c *cobra.Command, path string) error {
	f, err := loadScenario(path)
	if err != nil {
		return err
	}
	if list := kernel.Unsupported(f); len(list) > 0 {
		return command.Advise(command.Usagef("the kernel cannot run it: %s", strings.Join(list, "\n  ")),
			"run it by 'netsim run', or take that out: docs/netsim/kernel.md says what the kernel can do")
	}
	if err := simulate.Check(f); err != nil {
		return adviseScenario(err) // the kernel would take it, and nobody reach anybody
	}
	bin, err := ready(o.bin)
	if err != nil {
		return err
	}
	m := newMeter(c, "  steps", int64(len(f.Steps)))
	start := time.Now()
	r, err := kernel.Run(c.Context(), f, kernel.Options{
		Bin: bin, Progress: func(scenario.Outcome) { m.add(1) }, Output: programOutput(c),
	})
	m.close()
	if err != nil {
		return err
	}
	if o.asJSON {
		if err := writeResult(c.OutOrStdout(), path, r); err != nil {
			return err
		}
	} else {
		t := terminal.New(c.OutOrStdout(), os.Getenv)
		met := showSteps(t, f, r)
		t.Printf("%d of %d steps as expected, in %.1f s\n", met, len(r.Steps), time.Since(start).Seconds())
		showBeside(t, kernel.Beside(f))
	}
	return verdict(path, []*scenario.Result{r})
}

// ready returns the directory of the programs if the kernel can be used. An error is one of usage.
func ready(bin string) (string, error) {
	lab, err := natlab.New()
	if err != nil {
		return "", command.Advise(&command.UsageError{Err: err}, "it takes Linux, root, iproute2 and nftables; 'netsim run' takes nothing")
	}
	lab.Close()
	bin, err = kernel.Programs(bin)
	if err != nil {
		return "", command.Advise(&command.UsageError{Err: err}, "run 'make build', or say where they are by --bin DIR")
	}
	return bin, nil
}

// showBeside says what was left out.
func showBeside(t *terminal.Terminal, list []string) {
	if len(list) > 0 {
		t.Printf("not modelled: %s\n", strings.Join(list, ", "))
	}
}

// programOutput returns what shows the output of programs, if it is asked for.
func programOutput(c *cobra.Command) func(name, text string) {
	if v := c.Flags().Lookup("verbose"); v == nil || v.Value.String() != "true" {
		return nil
	}
	return func(name, text string) { fmt.Fprintf(c.ErrOrStderr(), "%s wrote:\n%s", name, text) }
}

package main

import (
	"flag"
	"testing"

	"github.com/bdtnet/bdt/cmd/internal/clidoc"
)

var update = flag.Bool("update", false, "write docs/netsim/cli.md anew")

const remedy = "go test ./cmd/netsim -run TestDocs -update"

// docs/netsim/cli.md says what the help does.
func TestDocs(t *testing.T) {
	const intro = "# The command netsim\n\nWritten by `" + remedy + "` from the help of each command.\n\n" +
		"Exit status: 0 all went as expected, 1 it did not, 2 wrong usage or a wrong file (nothing was done). An error is a line on\n" +
		"standard error that names the cause, and a second that begins with `next:` and says what to do. With `--json`\n" +
		"standard output is one object a line. There are colours and bars on a terminal alone, and no colours with `NO_COLOR`.\n"
	clidoc.Hold(t, "../../docs/netsim/cli.md", clidoc.Reference(intro, newCommand()), *update, remedy)
}

// Every command explains itself by example, on lines that fit a terminal, and what
// prints something can print JSON.
func TestHelp(t *testing.T) { clidoc.Check(t, newCommand(), "netsim") }

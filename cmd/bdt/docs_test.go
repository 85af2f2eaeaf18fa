package main

import (
	"flag"
	"testing"

	"github.com/bdtnet/bdt/cmd/internal/clidoc"
)

var update = flag.Bool("update", false, "write docs/cli.md anew")

const remedy = "go test ./cmd/bdt -run TestDocs -update"

// docs/cli.md says what the help does.
func TestDocs(t *testing.T) {
	const intro = "# The command line\n\nWritten by `" + remedy + "` from the help of each command.\n\n" +
		"Exit status: 0 done, 1 failed, 2 wrong usage or configuration (nothing was done). An error is a line on standard error that\n" +
		"names the command and the cause, and a second that begins with `next:` and says what to do. With `--json` standard output is one\n" +
		"object a line. There are colours and bars on a terminal alone, and no colours with `NO_COLOR`.\n"
	clidoc.Hold(t, "../../docs/cli.md", clidoc.Reference(intro, newCommand()), *update, remedy)
}

// Every command explains itself by example, on lines that fit a terminal, and what
// prints something can print JSON.
func TestHelp(t *testing.T) {
	clidoc.Check(t, newCommand(), "bdt", "bdt demo", "bdt cat", "bdt listen", "bdt id new",
		"bdt zone", "bdt zone ood", "bdt id", "bdt config")
}

package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/cli.md anew")

const docFile = "../../docs/cli.md"

// all returns a command and those below it that people are meant to find.
func all(c *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if !sub.Hidden && sub.Name() != "help" && sub.Name() != "completion" {
			list = append(list, all(sub)...)
		}
	}
	return list
}

// docs/cli.md says what the help does.
func TestDocs(t *testing.T) {
	want := reference()
	if *update {
		if err := os.WriteFile(docFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/cli.md does not say what the help does: run 'go test ./cmd/bdt -run TestDocs -update'")
	}
}

// reference is the text of docs/cli.md.
func reference() string {
	var b strings.Builder
	b.WriteString("# The command line\n\nWritten by `go test ./cmd/bdt -run TestDocs -update` from the help of each command.\n\n" +
		"Exit status: 0 done, 1 failed, 2 wrong usage or configuration (nothing was done). An error is a line on standard error that\n" +
		"names the command and the cause, and a second that begins with `next:` and says what to do. With `--json` standard output is one\n" +
		"object a line. There are colours and bars on a terminal alone, and no colours with `NO_COLOR`.\n")
	for _, c := range all(newCommand()) {
		fmt.Fprintf(&b, "\n## %s\n\n", c.CommandPath())
		if c.Long == "" {
			fmt.Fprintf(&b, "%s.\n\n", c.Short)
		}
		b.WriteString("```\n")
		if c.Long != "" {
			fmt.Fprintf(&b, "%s\n\n", strings.TrimSpace(c.Long))
		}
		if c.Runnable() {
			fmt.Fprintf(&b, "%s\n\n", c.UseLine())
		}
		fmt.Fprintf(&b, "%s\n", strings.TrimRight(c.Example, "\n"))
		if flags := c.LocalFlags(); flags.HasAvailableFlags() {
			fmt.Fprintf(&b, "\n%s", flags.FlagUsages())
		}
		b.WriteString("```\n")
	}
	return b.String()
}

// Every command explains itself by example, on lines that fit a terminal, and what
// prints something can print JSON.
func TestHelp(t *testing.T) {
	noJSON := map[string]bool{
		"bdt": true, "bdt demo": true, "bdt cat": true, "bdt listen": true, "bdt id new": true,
		"bdt zone": true, "bdt zone ood": true, "bdt id": true, "bdt config": true,
	}
	for _, c := range all(newCommand()) {
		path := c.CommandPath()
		if c.Short == "" || !strings.Contains(c.Example, c.CommandPath()) && !c.HasSubCommands() {
			t.Errorf("%s: no summary, or no example of it", path)
		}
		for line := range strings.Lines(c.Long + "\n" + c.Example) {
			if len([]rune(line)) > 100 {
				t.Errorf("%s: a line of %d characters: %s", path, len([]rune(line)), line)
			}
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s is not explained", path, f.Name)
			}
		})
		if !noJSON[path] && c.Flags().Lookup("json") == nil {
			t.Errorf("%s has no --json", path)
		}
	}
}

// Package clidoc holds a program to the reference of its command line, which is written from
// the help of its commands.
package clidoc

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// All returns a command and those below it that people are meant to find.
func All(c *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if !sub.Hidden && sub.Name() != "help" && sub.Name() != "completion" {
			list = append(list, All(sub)...)
		}
	}
	return list
}

// Reference returns the text of a reference, in Markdown: an introduction, and what the help
// of each command says.
func Reference(intro string, root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(intro)
	for _, c := range All(root) {
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

// Hold holds a file to a text, or writes it if update says so. remedy is the command that
// does.
func Hold(t *testing.T, file, want string, update bool, remedy string) {
	t.Helper()
	if update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is out of date: run '%s'", file, remedy)
	}
}

// Check has every command explain itself by example, on lines that fit a terminal, and what
// prints something be able to print JSON, but for those that noJSON names.
func Check(t *testing.T, root *cobra.Command, noJSON ...string) {
	t.Helper()
	for _, c := range All(root) {
		path := c.CommandPath()
		if c.Short == "" || !strings.Contains(c.Example, path) && !c.HasSubCommands() {
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
		if !slices.Contains(noJSON, path) && c.Flags().Lookup("json") == nil {
			t.Errorf("%s has no --json", path)
		}
	}
}

package command_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
)

// run runs a small tree of commands with args.
func run(args ...string) (status int, stdout, stderr string) {
	root := &cobra.Command{Use: "tool"}
	group := &cobra.Command{Use: "group"}
	group.AddCommand(&cobra.Command{
		Use:  "one ARG",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch args[0] {
			case "plain":
				return errors.New("it broke")
			case "advised":
				inner := command.Advise(errors.New("it broke"), "do not read this")
				return command.Advise(inner, "mend %s", "it")
			case "usage":
				return command.Usagef("not %q", args[0])
			case "usage advised":
				return command.Advise(command.Usagef("not that"), "say this")
			}
			c.Println("fine")
			return nil
		},
	})
	root.AddCommand(group)
	var out, errs bytes.Buffer
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&errs)
	status = command.Run(context.Background(), root)
	return status, out.String(), errs.String()
}

func TestRun(t *testing.T) {
	for _, tc := range []struct {
		name   string
		args   string
		status int
		stderr string
	}{
		{"done", "group one fine", command.Done, ""},
		{"failed", "group one plain", command.Failed, "tool group one: it broke\nnext: run it again with -v to see what happens\n"},
		{"outermost advice", "group one advised", command.Failed, "tool group one: it broke\nnext: mend it\n"},
		{"usage", "group one usage", command.Usage, "tool group one: not \"usage\"\nnext: try 'tool group one --help'\n"},
		{"arguments", "group one", command.Usage, "tool group one: accepts 1 arg(s), received 0\nnext: try 'tool group one --help'\n"},
		{"flag", "group one --no fine", command.Usage, "tool group one: unknown flag: --no\nnext: try 'tool group one --help'\n"},
		{"command", "nothing", command.Usage, "tool: there is no command \"nothing\"\nnext: try 'tool --help'\n"},
		{"command of a group", "group nothing", command.Usage, "tool group: there is no command \"nothing\"\nnext: try 'tool group --help'\n"},
		{"help", "help nothing", command.Usage, "tool help: there is no command \"nothing\"\nnext: try 'tool help --help'\n"},
		{"help in a group", "help group nothing", command.Usage, "tool help: there is no command \"nothing\"\nnext: try 'tool help --help'\n"},
		{"group", "group", command.Usage, "tool group: say which command\nnext: try 'tool group --help'\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, _, stderr := run(strings.Fields(tc.args)...)
			if status != tc.status || stderr != tc.stderr {
				t.Errorf("status %d, stderr %q; want %d, %q", status, stderr, tc.status, tc.stderr)
			}
		})
	}
	t.Run("usage with advice", func(t *testing.T) {
		status, _, stderr := run("group", "one", "usage advised")
		if want := "tool group one: not that\nnext: say this\n"; status != command.Usage || stderr != want {
			t.Errorf("status %d, stderr %q", status, stderr)
		}
	})
}

func TestHelp(t *testing.T) {
	for _, args := range []string{"--help", "group --help", "--version"} {
		status, stdout, stderr := run(strings.Fields(args)...)
		if status != command.Done || stdout == "" || stderr != "" {
			t.Errorf("%s: status %d, stdout %q, stderr %q", args, status, stdout, stderr)
		}
	}
}

func TestAdviseNothing(t *testing.T) {
	if err := command.Advise(nil, "rejoice"); err != nil {
		t.Errorf("Advise(nil) = %v", err)
	}
}

func TestAdviseKeepsCause(t *testing.T) {
	cause := errors.New("cause")
	if !errors.Is(command.Advise(cause, "x"), cause) {
		t.Error("the cause is lost")
	}
}

// full is a writer that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no room") }

func TestLostOutput(t *testing.T) {
	for _, tc := range []struct {
		name   string
		run    func(c *cobra.Command) error
		stderr string
	}{
		{"unnoticed", func(c *cobra.Command) error { fmt.Fprintln(c.OutOrStdout(), "fine"); return nil }, "tool: no room\n"},
		{"returned", func(c *cobra.Command) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "fine")
			return fmt.Errorf("write it: %w", err)
		}, "tool: write it: no room\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var errs bytes.Buffer
			root := &cobra.Command{Use: "tool", RunE: func(c *cobra.Command, _ []string) error { return tc.run(c) }}
			root.SetArgs(nil)
			root.SetOut(full{})
			root.SetErr(&errs)
			status := command.Run(context.Background(), root)
			if status != command.Failed || !strings.HasPrefix(errs.String(), tc.stderr) || !strings.Contains(errs.String(), "standard output") {
				t.Errorf("status %d, stderr %q", status, errs.String())
			}
		})
	}
}

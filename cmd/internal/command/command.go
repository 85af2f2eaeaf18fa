// Package command is the life of a command-line process: it runs a cobra
// command until it is done or a signal stops it, says what went wrong and what
// to do next, and returns the exit status.
package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit statuses.
const (
	Done   = 0
	Failed = 1
	Usage  = 2 // the command line is wrong; nothing was done
)

// Main runs root with the process's arguments and returns the exit status.
// The context of the commands ends with SIGINT or SIGTERM; a second signal
// kills the process.
func Main(root *cobra.Command) int { return MainContext(context.Background(), root) }

// MainContext is [Main] with a context whose values the commands get, and with which
// theirs ends, too.
func MainContext(ctx context.Context, root *cobra.Command) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return Run(ctx, root)
}

// Run runs root and returns the exit status. An error is written to the
// command's error stream, with a second line that says what to do next. That
// output was lost is an error.
func Run(ctx context.Context, root *cobra.Command) int {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.Version = version()
	// What fails before a command runs is the command line.
	started := false
	prepare(root, &started)
	checkHelp(root)
	out := &output{Writer: root.OutOrStdout()}
	root.SetOut(out)
	cmd, err := root.ExecuteContextC(ctx)
	lost := out.failed()
	if lost != nil && (err == nil || errors.Is(err, lost)) {
		report(cmd.ErrOrStderr(), cmd, cmp.Or(err, lost), adviseOutput)
		return Failed
	}
	if err == nil {
		return Done
	}
	var usage *UsageError
	if !started || errors.As(err, &usage) {
		report(cmd.ErrOrStderr(), cmd, err, "try '"+cmd.CommandPath()+" --help'")
		return Usage
	}
	report(cmd.ErrOrStderr(), cmd, err, "run it again with -v to see what happens")
	return Failed
}

// prepare has all commands below c note that they have started, and those
// that only group others refuse to run.
func prepare(c *cobra.Command, started *bool) {
	if c.RunE == nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("there is no command %q", args[0])
			}
			return nil
		}
		c.RunE = func(*cobra.Command, []string) error { return Usagef("say which command") }
	}
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		*started = true
		return run(c, args)
	}
	for _, sub := range c.Commands() {
		prepare(sub, started)
	}
}

// checkHelp has the command help refuse words that are no command.
func checkHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() != "help" {
			continue
		}
		c.Args = func(_ *cobra.Command, args []string) error {
			_, rest, err := root.Find(args)
			if err == nil && len(rest) > 0 {
				err = fmt.Errorf("there is no command %q", rest[0])
			}
			return err
		}
	}
}

// report writes err, and the advice it carries or else the one given.
func report(w io.Writer, cmd *cobra.Command, err error, advice string) {
	var a *advised
	if errors.As(err, &a) {
		advice = a.advice
	}
	fmt.Fprintf(w, "%s: %v\nnext: %s\n", cmd.CommandPath(), err, advice)
}

// A UsageError is a command line that asks for something impossible.
type UsageError struct{ Err error }

// Error returns what is wrong.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef returns a [*UsageError].
func Usagef(format string, args ...any) error {
	return &UsageError{fmt.Errorf(format, args...)}
}

// An advised error carries what to do next.
type advised struct {
	error
	advice string
}

func (e *advised) Unwrap() error { return e.error }

// Advise returns err with what its reader can do about it, in the imperative.
// The outermost advice is the one that is shown.
func Advise(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &advised{err, fmt.Sprintf(format, args...)}
}

// Logger returns a logger of text lines to w, from a level on.
func Logger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// version is what the build says of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			version += " " + s.Value
		}
	}
	return version
}

// Package scripttest is the daemon in a testscript: a process that a script
// starts, waits for, and stops.
//
//	start NAME PROGRAM ARG…   run PROGRAM until its ready line, whose words
//	                          KEY=VALUE become variables NAME_KEY
//	finish NAME               send it SIGTERM; it must end with status 0
//	exits STATUS PROGRAM ARG… run PROGRAM, which must end with STATUS
package scripttest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience bounds the wait for a daemon: only a test that fails takes as long.
const patience = 30 * time.Second

// Params returns parameters to run the scripts of a directory with the
// commands above.
func Params(dir string) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Values[daemonsKey{}] = &daemons{env: env.Vars, byName: make(map[string]*daemon)}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":  start,
			"finish": finish,
			"exits":  exits,
		},
	}
}

type daemonsKey struct{}

// daemons are those of one script.
type daemons struct {
	env    []string
	byName map[string]*daemon
}

// A daemon is a running process.
type daemon struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer // complete after done
	done   chan struct{}
	err    error // of the process, after done
}

func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME PROGRAM ARG…")
	}
	name := args[0]
	all := ts.Value(daemonsKey{}).(*daemons)
	d := &daemon{cmd: exec.Command(args[1], args[2:]...), done: make(chan struct{})}
	d.cmd.Dir, d.cmd.Env, d.cmd.Stderr = ts.MkAbs("."), all.env, &d.stderr
	stdout, err := d.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(d.cmd.Start())
	ready := make(chan string, 1)
	go func() {
		defer close(d.done)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if text, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
				ready <- text
				break
			}
		}
		io.Copy(io.Discard, stdout)
		d.err = d.cmd.Wait()
	}()
	ts.Defer(func() {
		d.cmd.Process.Kill() // fails if it has ended
		<-d.done
	})
	select {
	case text := <-ready:
		for word := range strings.FieldsSeq(text) {
			if key, value, ok := strings.Cut(word, "="); ok {
				ts.Setenv(name+"_"+key, value)
			}
		}
	case <-d.done:
		ts.Fatalf("%s ended before it was ready: %v\n%s", name, d.err, &d.stderr)
	case <-time.After(patience):
		d.cmd.Process.Kill()
		<-d.done
		ts.Fatalf("%s is not ready after %v\n%s", name, patience, &d.stderr)
	}
	all.byName[name] = d
}

func finish(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: finish NAME")
	}
	d := ts.Value(daemonsKey{}).(*daemons).byName[args[0]]
	if d == nil {
		ts.Fatalf("%s was not started", args[0])
	}
	ts.Check(d.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-d.done:
	case <-time.After(patience):
		ts.Fatalf("%s does not stop", args[0])
	}
	if d.err != nil {
		ts.Fatalf("%s: %v\n%s", args[0], d.err, &d.stderr)
	}
	ts.Logf("%s wrote to stderr:\n%s", args[0], &d.stderr)
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("status %d, want %d", got, want)
	}
}

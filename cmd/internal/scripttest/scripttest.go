// Package scripttest is the daemon in a testscript: a process that a script
// starts, waits for, and stops.
//
//	start NAME PROGRAM ARG…          run PROGRAM until its ready line, whose words
//	                                 KEY=VALUE become variables NAME_KEY
//	await NAME PATTERN PROGRAM ARG…  run PROGRAM until it writes a line that
//	                                 matches PATTERN
//	finish NAME [STATUS]             send it SIGTERM; it must end with STATUS,
//	                                 else 0; its output is in NAME.stdout and
//	                                 NAME.stderr
//	ends NAME STATUS                 it must end by itself, with STATUS
//	hangup NAME PATTERN              send it SIGHUP, and wait for a line that
//	                                 matches PATTERN
//	crash NAME                       send it SIGKILL, and wait for its end
//	fetch STATUS URL [PATTERN]       ask by HTTP until the answer has STATUS, and a
//	                                 line that matches PATTERN
//	until PATTERN PROGRAM ARG…       run PROGRAM again and again until it ends with
//	                                 status 0 and has written a line that matches
//	                                 PATTERN
//	exits STATUS PROGRAM ARG…        run PROGRAM, which must end with STATUS
package scripttest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
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
			// With -race each process would sleep for a second at its end.
			env.Setenv("GORACE", "atexit_sleep_ms=10")
			// Sockets of daemons lie in the script's own directory.
			run := filepath.Join(env.WorkDir, ".run")
			if err := os.Mkdir(run, 0o700); err != nil {
				return err
			}
			env.Setenv("XDG_RUNTIME_DIR", run)
			env.Values[daemonsKey{}] = &daemons{env: env.Vars, byName: make(map[string]*daemon)}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":  start,
			"await":  await,
			"finish": finish,
			"ends":   ends,
			"hangup": hangup,
			"crash":  crash,
			"fetch":  fetch,
			"until":  until,
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
	cmd            *exec.Cmd
	stdout, stderr output
	done           chan struct{} // closed when the process has ended
}

// An output collects what a process writes, and finds the first line that
// matches a pattern.
type output struct {
	mu      sync.Mutex
	pattern *regexp.Regexp
	found   chan string // holds one
	text    []byte      // may be read when the process has ended
	line    []byte      // the last, not complete yet
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, b...)
	o.line = append(o.line, b...)
	for {
		line, rest, ok := bytes.Cut(o.line, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		if o.pattern.Match(line) {
			select {
			case o.found <- string(line):
			default: // an earlier one was found
			}
		}
		o.line = rest
	}
}

func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME PROGRAM ARG…")
	}
	line := run(ts, args[0], regexp.MustCompile("^ready "), args[1:])
	for word := range strings.FieldsSeq(line) {
		if key, value, ok := strings.Cut(word, "="); ok {
			ts.Setenv(args[0]+"_"+key, value)
		}
	}
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: await NAME PATTERN PROGRAM ARG…")
	}
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	run(ts, args[0], pattern, args[2:])
}

// run runs a process and returns the first line it writes that matches.
func run(ts *testscript.TestScript, name string, pattern *regexp.Regexp, args []string) string {
	all := ts.Value(daemonsKey{}).(*daemons)
	d := &daemon{cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{})}
	found := make(chan string, 1)
	d.stdout.pattern, d.stdout.found = pattern, found
	d.stderr.pattern, d.stderr.found = pattern, found
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = ts.MkAbs("."), &d.stdout, &d.stderr
	d.cmd.Env = slices.Clip(all.env)
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "BDT_CONFIG"} {
		d.cmd.Env = append(d.cmd.Env, name+"="+ts.Getenv(name))
	}
	ts.Check(d.cmd.Start())
	go func() {
		defer close(d.done)
		d.cmd.Wait() // its result is in ProcessState
	}()
	ts.Defer(func() {
		d.cmd.Process.Kill() // fails if it has ended
		<-d.done
	})
	all.byName[name] = d
	select {
	case line := <-found:
		return line
	case <-d.done:
	case <-time.After(patience):
		d.cmd.Process.Kill()
		<-d.done
	}
	select {
	case line := <-found: // its last words
		return line
	default:
	}
	ts.Fatalf("%s wrote no line that matches %v: %v\n%s%s", name, pattern, d.cmd.ProcessState, d.stdout.text, d.stderr.text)
	return ""
}

func finish(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: finish NAME [STATUS]")
	}
	d := find(ts, args[0])
	ts.Check(d.cmd.Process.Signal(syscall.SIGTERM))
	status := "0"
	if len(args) == 2 {
		status = args[1]
	}
	d.ended(ts, args[0], status)
}

func ends(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ends NAME STATUS")
	}
	find(ts, args[0]).ended(ts, args[0], args[1])
}

// find returns a process that was started.
func find(ts *testscript.TestScript, name string) *daemon {
	d := ts.Value(daemonsKey{}).(*daemons).byName[name]
	if d == nil {
		ts.Fatalf("%s was not started", name)
	}
	return d
}

// ended waits for the end of a process and checks its status.
func (d *daemon) ended(ts *testscript.TestScript, name, status string) {
	want, err := strconv.Atoi(status)
	ts.Check(err)
	select {
	case <-d.done:
	case <-time.After(patience):
		ts.Fatalf("%s does not stop", name)
	}
	ts.Check(os.WriteFile(ts.MkAbs(name+".stdout"), d.stdout.text, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(name+".stderr"), d.stderr.text, 0o600))
	if got := d.cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("%s: %v, want status %d\n%s", name, d.cmd.ProcessState, want, d.stderr.text)
	}
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

package scripttest

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// started returns a daemon by its name.
func started(ts *testscript.TestScript, name string) *daemon {
	d := ts.Value(daemonsKey{}).(*daemons).byName[name]
	if d == nil {
		ts.Fatalf("%s was not started", name)
	}
	return d
}

func hangup(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hangup NAME PATTERN")
	}
	d := started(ts, args[0])
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	found := make(chan string, 1)
	for _, o := range []*output{&d.stdout, &d.stderr} {
		o.mu.Lock()
		o.pattern, o.found = pattern, found
		o.mu.Unlock()
	}
	ts.Check(d.cmd.Process.Signal(syscall.SIGHUP))
	select {
	case <-found:
		return
	case <-d.done:
	case <-time.After(patience):
	}
	d.stderr.mu.Lock()
	defer d.stderr.mu.Unlock()
	ts.Fatalf("%s wrote no line that matches %v after SIGHUP\n%s", args[0], pattern, d.stderr.text)
}

func crash(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: crash NAME")
	}
	d := started(ts, args[0])
	ts.Check(d.cmd.Process.Kill())
	<-d.done
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".stdout"), d.stdout.text, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".stderr"), d.stderr.text, 0o600))
}

func fetch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: fetch STATUS URL [PATTERN]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	pattern := regexp.MustCompile("")
	if len(args) == 3 {
		pattern, err = regexp.Compile(args[2])
		ts.Check(err)
	}
	// No connection is left behind, which a server would wait for.
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		status, body, err := get(client, args[1])
		if err == nil && status == want && matches(pattern, body) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s: status %d, %v, want %d and a line that matches %v\n%s", args[1], status, err, want, pattern, body)
		}
	}
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN PROGRAM ARG…")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && matches(pattern, []byte(ts.ReadFile("stdout"))) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%v, and no line that matches %v", err, pattern)
		}
	}
}

func get(client *http.Client, url string) (status int, body []byte, err error) {
	res, err := client.Get(url)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return res.StatusCode, body, err
}

// matches reports whether a line matches.
func matches(pattern *regexp.Regexp, text []byte) bool {
	for line := range bytes.Lines(text) {
		if pattern.Match(bytes.TrimSuffix(line, []byte("\n"))) {
			return true
		}
	}
	return len(text) == 0 && pattern.MatchString("")
}

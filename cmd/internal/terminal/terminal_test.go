package terminal

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPlain(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var buf bytes.Buffer
	for name, term := range map[string]*Terminal{
		"buffer": New(&buf, os.Getenv),
		"file":   New(file, os.Getenv),
	} {
		if got := term.Bold("b") + term.Faint("f") + term.Good("g") + term.Bad("x"); got != "bfgx" {
			t.Errorf("%s: styled as %q", name, got)
		}
		bar := term.Bar("moving", 10)
		bar.Set(5)
		bar.Clear()
		term.Printf("%d\n", 7)
	}
	if got := buf.String(); got != "7\n" {
		t.Errorf("wrote %q", got)
	}
}

func TestLive(t *testing.T) {
	var buf bytes.Buffer
	term := &Terminal{&buf, true, true}
	if got := term.Good("g"); got != "\x1b[32mg\x1b[0m" {
		t.Errorf("styled as %q", got)
	}
	bar := term.Bar("moving", 4096)
	bar.Set(1024)
	if got := buf.String(); !strings.Contains(got, "moving") || !strings.Contains(got, "25%") {
		t.Errorf("the bar shows %q", got)
	}
	bar.Clear()
	if got := buf.String(); !strings.HasSuffix(got, "\r") {
		t.Errorf("the line is not cleared: %q", got)
	}
}

func TestEnvironment(t *testing.T) {
	for _, tc := range []struct {
		env           map[string]string
		tty           bool
		live, colours bool
	}{
		{map[string]string{"TERM": "xterm"}, true, true, true},
		{map[string]string{"TERM": "xterm"}, false, false, false},
		{map[string]string{"TERM": "dumb"}, true, false, false},
		{map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, true, true, false},
		{map[string]string{"TERM": "xterm", "NO_COLOR": ""}, true, true, true},
	} {
		term := newTerminal(nil, tc.tty, func(key string) string { return tc.env[key] })
		if term.live != tc.live || term.colours != tc.colours {
			t.Errorf("%v, tty %v: live %v, colours %v", tc.env, tc.tty, term.live, term.colours)
		}
	}
}

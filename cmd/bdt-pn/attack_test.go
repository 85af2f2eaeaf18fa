package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bdtnet/bdt/cmd/internal/operator"
)

// TestVerbose: -v logs more, whatever else is said.
func TestVerbose(t *testing.T) {
	for range 50 {
		o := options{logLevel: operator.Level(slog.LevelWarn), verbose: true, key: "k"}
		c := newCommand()
		if err := c.ParseFlags([]string{"-v", "--log-level", "warn"}); err != nil {
			t.Fatal(err)
		}
		s, err := load(o, c.Flags())
		if err != nil {
			t.Fatal(err)
		}
		if s.LogLevel != operator.Level(slog.LevelDebug) {
			t.Fatalf("-v --log-level warn logs from %v on", s.LogLevel)
		}
	}
}

// TestNothing: who grants no bytes is not taken to mean all bytes, nor no patience for the
// usual one.
func TestNothing(t *testing.T) {
	for _, text := range []string{
		"limits:\n  bytes-per-day: {payer: 0}\n", "limits:\n  bytes-per-day: {zone: 0MiB}\n", "limits:\n  bytes-per-second: {all: 0}\n",
	} {
		if s, err := parseSettings([]byte(text)); err == nil {
			t.Errorf("%q: taken as %+v", text, s.Limits)
		}
	}
	file := filepath.Join(t.TempDir(), "pn.yaml")
	for text, want := range map[string]time.Duration{"drain: 0s\n": 0, "key: k\n": defaultDrain, "drain: 5s\n": 5 * time.Second} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := load(options{config: file}, newCommand().Flags())
		if err != nil {
			t.Fatal(err)
		}
		if got := time.Duration(s.Drain); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

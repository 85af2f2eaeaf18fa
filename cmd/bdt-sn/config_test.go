package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/cmd/internal/operator"
	"github.com/bdtnet/bdt/sn"
)

// The example in deploy names every key, with its default.
func TestExampleConfiguration(t *testing.T) {
	text, err := os.ReadFile("../../deploy/sn.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseSettings(text); err != nil {
		t.Errorf("as it is: %v", err)
	}
	// A key is a comment without a space behind its sign.
	bare := regexp.MustCompile(`(?m)^#(\S| {2})`).ReplaceAllString(string(text), "$1")
	s, err := parseSettings([]byte(bare))
	if err != nil {
		t.Fatalf("with every key: %v", err)
	}
	if s.Limits.Lookups != (rate{2000, 4000}) || s.PingInterval != operator.Duration(25*time.Second) || len(s.Listen) != 2 || s.Advertise == "" {
		t.Errorf("%+v", s)
	}
	for _, key := range regexp.MustCompile("yaml:\"([a-z-]+)\"").FindAllStringSubmatch(source(t), -1) {
		if !strings.Contains(bare, key[1]+":") {
			t.Errorf("the example lacks %s", key[1])
		}
	}
	if _, err := s.server(); err != nil {
		t.Error(err)
	}
}

func source(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("config.go")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBadConfigurations(t *testing.T) {
	for text, want := range map[string][]string{
		"key: a\nlisen: [x]\n":                  {"[2:1]", "lisen"},
		"limits:\n  devices: many\n":            {"[2:"},
		"log-level: loud\n":                     {"[1:12]", "loud", "not debug"},
		"key: a\nlog-format: xml\n":             {"[2:13]", "xml"},
		"log-level: [info]\n":                   {"[1:", "not a word"},
		"ping-interval: soon\n":                 {"[1:"},
		"key: [\n":                              {"[1:"},
		"limits:\n  call:\n    per-second: 1\n": {"[2:3]", "call"},
	} {
		_, err := parseSettings([]byte(text))
		if err == nil {
			t.Errorf("%q: no error", text)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: %v: lacks %q", text, err, w)
			}
		}
	}
}

// FuzzSettings: whatever the file, an error or settings that the server takes or
// refuses.
func FuzzSettings(f *testing.F) {
	if text, err := os.ReadFile("../../deploy/sn.yaml"); err == nil {
		f.Add(text)
	}
	f.Add([]byte("limits:\n  devices: 1\nlisten: [':1']\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 4096 {
			return
		}
		s, err := parseSettings(text)
		if err != nil {
			return
		}
		var c sn.Config
		if c, err = s.server(); err == nil && len(c.Listen) < len(s.Listen) {
			t.Errorf("%q: %d addresses of %d", text, len(c.Listen), len(s.Listen))
		}
	})
}

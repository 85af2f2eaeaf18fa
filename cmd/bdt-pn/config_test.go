package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/bdtnet/bdt/pn"
)

// The example in deploy names every key, with its default.
func TestExampleConfiguration(t *testing.T) {
	text, err := os.ReadFile("../../deploy/pn.yaml")
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
	if s.Limits.Second.Pair != 64<<20 || s.Limits.Second.All != -1 || len(s.Listen) != 2 || s.Advertise == "" {
		t.Errorf("%+v", s)
	}
	source, err := os.ReadFile("config.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range regexp.MustCompile("yaml:\"([a-z-]+)\"").FindAllStringSubmatch(string(source), -1) {
		if !strings.Contains(bare, key[1]+":") {
			t.Errorf("the example lacks %s", key[1])
		}
	}
}

func TestBadConfigurations(t *testing.T) {
	for text, want := range map[string][]string{
		"key: a\nlisen: [x]\n":                                    {"[2:1]", "lisen"},
		"limits:\n  bytes-per-second:\n    binding: much\n":       {"[3:", "much", "64MiB"},
		"limits:\n  bytes-per-second:\n    binding: -5\n":         {"[3:", "-5"},
		"limits:\n  bytes-per-second: {binding: 9999999999TiB}\n": {"[2:", "9999999999TiB"},
		"admission: everybody\n":                                  {"[1:"},
		"idle: long\n":                                            {"[1:"},
		"admission:\n  owners: [x]\n":                             {"[2:3]", "owners"},
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
	if text, err := os.ReadFile("../../deploy/pn.yaml"); err == nil {
		f.Add(text)
	}
	f.Add([]byte("limits:\n  sessions: 1\nlisten: [':1']\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 4096 {
			return
		}
		s, err := parseSettings(text)
		if err != nil {
			return
		}
		s.Admission.Zones, s.Admission.Issuers = nil, nil // files are not the fuzzer's
		var c pn.Config
		if c, err = s.server(); err == nil && len(c.Listen) < len(s.Listen) {
			t.Errorf("%q: %d addresses of %d", text, len(c.Listen), len(s.Listen))
		}
	})
}

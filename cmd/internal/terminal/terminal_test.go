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

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The commands of docs/netsim/README.md run as they stand there, in one directory, and write what
// it shows: … is anything on a line, a line of … alone any number of lines, and spaces are as many as there
// are. YAML blocks that begin with the comment "# NAME" are files.
func TestReadme(t *testing.T) {
	shell, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	readme, err := os.ReadFile("../../docs/netsim/README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../../docs/netsim/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if name := filepath.Base(page); name != "README.md" && !strings.Contains(string(readme), "]("+name+")") {
			t.Errorf("docs/netsim/README.md does not list %s", name)
		}
	}
	dir, commands := t.TempDir(), 0
	for _, b := range regexp.MustCompile("(?ms)^```(console|yaml)\n(.*?)^```$").FindAllStringSubmatch(string(readme), -1) {
		if b[1] == "yaml" {
			name, _, _ := strings.Cut(strings.TrimPrefix(b[2], "# "), "\n")
			if err := os.WriteFile(filepath.Join(dir, name), []byte(b[2]), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for _, step := range strings.Split(b[2], "$ ")[1:] {
			command, shown, _ := strings.Cut(step, "\n")
			c := exec.Command(shell, "-c", command)
			c.Dir = dir
			out, err := c.CombinedOutput() // what a command that fails writes is shown, too
			if _, failed := err.(*exec.ExitError); err != nil && !failed {
				t.Fatal(err)
			}
			if !shows(shown).Match(out) {
				t.Errorf("%s writes\n%s\nand not\n%s", command, out, shown)
			}
			commands++
		}
	}
	if commands < 5 {
		t.Errorf("%d commands: the test does not see the tour", commands)
	}
}

// shows is a pattern for what is shown of a command's output.
func shows(text string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`\A`)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.TrimSpace(line) == "…" {
			b.WriteString(`(?:.*\n)*?`)
			continue
		}
		words := strings.Fields(line)
		for i, word := range words {
			words[i] = strings.ReplaceAll(regexp.QuoteMeta(word), "…", ".*?")
		}
		b.WriteString(` *` + strings.Join(words, ` +`) + ` *\n`)
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String())
}

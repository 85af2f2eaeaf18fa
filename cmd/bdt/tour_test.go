//go:build unix

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The README's console blocks are one session in one shell, and every command of it is
// run as it stands there, with these substitutions:
//
//   - 5aSi…NAME is an id, the one that stood in its place in the output where it was
//     seen first;
//   - … in output is anything on a line, and a line of … alone any number of lines;
//   - spaces in output are as many as there are;
//   - the ports of the tour are free ones;
//   - make is make -n, run where the Makefile is: the tests are running already;
//   - go get is a replacement by this tree, from which nothing is downloaded;
//   - curl is a stand-in where there is none.
//
// Go blocks that begin with the comment "// NAME" are files, written where the shell is
// when it comes to them.
func TestTour(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	shell, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	tour := newTour(t, shell)
	blocks := parseBlocks(string(readme))
	commands := 0
	for _, b := range blocks {
		switch {
		case b.language == "console":
			for _, step := range parseSteps(b.text) {
				tour.run(step)
				commands++
			}
		case b.language == "go" && strings.HasPrefix(b.text, "// ") && strings.HasSuffix(firstLine(b.text), ".go"):
			tour.write(strings.TrimPrefix(firstLine(b.text), "// "), b.text)
		}
	}
	if commands < 20 {
		t.Errorf("the README has %d commands: the test does not see the tour", commands)
	}
}

// A block is a fenced block of the README.
type block struct{ language, text string }

func parseBlocks(readme string) []block {
	var list []block
	for _, part := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(readme, -1) {
		list = append(list, block{part[1], part[2]})
	}
	return list
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// A step is a command and the output that the README shows.
type step struct {
	command string
	output  []string
}

func parseSteps(text string) []step {
	var list []step
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			list = append(list, step{command: command})
		} else if len(list) > 0 {
			last := &list[len(list)-1]
			last.output = append(last.output, line)
		}
	}
	return list
}

// A tour is a shell in which the README's commands run.
type tour struct {
	t     *testing.T
	root  string // of the module
	dir   string // where the shell is
	stdin io.Writer
	ids   map[string]string // what 5aSi…NAME stands for
	ports *strings.Replacer

	mu  sync.Mutex
	out bytes.Buffer // what the last command has written
	new chan struct{}
}

func newTour(t *testing.T, shell string) *tour {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	tour := &tour{t: t, root: root, dir: dir, ids: make(map[string]string), ports: freePorts(t, "8443", "8000", "8080"), new: make(chan struct{}, 1)}
	run := filepath.Join(dir, "run")
	if err := os.Mkdir(run, 0o700); err != nil {
		t.Fatal(err)
	}
	path := os.Getenv("PATH")
	if _, err := exec.LookPath("curl"); err != nil {
		path = standIn(t, dir) + string(filepath.ListSeparator) + path
	}
	goEnv := func(name string) string {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		return name + "=" + strings.TrimSpace(string(value))
	}
	cmd := exec.Command(shell, "--noprofile", "--norc")
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + path, "HOME=" + dir, "XDG_CONFIG_HOME=" + filepath.Join(dir, "conf"), "XDG_RUNTIME_DIR=" + run, "GORACE=atexit_sleep_ms=10",
		goEnv("GOCACHE"), goEnv("GOMODCACHE"), goEnv("GOPATH"), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOTOOLCHAIN=local", "GOSUMDB=off",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that all it has started can be ended
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	tour.stdin = stdin
	done := make(chan struct{})
	go func() {
		defer close(done)
		tour.collect(reader)
	}()
	t.Cleanup(func() {
		stdin.Close()
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait() // killed
		<-done
		reader.Close()
	})
	return tour
}

// freePorts replaces the README's ports by ones that are free.
func freePorts(t *testing.T, ports ...string) *strings.Replacer {
	t.Helper()
	var pairs []string
	for _, p := range ports {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close() // when all are found
		_, free, _ := net.SplitHostPort(ln.Addr().String())
		pairs = append(pairs, p, free)
	}
	return strings.NewReplacer(pairs...)
}

// standIn makes a curl that knows -s URL.
func standIn(t *testing.T, dir string) string {
	t.Helper()
	bin := filepath.Join(dir, "bin")
	source := filepath.Join(dir, "curl.go")
	const text = `package main
import ("io"; "net/http"; "os")
func main() {
	r, err := http.Get(os.Args[2])
	if err != nil { panic(err) }
	io.Copy(os.Stdout, r.Body)
}`
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, "curl"), source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// collect keeps what the shell and its children write.
func (u *tour) collect(r io.Reader) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		u.mu.Lock()
		u.out.WriteString(line)
		u.mu.Unlock()
		select {
		case u.new <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// mark is what the shell writes when a command is over, with its status.
const mark = "-- over: "

// run runs a step and checks its output.
func (u *tour) run(s step) {
	u.t.Helper()
	command := u.command(s.command)
	u.mu.Lock()
	u.out.Reset()
	u.mu.Unlock()
	fmt.Fprintf(u.stdin, "%s\necho \"%s$?\"\n", command, mark)
	deadline := time.After(2 * patienceTour)
	for {
		u.mu.Lock()
		text := u.out.String()
		u.mu.Unlock()
		over := strings.Contains(text, mark)
		text = regexp.MustCompile("(?m)^"+mark+".*\n").ReplaceAllString(text, "")
		background := strings.HasSuffix(s.command, "&")
		if over && (!background || u.match(s.output, text)) {
			if !u.match(s.output, text) {
				u.t.Fatalf("$ %s\nwrites\n%s\nand the README shows\n%s\nwith %v", command, text, strings.Join(s.output, "\n"), u.ids)
			}
			u.learn(s.output, text)
			return
		}
		select {
		case <-u.new:
		case <-deadline:
			u.t.Fatalf("$ %s\ntakes too long; it has written\n%s\nand the README shows\n%s\nwith %v", command, text, strings.Join(s.output, "\n"), u.ids)
		}
	}
}

// patienceTour bounds a command: it may build the module. Only a test that fails takes
// twice that.
const patienceTour = time.Minute

// command is a command with the substitutions.
func (u *tour) command(s string) string {
	s = u.ports.Replace(s)
	s = placeholder.ReplaceAllStringFunc(s, func(p string) string {
		id, ok := u.ids[p]
		if !ok {
			u.t.Fatalf("the README uses %s, which no output has shown", p)
		}
		return id
	})
	if rest, ok := strings.CutPrefix(s, "make "); ok {
		target, _, _ := strings.Cut(rest, "#")
		return fmt.Sprintf("make -n -C '%s' %s > /dev/null", u.root, target)
	}
	if s == `export PATH="$PWD/bin:$PATH"` {
		return ":" // the test has put its own there
	}
	s = strings.ReplaceAll(s, "go get github.com/bdtnet/bdt@latest",
		fmt.Sprintf("go mod edit -require=github.com/bdtnet/bdt@v0.0.0 -replace='github.com/bdtnet/bdt=%s' && cp '%s/go.sum' .", u.root, u.root))
	if rest, ok := strings.CutPrefix(s, "mkdir tour && cd tour"); ok {
		u.dir = filepath.Join(u.dir, "tour")
		return "mkdir tour && cd tour" + rest
	}
	return s
}

// write writes a file of the README.
func (u *tour) write(name, text string) {
	u.t.Helper()
	name = filepath.Join(u.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		u.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(u.ports.Replace(text)), 0o600); err != nil {
		u.t.Fatal(err)
	}
}

// placeholder is what stands for an id.
var placeholder = regexp.MustCompile(`5aSi…[a-z]+`)

// idPattern matches an id of a device.
const idPattern = `5aSi[1-9A-HJ-NP-Za-km-z]{40}`

// pattern is the pattern of the output that the README shows. The names of the
// placeholders are those of its groups, in order.
func (u *tour) pattern(output []string) (*regexp.Regexp, []string) {
	var b strings.Builder
	var names []string
	b.WriteString(`\A`)
	for _, line := range output {
		if line == "…" {
			b.WriteString(`(?:.*\n)*?`)
			continue
		}
		rest := u.ports.Replace(line)
		for rest != "" {
			at := placeholder.FindStringIndex(rest)
			plain := rest
			if at != nil {
				plain = rest[:at[0]]
			}
			for i, piece := range strings.Split(plain, "…") {
				if i > 0 {
					b.WriteString(`.*?`)
				}
				b.WriteString(regexp.MustCompile(` +`).ReplaceAllString(regexp.QuoteMeta(piece), ` +`))
			}
			if at == nil {
				break
			}
			name := rest[at[0]:at[1]]
			if id, ok := u.ids[name]; ok {
				b.WriteString(id)
			} else {
				b.WriteString(`(` + idPattern + `)`)
				names = append(names, name)
			}
			rest = rest[at[1]:]
		}
		b.WriteString(`.*\n`[map[bool]int{true: 0, false: 2}[strings.HasSuffix(line, "…")]:])
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String()), names
}

// match reports whether text is what the README shows.
func (u *tour) match(output []string, text string) bool {
	p, names := u.pattern(output)
	m := p.FindStringSubmatch(text)
	if m == nil {
		return false
	}
	ids := make(map[string]string)
	for i, name := range names {
		if id, ok := ids[name]; ok && id != m[i+1] {
			return false // one name for two ids
		}
		ids[name] = m[i+1]
	}
	return true
}

// learn keeps what the placeholders stand for.
func (u *tour) learn(output []string, text string) {
	p, names := u.pattern(output)
	m := p.FindStringSubmatch(text)
	for i, name := range names {
		u.ids[name] = m[i+1]
	}
}

// What the README shows and what a command writes are held against each other.
func TestTourMatch(t *testing.T) {
	const one, two = "5aSixgM8AdcAMCPHdkPEwwcuUzT3aJZhkdkVYj5SXKct", "5aSixgM8AdcAMCPHdkPEwwcuUzT3aJZhkdkVYj5SXKcu"
	for _, tc := range []struct {
		shown, written string
		want           bool
	}{
		{"", "", true},
		{"", "x", false},
		{"x", "", false},
		{"a  b", "a b", true},
		{"a…", "a and more", true},
		{"a …c", "a b c", true},
		{"a… c", "a b d", false},
		{"a\n…\nz", "a\nz", true},
		{"a\n…\nz", "a\nb\nc\nz", true},
		{"a\n…\nz", "a\nb\nc", false},
		{"…", "a\nb", true},
		{"a", "a\nb", false},
		{"x=5aSi…a y=5aSi…b", "x=" + one + " y=" + two, true},
		{"x=5aSi…a y=5aSi…a", "x=" + one + " y=" + two, false},
		{"x=5aSi…a", "x=" + one[:43], false},
		{"x=5aSi…known", "x=" + two, true},
		{"x=5aSi…known", "x=" + one, false},
		{"at 127.0.0.1:1234.", "at 127.0.0.1:99.", true},
		{"(.*)", "anything", false},
	} {
		u := &tour{t: t, ids: map[string]string{"5aSi…known": two}, ports: strings.NewReplacer("1234", "99")}
		steps := parseSteps("$ command\n" + tc.shown)
		written := tc.written
		if written != "" {
			written += "\n"
		}
		if got := u.match(steps[0].output, written); got != tc.want {
			t.Errorf("%q shown, %q written: %v", tc.shown, tc.written, got)
		}
	}
	if blocks := parseBlocks("x\n```console\n$ a\n```\n```go\nb\n```\n"); len(blocks) != 2 || blocks[0] != (block{"console", "$ a\n"}) || blocks[1].language != "go" {
		t.Errorf("blocks %q", blocks)
	}
}

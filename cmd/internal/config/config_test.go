package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/bdtnet/bdt/cmd/internal/config"
)

// words is a value that takes several, but none that is "bad".
type words []string

func (w *words) Set(s string) error {
	if s == "bad" {
		return errors.New("that is bad")
	}
	*w = append(*w, s)
	return nil
}
func (w *words) String() string { return strings.Join(*w, " ") }
func (*words) Type() string     { return "WORD" }

// A toggle is a value that is true or false.
type toggle bool

func (s *toggle) Set(text string) error {
	v, err := strconv.ParseBool(text)
	*s = toggle(v)
	return err
}
func (s *toggle) String() string { return strconv.FormatBool(bool(*s)) }
func (*toggle) Type() string     { return "bool" }
func (*toggle) IsBoolFlag() bool { return true }

var table = config.Table{
	{Name: "key", New: func() pflag.Value { return new(words) }, Path: func(dir, v string) string { return filepath.Join(dir, v) }},
	{Name: "listen", New: func() pflag.Value { return new(words) }, Many: true},
	{Name: "serve-dir", New: func() pflag.Value { return new(words) }, Many: true, Named: true},
	{Name: "quiet", Short: "q", New: func() pflag.Value { return new(toggle) }},
}

// A result is what the settings are after Apply.
type result struct {
	key, listen, dirs words
	quiet             toggle
	entries           []config.Entry
}

// apply parses a command line, a file and an environment.
func apply(args, file string, env map[string]string) (*result, error) {
	var r result
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	table.Flag(flags, "key", &r.key)
	table.Flag(flags, "listen", &r.listen)
	table.Flag(flags, "serve-dir", &r.dirs)
	table.Flag(flags, "quiet", &r.quiet)
	if err := flags.Parse(strings.Fields(args)); err != nil {
		return nil, err
	}
	f, err := table.Parse("conf/bdt.yaml", []byte(file))
	if err != nil {
		return nil, err
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	r.entries, err = table.Apply(flags, lookup, f)
	return &r, err
}

func TestPrecedence(t *testing.T) {
	const file = "key: file.pem\nlisten: [1, ':2']\nserve-dir:\n  web: /www\n  pub: [a, b]\nquiet: true\n"
	env := map[string]string{"BDT_KEY": "env.pem", "BDT_LISTEN": " 3\n4 ", "BDT_SERVE_DIR": "", "BDT_OTHER": "x"}
	for _, tc := range []struct {
		name, args, file string
		env              map[string]string
		want             string // key | listen | dirs | quiet
		sources          string
	}{
		{"nothing", "", "", nil, "|||false", ", , , "},
		{"file", "", file, nil, "conf/file.pem|1 :2|web=/www pub=a,b|true", "conf/bdt.yaml:1, conf/bdt.yaml:2, conf/bdt.yaml:3, conf/bdt.yaml:6"},
		{"environment", "", file, env, "env.pem|3 4|web=/www pub=a,b|true", "BDT_KEY, BDT_LISTEN, conf/bdt.yaml:3, conf/bdt.yaml:6"},
		{"flags", "--listen 5 --listen 6 --key f.pem -q=false", file, env, "f.pem|5 6|web=/www pub=a,b|false", "flag, flag, conf/bdt.yaml:3, flag"},
		{"a truth value alone", "-q", "", nil, "|||true", ", , , flag"},
	} {
		r, err := apply(tc.args, tc.file, tc.env)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if got := fmt.Sprintf("%s|%s|%s|%v", &r.key, &r.listen, &r.dirs, r.quiet); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
		var sources []string
		for _, e := range r.entries {
			sources = append(sources, e.Source)
			if (len(e.Values) == 0) != (e.Source == "") {
				t.Errorf("%s: %s has the values %q from %q", tc.name, e.Setting.Name, e.Values, e.Source)
			}
		}
		if got := strings.Join(sources, ", "); got != tc.sources {
			t.Errorf("%s: sources %s, want %s", tc.name, got, tc.sources)
		}
	}
}

// What is wrong is named, with its place.
func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		file, env, want string
	}{
		{file: "key: a\nlsten: 1\n", want: `conf/bdt.yaml:2: there is no setting "lsten"; is "listen" meant?`},
		{file: "\n\nsomething: 1\n", want: `conf/bdt.yaml:3: there is no setting "something"; 'bdt config show' lists all`},
		{file: "listen:\n - 1\n - bad\n", want: `conf/bdt.yaml:3: listen "bad": that is bad`},
		{file: "quiet: perhaps\n", want: "conf/bdt.yaml:1: quiet"},
		{file: "key: [a, b]\n", want: "conf/bdt.yaml:1: key takes one value, not a list"},
		{file: "key: a\nkey: b\n", want: "conf/bdt.yaml:2: "},
		{file: "listen: {a: b}\n", want: "conf/bdt.yaml:1: listen takes a value, not a mapping"},
		{file: "listen:\n - a: b\n", want: "conf/bdt.yaml:2: listen takes plain values"},
		{file: "listen:\n", want: "conf/bdt.yaml:1: listen has no value"},
		{file: "listen: []\n", want: "conf/bdt.yaml:1: listen has no value"},
		{file: "listen: [[1]]\n", want: "takes plain values"},
		{file: "listen: &a 1\n", want: "takes plain values"},
		{file: "- listen\n", want: "conf/bdt.yaml:1: not a list of 'setting: value'"},
		{file: "listen\n", want: "conf/bdt.yaml:1: not a list"},
		{file: "key: a\nlisten: [1\n", want: "conf/bdt.yaml:2: "},
		{file: "key: a\n---\nkey: b\n", want: "conf/bdt.yaml:3: key is there twice"},
		{file: strings.Repeat("# much\n", 10_000), want: "more than 65536 bytes"},
		{env: "bad", want: `BDT_LISTEN: listen "bad": that is bad`},
	} {
		_, err := apply("", tc.file, map[string]string{"BDT_LISTEN": tc.env})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q %q: %v, want %s", tc.file, tc.env, err, tc.want)
		}
	}
	for _, harmless := range []string{"", "# nothing\n", "---\n", "null\n"} {
		if _, err := apply("", harmless, nil); err != nil {
			t.Errorf("%q: %v", harmless, err)
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if f, err := table.LoadDefault(path); f != nil || err != nil || f.Path() != "" {
		t.Errorf("LoadDefault of nothing: %v, %v", f, err)
	}
	if _, err := table.Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of nothing: %v", err)
	}
	if err := os.WriteFile(path, []byte("quiet: true"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := table.LoadDefault(path); err != nil || f.Path() != path {
		t.Errorf("LoadDefault: %v, %v", f, err)
	}
	if _, err := table.LoadDefault(filepath.Dir(path)); err == nil {
		t.Error("a directory was read as a file")
	}
}

func TestUnknown(t *testing.T) {
	got := table.Unknown([]string{"BDT_KEY=1", "BDT_LISTN=2", "BDT_XYZZY=3", "BDT_CONFIG=4", "HOME=5"}, "BDT_CONFIG")
	want := []config.Guess{{"BDT_LISTN", "BDT_LISTEN"}, {"BDT_XYZZY", ""}}
	if !slices.Equal(got, want) {
		t.Errorf("Unknown: %v, want %v", got, want)
	}
}

// Whatever a file holds, it is refused with a place, or every value has one.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"key: a\nlisten: [1, 2]\nserve-dir:\n  web: /www\nquiet: yes\n",
		"key: &a b\nlisten: *a\n", "? [a]\n: b\n", "!!set {a}\n", "key: |\n  x\n", "key: 'a\n", "\tkey: a\n", "{key: a}\n", "<<: {key: a}\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := table.Parse("f.yaml", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f.yaml") {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		var r result
		flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
		table.Flag(flags, "listen", &r.listen)
		entries, err := table.Apply(flags, func(string) (string, bool) { return "", false }, file)
		if err != nil {
			t.Errorf("a value that was checked is refused: %v", err)
		}
		for _, e := range entries {
			if len(e.Values) > 0 && !strings.HasPrefix(e.Source, "f.yaml:") {
				t.Errorf("%s from %q", e.Setting.Name, e.Source)
			}
		}
	})
}

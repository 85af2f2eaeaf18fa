// Package config is what a program is told by its flags, its environment and its
// configuration file. A [Table] of settings drives all three: a setting is one
// flag, one variable and one key of the file. Flags come before the environment,
// and that before the file; what comes first replaces the others, lists
// included.
package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/bdtnet/bdt/cmd/internal/spelling"
)

// A Setting is something that can be configured.
type Setting struct {
	// Name is that of the flag and of the key in the file. The variable is
	// BDT_NAME, in capitals and with _ for -.
	Name string
	// Short is the flag's one-letter name. Empty: none.
	Short string
	// Usage is one line for help; `WORD` in it names the value.
	Usage string
	// New returns an empty value, whose Set refuses what is wrong.
	New func() pflag.Value
	// Many says that it may be given several times. A variable then holds words,
	// separated by white space, and the file a list.
	Many bool
	// Named says that each value is NAME=VALUE, which the file may write as
	// a mapping.
	Named bool
	// Path returns a value of the file, which lies in dir, with the file names in
	// it made absolute. nil: there is none in it.
	Path func(dir, value string) string
}

// Variable is the setting's name in the environment.
func (s Setting) Variable() string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// Prefix begins the names of all variables.
const Prefix = "BDT_"

// A Table is all settings of a program, in the order in which they are shown.
type Table []Setting

// find returns the setting with a name.
func (t Table) find(name string) (Setting, bool) {
	for _, s := range t {
		if s.Name == name {
			return s, true
		}
	}
	return Setting{}, false
}

// Flag adds the flag of a setting to a command's. Its value goes to v, from
// wherever it comes once [Table.Apply] has run. The name must be in the table.
func (t Table) Flag(f *pflag.FlagSet, name string, v pflag.Value) {
	s, ok := t.find(name)
	if !ok {
		panic("config: no setting " + name)
	}
	b := &bound{Value: v}
	flag := f.VarPF(b, s.Name, s.Short, s.Usage)
	if sw, ok := v.(interface{ IsBoolFlag() bool }); ok && sw.IsBoolFlag() {
		flag.NoOptDefVal = "true"
	}
}

// A bound value is that of a setting's flag. It keeps what it was given.
type bound struct {
	pflag.Value
	given []string
}

// Set passes s on, and keeps it if it was taken.
func (b *bound) Set(s string) error {
	if err := b.Value.Set(s); err != nil {
		return err
	}
	b.given = append(b.given, s)
	return nil
}

// An Entry is the value of a setting and where it comes from.
type Entry struct {
	Setting Setting
	Values  []string // none: the default
	Source  string   // "flag", the name of a variable, FILE:LINE; empty: the default
}

// A Lookup returns a variable of the environment, as os.LookupEnv does.
type Lookup func(name string) (value string, ok bool)

// Apply gives each flag that [Table.Flag] has added to flags its value from the
// environment or from the file, which may be nil, unless the command line has
// given it. It returns the settings that have flags there, in the table's order.
// An error says where the value that is refused comes from.
func (t Table) Apply(flags *pflag.FlagSet, lookup Lookup, file *File) ([]Entry, error) {
	var all []Entry
	for _, s := range t {
		flag := flags.Lookup(s.Name)
		if flag == nil {
			continue
		}
		b, ok := flag.Value.(*bound)
		if !ok {
			continue // another command's flag that happens to have the name
		}
		e := Entry{Setting: s}
		switch {
		case flag.Changed:
			e.Values, e.Source = b.given, "flag"
		default:
			given, source := s.fromEnvironment(lookup)
			if len(given) == 0 {
				given, source = file.values(s.Name)
			}
			for _, v := range given {
				if err := b.Set(v.text); err != nil {
					return nil, fmt.Errorf("%s: %s %q: %w", v.source, s.Name, v.text, err)
				}
			}
			e.Values, e.Source = b.given, source
		}
		all = append(all, e)
	}
	return all, nil
}

// A value is one value of a setting, and where it was found.
type value struct {
	text   string
	source string
}

// fromEnvironment returns what the setting's variable says; nothing if it is not
// set, or empty.
func (s Setting) fromEnvironment(lookup Lookup) ([]value, string) {
	name := s.Variable()
	text, _ := lookup(name)
	words := []string{text}
	if s.Many {
		words = strings.Fields(text)
	}
	var list []value
	for _, w := range words {
		if w != "" {
			list = append(list, value{w, name})
		}
	}
	return list, name
}

// Unknown returns the variables of an environment (NAME=VALUE, as os.Environ
// returns it) that look like settings and are none, each with the nearest that
// is, or nothing. It leaves out those named in others.
func (t Table) Unknown(environ []string, others ...string) []Guess {
	known := slices.Clone(others)
	for _, s := range t {
		known = append(known, s.Variable())
	}
	var list []Guess
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		if strings.HasPrefix(name, Prefix) && value != "" && !slices.Contains(known, name) {
			list = append(list, Guess{name, spelling.Nearest(name, known)})
		}
	}
	return list
}

// A Guess is a name that is not known, and the known one that may be meant.
type Guess struct{ Name, Meant string }

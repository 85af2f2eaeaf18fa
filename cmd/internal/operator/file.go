package operator

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/bdtnet/bdt/cmd/internal/command"
)

// Parse reads the text of a configuration file into settings, which hold the defaults. Keys
// that it does not know are errors, which name the line.
func Parse(text []byte, settings any) error {
	// An empty document is no mapping; one of comments alone neither.
	if err := yaml.UnmarshalWithOptions(text, settings, yaml.Strict()); err != nil {
		return errors.New(strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	return nil
}

// ReadFile reads a configuration file with parse; example is the file that shows every key.
func ReadFile[T any](name, example string, parse func([]byte) (T, error)) (s T, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return s, command.Advise(err, "name a file that you can read with --config FILE")
	}
	if s, err = parse(text); err != nil {
		return s, command.Advise(fmt.Errorf("%s: %w", name, err), "correct the file; %s has every key", example)
	}
	return s, nil
}

// Relative makes the paths of a configuration file, which are relative to its directory, such
// that they can be opened.
func Relative(config string, paths ...*string) {
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(config), *p)
		}
	}
}

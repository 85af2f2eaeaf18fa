package operator

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/bdtnet/bdt/cmd/internal/command"
)

// maxFile bounds a configuration file, in bytes: those that anybody writes are a few KiB.
const maxFile = 1 << 20

// Parse reads the text of a configuration file into settings, which hold the defaults. Keys
// that it does not know are errors, which name the line. YAML's tags are refused: no setting
// has a use for them.
func Parse(text []byte, settings any) (err error) {
	if len(text) > maxFile {
		return fmt.Errorf("more than %d bytes are no configuration", maxFile)
	}
	// The library panics at some of what nobody writes, as at a tag without a value where a
	// list is wanted.
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("it is no configuration that can be read")
		}
	}()
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return explain(err)
	}
	for _, d := range file.Docs {
		if d.Body == nil {
			continue
		}
		if tag := firstTag(d.Body); tag != nil {
			at := tag.GetToken().Position
			return fmt.Errorf("[%d:%d] the tag %s means nothing here", at.Line, at.Column, tag.GetToken().Value)
		}
	}
	// An empty document is no mapping; one of comments alone neither.
	if err := yaml.UnmarshalWithOptions(text, settings, yaml.Strict()); err != nil {
		return explain(err)
	}
	return nil
}

// explain is an error of the library with the place that it is about.
func explain(err error) error {
	return errors.New(strings.TrimSpace(yaml.FormatError(err, false, false)))
}

// firstTag returns the first tag of a document, or nil.
func firstTag(n ast.Node) ast.Node {
	f := &tagFinder{}
	ast.Walk(f, n)
	return f.found
}

// A tagFinder keeps the first tag that it visits.
type tagFinder struct{ found ast.Node }

// Visit implements [ast.Visitor].
func (f *tagFinder) Visit(n ast.Node) ast.Visitor {
	if n == nil || f.found != nil {
		return nil
	}
	if n.Type() == ast.TagType {
		f.found = n
		return nil
	}
	return f
}

// ReadFile reads a configuration file with parse; example is the file that shows every key.
func ReadFile[T any](name, example string, parse func([]byte) (T, error)) (s T, err error) {
	file, err := os.Open(name)
	if err != nil {
		return s, command.Advise(err, "name a file that you can read with --config FILE")
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
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

package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/bdtnet/bdt/cmd/internal/spelling"
)

// maxFile is the largest configuration file, in bytes.
const maxFile = 64 << 10

// A File is a configuration file that has been read and whose values have been
// checked. nil is a file that says nothing.
type File struct {
	path string
	keys map[string]entry
}

// An entry is what stands at one key.
type entry struct {
	source string // FILE:LINE
	values []value
}

// values returns what the file says of a setting, and where.
func (f *File) values(name string) ([]value, string) {
	if f == nil {
		return nil, ""
	}
	e := f.keys[name]
	return e.values, e.source
}

// Path returns the name of the file, empty for none.
func (f *File) Path() string {
	if f == nil {
		return ""
	}
	return f.path
}

// Load reads a configuration file. A file that is not there is an error that is
// fs.ErrNotExist.
func (t Table) Load(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return t.Parse(path, text)
}

// LoadDefault is Load of a file that need not be there; nil if it is not.
func (t Table) LoadDefault(path string) (*File, error) {
	f, err := t.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}

// Parse reads the text of a configuration file, which is one YAML mapping of
// settings to values. Errors begin with FILE:LINE. File names in it are taken to be
// relative to the file's own directory.
func (t Table) Parse(path string, text []byte) (*File, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s: more than %d bytes", path, maxFile)
	}
	parsed, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, syntaxError(path, err)
	}
	r := reader{table: t, file: &File{path: path, keys: make(map[string]entry)}}
	for _, doc := range parsed.Docs {
		if doc == nil || doc.Body == nil {
			continue
		}
		if err := r.document(doc.Body); err != nil {
			return nil, err
		}
	}
	return r.file, nil
}

// syntaxError says on which line of a file the YAML is broken.
func syntaxError(path string, err error) error {
	var y yaml.Error
	if errors.As(err, &y) && y.GetToken() != nil && y.GetToken().Position != nil {
		return fmt.Errorf("%s:%d: %s", path, y.GetToken().Position.Line, y.GetMessage())
	}
	return fmt.Errorf("%s: %w", path, err)
}

// A reader turns the nodes of a document into entries.
type reader struct {
	table Table
	file  *File
}

// at is FILE:LINE of a node.
func (r *reader) at(n ast.Node) string {
	if tok := n.GetToken(); tok != nil && tok.Position != nil {
		return fmt.Sprintf("%s:%d", r.file.path, tok.Position.Line)
	}
	return r.file.path
}

// errorf is an error at a node.
func (r *reader) errorf(n ast.Node, format string, args ...any) error {
	return fmt.Errorf("%s: %w", r.at(n), fmt.Errorf(format, args...))
}

// document reads the mapping that a document has to be.
func (r *reader) document(body ast.Node) error {
	pairs, ok := mapping(body)
	switch {
	case body.Type() == ast.NullType || body.Type() == ast.CommentType:
		return nil
	case !ok:
		return r.errorf(body, "not a list of 'setting: value', one a line")
	}
	for _, p := range pairs {
		name := keyText(p)
		s, ok := r.table.find(name)
		if !ok {
			return r.unknown(p, name)
		}
		if _, twice := r.file.keys[name]; twice {
			return r.errorf(p.Key, "%s is there twice; a list takes several values", name)
		}
		values, err := r.values(s, p.Value)
		if err != nil {
			return err
		}
		r.file.keys[name] = entry{r.at(p.Key), values}
	}
	return nil
}

// unknown is the error for a key that is no setting.
func (r *reader) unknown(p *ast.MappingValueNode, name string) error {
	known := make([]string, len(r.table))
	for i, s := range r.table {
		known[i] = s.Name
	}
	if meant := spelling.Nearest(name, known); meant != "" {
		return r.errorf(p.Key, "there is no setting %q; is %q meant?", name, meant)
	}
	return r.errorf(p.Key, "there is no setting %q; 'bdt config show' lists all", name)
}

// values reads and checks what stands at a key: one value, or a list of them, or a
// mapping of names to values.
func (r *reader) values(s Setting, n ast.Node) ([]value, error) {
	var list []value
	add := func(n ast.Node, text string) error {
		if s.Path != nil {
			text = s.Path(filepath.Dir(r.file.path), text)
		}
		if err := s.New().Set(text); err != nil {
			return r.errorf(n, "%s %q: %w", s.Name, text, err)
		}
		list = append(list, value{text, r.at(n)})
		return nil
	}
	pairs, isMapping := mapping(n)
	sequence, isSequence := n.(*ast.SequenceNode)
	switch {
	case isMapping && s.Named:
		for _, p := range pairs {
			text, err := r.scalars(s, p.Value)
			if err != nil {
				return nil, err
			}
			if err := add(p.Key, keyText(p)+"="+text); err != nil {
				return nil, err
			}
		}
	case isMapping:
		return nil, r.errorf(n, "%s takes a value, not a mapping", s.Name)
	case isSequence && !s.Many:
		return nil, r.errorf(n, "%s takes one value, not a list", s.Name)
	case isSequence:
		for _, item := range sequence.Values {
			text, err := r.scalar(s, item)
			if err == nil {
				err = add(item, text)
			}
			if err != nil {
				return nil, err
			}
		}
	default:
		text, err := r.scalar(s, n)
		if err == nil {
			err = add(n, text)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(list) == 0 {
		return nil, r.errorf(n, "%s has no value: leave it out, or give it one", s.Name)
	}
	return list, nil
}

// scalars reads the value of a name: a scalar, or a list of them, which are joined
// by commas.
func (r *reader) scalars(s Setting, n ast.Node) (string, error) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		return r.scalar(s, n)
	}
	joined := ""
	for i, item := range sequence.Values {
		text, err := r.scalar(s, item)
		if err != nil {
			return "", err
		}
		if i > 0 {
			joined += ","
		}
		joined += text
	}
	return joined, nil
}

// scalar reads a string, a number or a truth value, as it is written.
func (r *reader) scalar(s Setting, n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	case *ast.NullNode:
		return "", r.errorf(n, "%s has no value: leave it out, or give it one", s.Name)
	}
	return "", r.errorf(n, "%s takes plain values, not %s", s.Name, n.Type())
}

// keyText is the key of a pair.
func keyText(p *ast.MappingValueNode) string {
	if s, ok := p.Key.(*ast.StringNode); ok {
		return s.Value
	}
	if tok := p.Key.GetToken(); tok != nil {
		return tok.Value
	}
	return ""
}

// mapping returns the pairs of a mapping, which has a node type of its own if there is
// but one.
func mapping(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

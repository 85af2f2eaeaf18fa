package scenario

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/bdtnet/bdt/cmd/internal/spelling"
)

const (
	maxFile  = 1 << 20 // bytes of a file
	maxDepth = 16      // of what stands in what
)

// A reader turns the nodes of a YAML document into a File.
type reader struct {
	file  string
	depth int
	// places are where names stand that are looked up once all are known.
	places []place
}

// A place is where something stands that can only be judged when all is read.
type place struct {
	node  ast.Node
	check func(n ast.Node) error
}

// later has check called when all is read.
func (r *reader) later(n ast.Node, check func(n ast.Node) error) {
	r.places = append(r.places, place{n, check})
}

// A key is a key of a mapping that stands for a T.
type key[T any] struct {
	name  string
	form  string // of the value, for people
	usage string
	need  bool
	read  func(r *reader, n ast.Node, to *T) error
}

// document parses the text of a file to the one node that it has to be.
func (r *reader) document(text []byte) (ast.Node, error) {
	if len(text) > maxFile {
		return nil, &Error{File: r.file, Text: fmt.Sprintf("more than %d bytes", maxFile)}
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // editors on Windows begin a file with it
	if !utf8.Valid(text) {
		return nil, &Error{File: r.file, Line: badLine(text), Column: 1, Text: "this is not UTF-8", Hint: "save the file as UTF-8"}
	}
	if deep, line := nesting(text); deep {
		return nil, &Error{File: r.file, Line: line, Column: 1, Text: "brackets stand too deep in each other"}
	}
	parsed, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, syntaxError(r.file, err)
	}
	var body ast.Node
	for _, doc := range parsed.Docs {
		if doc == nil || doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.NullType {
			continue
		}
		if body != nil {
			return nil, r.errorAt(doc.Body, "a file holds one scenario", "a second document")
		}
		body = doc.Body
	}
	if body == nil {
		return nil, &Error{File: r.file, Text: "there is nothing in it", Hint: "'netsim init' writes a sample"}
	}
	return body, nil
}

// badLine is the first line of a text that is not UTF-8.
func badLine(text []byte) int {
	line := 1
	for len(text) > 0 {
		c, size := utf8.DecodeRune(text)
		if c == utf8.RuneError && size == 1 {
			break
		}
		if c == '\n' {
			line++
		}
		text = text[size:]
	}
	return line
}

// nesting reports whether brackets are nested more deeply than any scenario needs, and
// where: the parser recurses.
func nesting(text []byte) (deep bool, line int) {
	line, depth := 1, 0
	for _, c := range text {
		switch c {
		case '\n':
			line++
		case '[', '{':
			if depth++; depth > 100 {
				return true, line
			}
		case ']', '}':
			depth = max(0, depth-1)
		}
	}
	return false, line
}

// mapping reads a mapping into to, by its keys. what is what it describes, for people.
func mapping[T any](r *reader, n ast.Node, what string, keys []key[T], to *T) error {
	pairs, err := r.pairs(n, what)
	if err != nil {
		return err
	}
	seen := make(map[string]bool)
	for _, p := range pairs {
		name := p.name
		i := indexKey(keys, name)
		if i < 0 {
			return r.errorAt(p.key, meant(name, keyNames(keys)), "%s has no key %q", what, name)
		}
		seen[name] = true
		if err := keys[i].read(r, p.value, to); err != nil {
			return err
		}
	}
	for _, k := range keys {
		if k.need && !seen[k.name] {
			return r.errorAt(n, fmt.Sprintf("add '%s: %s'", k.name, k.form), "%s needs %q", what, k.name)
		}
	}
	return nil
}

func indexKey[T any](keys []key[T], name string) int {
	for i, k := range keys {
		if k.name == name {
			return i
		}
	}
	return -1
}

func keyNames[T any](keys []key[T]) []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	return names
}

// meant is a hint at the word of a list that was meant, or at all of them.
func meant(word string, list []string) string {
	if m := spelling.Nearest(word, list); m != "" {
		return fmt.Sprintf("is %q meant?", m)
	}
	for _, w := range list {
		if len(word) > 2 && strings.HasPrefix(w, word) {
			return fmt.Sprintf("is %q meant?", w)
		}
	}
	const most = 30
	if len(list) == 0 {
		return ""
	}
	if len(list) > most {
		return fmt.Sprintf("there are %s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return "there are " + strings.Join(list, ", ")
}

// A pair is a key and its value.
type pair struct {
	key   ast.Node
	name  string
	value ast.Node
	whole *ast.MappingValueNode
}

// pairs returns what a mapping holds.
func (r *reader) pairs(n ast.Node, what string) ([]pair, error) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		return nil, r.errorAt(n, "", "%s is written as 'key: value', one a line, or as {key: value, …}, not as %s", what, describe(n))
	}
	if r.depth++; r.depth > maxDepth {
		return nil, r.errorAt(n, "", "too deep")
	}
	defer func() { r.depth-- }()
	list := make([]pair, 0, len(values))
	for _, v := range values {
		name, err := r.keyText(v.Key)
		if err != nil {
			return nil, err
		}
		list = append(list, pair{v.Key, name, v.Value, v})
	}
	return list, nil
}

func (r *reader) keyText(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	}
	return "", r.errorAt(n, "", "a key is a plain word, not %s", describe(n))
}

// items returns what a list holds; what is no list is a list of one.
func (r *reader) items(n ast.Node) []ast.Node {
	if s, ok := n.(*ast.SequenceNode); ok {
		return s.Values
	}
	return []ast.Node{n}
}

// list returns what a list holds, which it has to be, and bounds it.
func (r *reader) list(n ast.Node, what string, most int) ([]ast.Node, error) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		return nil, r.errorAt(n, "begin each with '- '", "%s are a list, not %s", what, describe(n))
	}
	if len(s.Values) > most {
		return nil, r.errorAt(n, "", "%d %s: at most %d can be had", len(s.Values), what, most)
	}
	return s.Values, nil
}

// describe names what a node is, for people.
func describe(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AliasNode, *ast.AnchorNode, *ast.MergeKeyNode:
		return "an alias or anchor, which scenarios do not know"
	case *ast.TagNode:
		return "a tag, which scenarios do not know"
	case *ast.StringNode, *ast.LiteralNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return fmt.Sprintf("%q", n.GetToken().Value)
	}
	return "what stands here"
}

// line is where a node stands.
func line(n ast.Node) int {
	if tok := n.GetToken(); tok != nil && tok.Position != nil {
		return tok.Position.Line
	}
	return 0
}

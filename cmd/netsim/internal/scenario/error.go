package scenario

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// An Error is something wrong with a scenario file, where it is, and what to do about it.
type Error struct {
	File   string
	Line   int // from 1; 0: not known
	Column int // from 1
	Text   string
	Hint   string // what to write instead; empty: Text says it
}

// Error returns FILE:LINE:COLUMN, what is wrong, and the hint.
func (e *Error) Error() string {
	s := e.File
	if e.Line > 0 {
		s += fmt.Sprintf(":%d:%d", e.Line, e.Column)
	}
	s += ": " + e.Text
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// maxError bounds what an error repeats of the file, in bytes.
const maxError = 300

// errorAt is an error at a node of the file.
func (r *reader) errorAt(n ast.Node, hint, format string, args ...any) error {
	e := &Error{File: r.file, Text: fmt.Sprintf(format, args...), Hint: hint}
	if len(e.Text) > maxError {
		e.Text = strings.ToValidUTF8(e.Text[:maxError], "") + "…"
	}
	if n != nil {
		if tok := n.GetToken(); tok != nil && tok.Position != nil {
			e.Line, e.Column = tok.Position.Line, tok.Position.Column
		}
	}
	return e
}

// syntaxError says where the YAML itself is broken.
func syntaxError(file string, err error) error {
	var y yaml.Error
	if errors.As(err, &y) && y.GetToken() != nil && y.GetToken().Position != nil {
		p := y.GetToken().Position
		e := &Error{File: file, Line: p.Line, Column: p.Column, Text: y.GetMessage()}
		if !strings.Contains(e.Text, "already defined") { // a key that is there twice
			e.Hint = "this is not YAML: look at the indentation, and put text with : # or { in quotes"
		}
		return e
	}
	return &Error{File: file, Text: err.Error()}
}

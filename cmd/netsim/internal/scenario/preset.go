package scenario

import "github.com/goccy/go-yaml/ast"

// preset has a preset be there.
func (r *reader) preset(n ast.Node, name string) error {
	return r.errorAt(n, "", "%q is no preset", name)
}

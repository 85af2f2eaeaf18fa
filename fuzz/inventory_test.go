// Package fuzz holds what is fuzzed across packages, and sees to it that nothing
// that parses is left out.
package fuzz

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/bdtnet/bdt/"

// verbs begin the names of what parses.
var verbs = []string{"parse", "decode", "unmarshal", "readheader", "readinitiation", "readresponse"}

// exempt names parsers that need no fuzz target, and why.
var exempt = map[string]string{
	"identity.UnmarshalCBOR":    "the CBOR decoder calls it, in FuzzParseDevice",
	"bdt.UnmarshalJSON":         "the JSON decoder calls it, in FuzzNetReport",
	"netsim/natlab.parsePrefix": "package net/netip does the work, on what a topology says",
}

// A symbol is a function or a variable of a package, by its name: methods of one
// name are one symbol, which is enough here.
type symbol struct{ dir, name string }

func (s symbol) String() string { return s.dir + "." + s.name }

// A graph says which symbols a symbol mentions. Names, not types, are looked at: what
// shares its name with something that is mentioned counts as mentioned.
type graph struct {
	mentions map[symbol][]symbol
	parsers  []symbol
	targets  []symbol
}

// TestEveryParserIsFuzzed walks the source: every function whose name begins with one
// of the verbs and that takes bytes, text or a reader is to be reached from some fuzz
// target.
func TestEveryParserIsFuzzed(t *testing.T) {
	g := graph{mentions: make(map[symbol][]symbol)}
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != ".." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		return g.add(name)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(g.parsers) < 50 || len(g.targets) < 50 {
		t.Fatalf("found %d parsers and %d fuzz targets: the test does not see the tree", len(g.parsers), len(g.targets))
	}
	reached := g.reach()
	for _, p := range g.parsers {
		why, free := exempt[p.String()]
		switch {
		case !reached[p] && !free:
			t.Errorf("no fuzz target reaches %v: write one, or say in this test why it needs none", p)
		case reached[p] && free:
			t.Errorf("%v is fuzzed: it is not to be exempt (%s)", p, why)
		}
	}
}

// add reads one file.
func (g *graph) add(name string) error {
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir := strings.TrimPrefix(path.Dir(filepath.ToSlash(name)), "../")
	imports := make(map[string]string) // directories of this module, by the name in the file
	for _, spec := range file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		if to, ok := strings.CutPrefix(p, module); ok {
			local := path.Base(to)
			if spec.Name != nil {
				local = spec.Name.Name
			}
			imports[local] = to
		}
	}
	test := strings.HasSuffix(name, "_test.go")
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			s := symbol{dir, d.Name.Name}
			g.mention(s, d, dir, imports)
			switch {
			case test && d.Recv == nil && strings.HasPrefix(s.name, "Fuzz"):
				g.targets = append(g.targets, s)
			case !test && begins(s.name) && parses(d.Type) && !slices.Contains(g.parsers, s):
				g.parsers = append(g.parsers, s)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok {
					for _, n := range v.Names {
						g.mention(symbol{dir, n.Name}, v, dir, imports)
					}
				}
			}
		}
	}
	return nil
}

// mention notes all that a declaration mentions.
func (g *graph) mention(from symbol, in ast.Node, dir string, imports map[string]string) {
	ast.Inspect(in, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			to := dir
			if x, ok := n.X.(*ast.Ident); ok && imports[x.Name] != "" {
				to = imports[x.Name]
			}
			g.mentions[from] = append(g.mentions[from], symbol{to, n.Sel.Name})
		case *ast.Ident:
			g.mentions[from] = append(g.mentions[from], symbol{dir, n.Name})
		}
		return true
	})
}

func begins(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(verbs, func(v string) bool { return strings.HasPrefix(name, v) })
}

// parses reports whether a function takes something that can be malformed.
func parses(f *ast.FuncType) bool {
	return slices.ContainsFunc(f.Params.List, func(p *ast.Field) bool {
		switch t := p.Type.(type) {
		case *ast.ArrayType:
			elem, ok := t.Elt.(*ast.Ident)
			return ok && elem.Name == "byte"
		case *ast.Ident:
			return t.Name == "string"
		case *ast.SelectorExpr:
			return t.Sel.Name == "Reader"
		}
		return false
	})
}

// reach returns what the fuzz targets mention, and what that mentions, and so on.
func (g *graph) reach() map[symbol]bool {
	reached := make(map[symbol]bool)
	queue := slices.Clone(g.targets)
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		if reached[s] {
			continue
		}
		reached[s] = true
		queue = append(queue, g.mentions[s]...)
	}
	return reached
}

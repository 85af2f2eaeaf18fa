package scenario

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/bdtnet/bdt/cmd/internal/clidoc"
	"github.com/bdtnet/bdt/netsim"
)

var update = flag.Bool("update", false, "write docs/netsim/scenario.md anew")

const (
	remedy = "go test ./cmd/netsim/internal/scenario -run TestReference -update"
	module = "../../../../"
)

// docs/netsim/scenario.md says all that a file can hold, and nothing else.
func TestReference(t *testing.T) {
	clidoc.Hold(t, module+"docs/netsim/scenario.md", reference(t), *update, remedy)
}

const introduction = "# Scenario files\n\nWritten by `" + remedy + "` from what the program reads.\n" + `
A scenario is a YAML file: a network, who is on it, what happens, and what is expected. 'netsim run FILE' runs it; 'netsim init' writes
a sample to begin with, and [samples](samples) holds more. What a file says twice, or what nobody knows, is an error with line and column.

` + "```yaml" + `
name: alice dials bob
nodes:
  internet: router
  sn: host
  home: {nat: {filtering: address-and-port-dependent}}
  alice: host
  bob: host
links:
  - {from: sn, to: internet, addrs: 203.0.113.1, delay: 5ms}
  - {from: home, to: internet, addrs: 198.51.100.1, delay: 10ms, loss: 1%}
  - {from: alice, to: home}
  - {from: bob, to: internet, addrs: 198.51.100.2, delay: 10ms}
supernodes:
  sn:
devices:
  alice:
  bob:
steps:
  - dial: alice to bob
    expect: {path: [direct, punched], within: 1s}
` + "```" + `

Values are written like this:

| value | for example | |
|---|---|---|
| duration | 250ms, 1.5s, 2m | a week at most |
| size | 1500, 64KiB, 100MB | bytes, or whatever is counted |
| rate | 512kbit, 50Mbit, 1Gbit | bits of IP packet a second |
| share | 2%, 0.02 | |
| name | home-a | letters, digits, - _ and . |
| address | 198.51.100.7, 198.18.1.2/24, '2001:db8:1::2/64' | with the length of the on-link prefix, or alone |
| list | [a, b] | a single value need not be a list |

Times are those of the simulated clock.
`

// reference is the text of the page.
func reference(t *testing.T) string {
	var b strings.Builder
	b.WriteString(introduction)
	section(&b, "The file", "", fileKeys)
	section(&b, "Nodes", "A node is `host`, `router`, `switch` (one segment: what is sent to a group reaches all on it), or a NAT or firewall:", nodeKeys)
	b.WriteString("\nHow a NAT behaves, if it is no preset:\n\n")
	plainTable(t, &b, reflect.TypeFor[netsim.NATConfig]())
	section(&b, "Links", "A link leads from a node up to the one nearer to the internet; routes follow from that.", linkKeys)
	b.WriteString("\nWhat it is like, in both directions:\n\n")
	plainTable(t, &b, reflect.TypeFor[netsim.LinkConfig]())
	section(&b, "Super nodes", "`NAME: {key: value, …}`, or `NAME: HOST`, or `NAME:` for the host of that name.", superNodeKeys)
	section(&b, "Proxy nodes", "Written as super nodes are. They relay for everybody.", proxyNodeKeys)
	section(&b, "Devices", "Written as super nodes are.", deviceKeys)
	section(&b, "Steps", "A step does one thing. It begins when all before it are over, unless it has a time.", stepKeys)
	b.WriteString("\n| step | does |\n|---|---|\n")
	for _, a := range actions {
		fmt.Fprintf(&b, "| %s | %s |\n", a.do, a.usage)
	}
	for _, a := range actions {
		fmt.Fprintf(&b, "\n### %s\n\n", a.do)
		if a.word != nil {
			fmt.Fprintf(&b, "`%s: %s`%s\n", a.do, a.wordForm, map[bool]string{true: ", or with keys:", false: ""}[len(a.keys) > 0])
		}
		if len(a.keys) > 0 {
			if a.word != nil {
				b.WriteString("\n")
			}
			table(&b, a.keys)
		}
		if a.config {
			b.WriteString("\nand those that say what a link is like.\n")
		}
	}
	section(&b, "Expectations", "Without any, a step is expected to succeed.", expectKeys)
	return b.String()
}

func section[T any](b *strings.Builder, title, text string, keys []key[T]) {
	fmt.Fprintf(b, "\n## %s\n\n", title)
	if text != "" {
		fmt.Fprintf(b, "%s\n\n", text)
	}
	table(b, keys)
}

// table is the keys of a mapping. What is in parentheses is the default.
func table[T any](b *strings.Builder, keys []key[T]) {
	b.WriteString("| key | value | |\n|---|---|---|\n")
	for _, k := range keys {
		name := k.name
		if k.need {
			name = "**" + name + "**"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", name, k.form, k.usage)
	}
}

// plainTable is the keys of one of netsim's structs, as its source explains them.
func plainTable(t *testing.T, b *strings.Builder, typ reflect.Type) {
	t.Helper()
	b.WriteString("| key | value | |\n|---|---|---|\n")
	plainRows(t, b, typ, "")
}

func plainRows(t *testing.T, b *strings.Builder, typ reflect.Type, prefix string) {
	t.Helper()
	comments := fieldComments(t, typ.Name())
	for i := range typ.NumField() {
		f := typ.Field(i)
		if !f.IsExported() {
			continue
		}
		comment := cmp.Or(notes[typ.Name()+"."+f.Name], comments[f.Name])
		if comment == "" {
			t.Errorf("%v.%s has no comment", typ, f.Name)
		}
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		nested := inner.Kind() == reflect.Struct && inner != prefixType && inner != addrType
		form := formOf(f.Type, f.Name)
		if nested {
			form = "{key: value, …}"
		}
		fmt.Fprintf(b, "| %s%s | %s | %s |\n", prefix, keyOf(f.Name), form, comment)
		if nested && inner != typ {
			plainRows(t, b, inner, prefix+keyOf(f.Name)+": ")
		}
	}
}

// notes say of fields what their source leaves to their types.
var notes = map[string]string{
	"NATConfig.Mapping":            "of how much of the remote address a mapping depends (RFC 4787 §4.1)",
	"NATConfig.Filtering":          "how much of the remote address must have been written to for a packet to be let in (RFC 4787 §5)",
	"NATConfig.Ports":              "which external port a new mapping gets (RFC 4787 §4.2)",
	"PortRange.Low":                "the first",
	"PortRange.High":               "the last",
	"LinkConfig.CorruptUndetected": "share of those errors that no checksum finds",
}

// fieldComments returns what the source of netsim says of the fields of a struct.
func fieldComments(t *testing.T, name string) map[string]string {
	t.Helper()
	comments := make(map[string]string)
	files, err := filepath.Glob(module + "netsim/*.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files of netsim, %v", len(files), err)
	}
	look := func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != name {
			return true
		}
		fields, ok := spec.Type.(*ast.StructType)
		if !ok {
			return false
		}
		for _, f := range fields.Fields.List {
			text := strings.TrimSpace(f.Comment.Text())
			if doc := strings.TrimSpace(f.Doc.Text()); doc != "" {
				text = strings.TrimSpace(doc + " " + text)
			}
			text = strings.NewReplacer("\n", " ", "|", "\\|").Replace(text)
			for _, other := range fields.Fields.List { // by the names that the file knows
				for _, id := range other.Names {
					if len(id.Name) > 1 && id.IsExported() {
						text = regexp.MustCompile(`\b`+id.Name+`\b`).ReplaceAllString(text, keyOf(id.Name))
					}
				}
			}
			for _, id := range f.Names {
				comments[id.Name] = text
			}
		}
		return false
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, look)
	}
	return comments
}

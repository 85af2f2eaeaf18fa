// Package layout_test holds the module to the direction of its imports.
package layout_test

import (
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

const module = "github.com/bdtnet/bdt"

// allowed names, for each package of the module, the packages of the module
// that its non-test files may import. Imports point down only; an entry that
// grows is a wall that moves, and wants an ADR. "cmd/..." stands for all
// packages below cmd.
var allowed = map[string][]string{
	"identity":                     {},
	"congestion":                   {},
	"underlay":                     {},
	"underlay/underlaytest":        {"underlay"},
	"internal/wire":                {"identity"},
	"internal/noise":               {"identity", "internal/wire"},
	"internal/socket":              {"underlay", "internal/wire"},
	"internal/path":                {"internal/wire"},
	"internal/stun":                {},
	"internal/netcheck":            {"underlay", "internal/nat64", "internal/jitter", "internal/socket", "internal/stun"},
	"internal/nat64":               {},
	"internal/jitter":              {},
	"internal/discovery":           {"identity", "underlay", "internal/jitter", "internal/wire"},
	"internal/session":             {},
	"internal/session/sessiontest": {"internal/session"},
	"internal/snclient":            {"identity", "underlay", "internal/jitter", "internal/wire", "internal/noise", "internal/retry", "internal/socket"},
	"internal/pnclient":            {"identity", "underlay", "internal/jitter", "internal/wire", "internal/noise", "internal/retry", "internal/socket"},
	"internal/snload":              {"identity", "underlay", "internal/wire", "internal/noise", "internal/socket", "internal/snclient"},
	"internal/peer":                {"identity", "internal/jitter", "internal/wire", "internal/noise", "internal/path", "internal/session", "internal/snclient", "internal/socket"},
	"bdt":                          {"identity", "underlay", "internal/jitter", "internal/wire", "internal/noise", "internal/socket", "internal/path", "internal/session", "internal/snclient", "internal/pnclient", "internal/peer", "internal/stun", "internal/netcheck", "internal/discovery", "internal/nat64"},
	"internal/vault":               {},
	"internal/quota":               {},
	"internal/retry":               {},
	"sn":                           {"identity", "underlay", "internal/wire", "internal/noise", "internal/socket", "internal/stun", "internal/quota", "internal/vault"},
	"pn":                           {"identity", "underlay", "internal/wire", "internal/noise", "internal/quota"},
	"netsim":                       {"underlay", "internal/nat64"},
	"netsim/natlab":                {"netsim", "underlay"},
	"netsim/pionnet":               {"netsim", "underlay"},
	"cmd/...":                      {"identity", "underlay", "bdt", "sn", "pn", "netsim", "netsim/natlab", "internal/snload", "internal/wire", "cmd/..."},
}

// wrapped names third-party modules that one package alone may import.
var wrapped = map[string]string{
	"github.com/quic-go/quic-go":          "internal/session",
	"github.com/hashicorp/yamux":          "internal/session",
	"github.com/coder/websocket":          "internal/streamconn",
	"github.com/flynn/noise":              "internal/noise",
	"github.com/fxamacker/cbor/v2":        "identity",
	"github.com/mr-tron/base58":           "identity",
	"github.com/pion/stun/v3":             "internal/stun",
	"github.com/pion/transport":           "netsim/pionnet",
	"go.etcd.io/bbolt":                    "internal/vault",
	"github.com/prometheus/client_golang": "cmd/...",
	"github.com/spf13/cobra":              "cmd/...",
	"github.com/schollz/progressbar":      "cmd/...",
	"github.com/goccy/go-yaml":            "cmd/...",
	"rsc.io/qr":                           "cmd/...",
}

func TestImports(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); name != "." && (strings.HasPrefix(base, ".") || base == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		pkg := entry(path.Dir(filepath.ToSlash(name)))
		seen[pkg] = true
		checkFile(t, pkg, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) < 5 {
		t.Fatalf("walked only %d packages: the test does not see the tree", len(seen))
	}
}

func checkFile(t *testing.T, pkg, name string) {
	t.Helper()
	may, ok := allowed[pkg]
	if !ok {
		t.Errorf("%s: package %s has no line in the table of this test", name, pkg)
		return
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if rest, ok := strings.CutPrefix(imported, module+"/"); ok {
			if to := entry(rest); to != pkg && !slices.Contains(may, to) {
				t.Errorf("%s: package %s may not import %s", name, pkg, rest)
			} else if to == pkg && to != "cmd/..." && rest != pkg {
				t.Errorf("%s: package %s may not import %s", name, pkg, rest)
			}
			continue
		}
		for prefix, owner := range wrapped {
			if (imported == prefix || strings.HasPrefix(imported, prefix+"/")) && pkg != owner {
				t.Errorf("%s: only %s may import %s", name, owner, imported)
			}
		}
	}
}

// entry is the line of the table for a package directory.
func entry(dir string) string {
	if strings.HasPrefix(dir, "cmd/") {
		return "cmd/..."
	}
	return dir
}

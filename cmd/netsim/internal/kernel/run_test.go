//go:build linux && natlab

package kernel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const homes = `
nodes: {internet: router, sn: host, home: {nat: port-restricted}, lan: switch, alice: host, arthur: host, bob: host}
links:
  - {from: sn, to: internet, addrs: [203.0.113.1, 203.0.113.2], delay: 5ms}
  - {from: home, to: internet, addrs: 198.51.100.1}
  - {from: lan, to: home}
  - {from: alice, to: lan, addrs: 198.18.1.2/24}
  - {from: arthur, to: lan, addrs: 198.18.1.3/24}
  - {from: bob, to: internet, addrs: 192.0.2.9}
supernodes: {sn: }
devices: {alice: , arthur: , bob: {stopped: true}}
steps:
  - dial: alice to bob
    expect: {error: no answer}
  - start: bob
  - online: bob
  - ping: {from: alice, to: bob, count: 3, every: 100ms}
    expect: {path: direct, within: 1ms}
  - netcheck: alice
    expect: {filtering: endpoint-independent}
  - stop: sn
  - wait: 10ms
  - dial: arthur to alice
    expect: {path: lan}
`

// What is expected is looked at, but for the time; nothing stays.
func TestRun(t *testing.T) {
	bin, err := Programs("../../../../bin")
	if err != nil {
		t.Fatal(err, ": make nat-lab builds them")
	}
	f, err := scenario.Parse("homes.yaml", []byte(homes))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("BDT_SN", "none of the programs' business")
	var wrote []string
	r, err := Run(t.Context(), f, Options{Bin: bin, Output: func(name, _ string) { wrote = append(wrote, name) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range r.Steps {
		netcheck := strings.HasPrefix(o.Text, "netcheck")
		first := o.Line == f.Steps[0].Line
		switch {
		case netcheck && o.Why != "filtering is address-and-port-dependent":
			t.Errorf("%s: %q", o.Text, o.Why)
		case first && o.Err == "":
			t.Errorf("%s succeeded", o.Text)
		case !netcheck && !first && !o.Met:
			t.Errorf("%s: %s", o.Text, o.Why)
		}
	}
	if len(wrote) != 3 { // the SN is stopped
		t.Errorf("%q wrote something", wrote)
	}
	if left, err := filepath.Glob(os.Getenv("TMPDIR") + "/*"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestPrograms(t *testing.T) {
	if _, err := Programs(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v", err)
	}
}

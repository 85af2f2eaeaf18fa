package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bdtnet/bdt/cmd/internal/scripttest"
)

func TestMain(m *testing.M) {
	testscript.Main(withOthers{m}, map[string]func(){"bdt": main})
}

// withOthers runs the tests with bdt-sn, bdt-pn and netsim in the path: scripts need a super node
// and a proxy node, and the tour of the README shows netsim, too.
type withOthers struct{ *testing.M }

func (w withOthers) Run() int {
	dir, err := os.MkdirTemp("", "bdt")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir+"/", "github.com/bdtnet/bdt/cmd/bdt-sn", "github.com/bdtnet/bdt/cmd/bdt-pn",
		"github.com/bdtnet/bdt/cmd/netsim")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build bdt-sn, bdt-pn and netsim: %v\n%s", err, out)
		return 1
	}
	os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return w.M.Run()
}

func TestScripts(t *testing.T) { testscript.Run(t, scripttest.Params("testdata/script")) }

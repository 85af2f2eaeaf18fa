package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bdtnet/bdt/cmd/internal/scripttest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bdt-pn": main})
}

func TestScripts(t *testing.T) { testscript.Run(t, scripttest.Params("testdata/script")) }

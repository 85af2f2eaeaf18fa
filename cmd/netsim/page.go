package main

import (
	"errors"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/cmd/netsim/internal/sequence"
)

func writeReport(dir string, page string) error { return errors.New("later") }
func explainPage(f *scenario.File, r *recording, step int, d *sequence.Diagram) string { return "" }

package main

import (
	"encoding/json"
	"io"

	"github.com/bdtnet/bdt/cmd/internal/command"
)

// encode writes one JSON object on a line of its own.
func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// usage is an error of the command line, which was not understood.
func usage(err error) error { return &command.UsageError{Err: err} }

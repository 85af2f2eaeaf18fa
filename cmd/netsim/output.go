package main

import (
	"encoding/json"
	"io"
)

// encode writes one JSON object on a line of its own.
func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

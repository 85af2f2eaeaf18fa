package command

import (
	"io"
	"sync"
)

// An output is standard output, and remembers the first error of writing to it: a
// result that did not arrive is none, whether or not the command has looked.
type output struct {
	io.Writer

	mu  sync.Mutex
	err error
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = err
		}
	}
	return n, err
}

// Unwrap returns what is behind it.
func (o *output) Unwrap() io.Writer { return o.Writer }

// failed returns the first error.
func (o *output) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// adviseOutput is what to do about a failed output.
const adviseOutput = "see where standard output goes: it takes no more"

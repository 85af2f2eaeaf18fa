package virtual

import (
	"context"
	"flag"
	"os"
	"testing"
)

// Main runs f as the whole program, whose status is what f returns. The context has
// what [Run] and [Each] need. The command line is f's alone.
func Main(f func(ctx context.Context) int) {
	// What is parsed already testing.Main leaves alone: the flags of tests mean nothing.
	flag.CommandLine.Parse(nil) // nothing that can be wrong
	// The process ends inside the test, which would say how it went. A panic of f is
	// reported as that of a test is, with status 2.
	run := func(t *testing.T) { os.Exit(f(Context(t))) }
	testing.Main(func(_, _ string) (bool, error) { return true, nil },
		[]testing.InternalTest{{Name: "main", F: run}}, nil, nil)
}

// testKey is the key of the test in a context.
type testKey struct{}

// Context returns a context that has what [Run] and [Each] need, and ends with
// the test.
func Context(t *testing.T) context.Context {
	return context.WithValue(t.Context(), testKey{}, t)
}

// owner returns the test that a context belongs to.
func owner(ctx context.Context) *testing.T {
	t, ok := ctx.Value(testKey{}).(*testing.T)
	if !ok {
		panic("virtual: the context is neither Main's nor Context's")
	}
	return t
}

package pn_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if run := children[os.Getenv(childVariable)]; run != nil {
		run()
		return
	}
	goleak.VerifyTestMain(m)
}

// childVariable is the environment variable that makes the test binary a process that a
// benchmark measures.
const childVariable = "PN_BENCHMARK_CHILD"

// children are what it can be.
var children = map[string]func(){}

package simulate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
)

// Judge says whether what came of a step is what was expected.
func Judge(s *scenario.Step, o *scenario.Outcome) {
	o.Why = why(s, o)
	o.Met = o.Why == ""
}

// why says what is not as expected; empty: nothing.
func why(s *scenario.Step, o *scenario.Outcome) string {
	e := s.Expect
	took := o.Took
	if o.FirstByte > 0 {
		took = o.FirstByte
	}
	switch {
	case e.Error != "" && o.Err == "":
		return fmt.Sprintf("it succeeded, and the error %q was expected", e.Error)
	case e.Error != "" && !strings.Contains(o.Err, e.Error):
		return fmt.Sprintf("it failed with another error: %s", o.Err)
	case e.Fails() && o.Err == "":
		return fmt.Sprintf("it succeeded, by the path %s, and was expected to fail", o.Path)
	case e.Fails() && e.Within > 0 && o.Took > e.Within:
		return fmt.Sprintf("it took %v to fail", brief(o.Took))
	case e.Fails():
		return ""
	case o.Err != "":
		return o.Err
	case len(e.Paths) > 0 && !slices.Contains(e.Paths, o.Path):
		return fmt.Sprintf("the path is %s", orNone(o.Path))
	case e.Within > 0 && took > e.Within:
		return fmt.Sprintf("it took %v", brief(took))
	case e.Stall > 0 && o.Stall > e.Stall:
		return fmt.Sprintf("nothing arrived for %v", brief(o.Stall))
	}
	return ""
}

// orNone is a path, or the word for none.
func orNone(path string) string {
	if path == "" {
		return scenario.None
	}
	return path
}

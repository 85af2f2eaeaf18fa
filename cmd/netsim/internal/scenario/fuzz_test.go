package scenario_test

import (
	"errors"
	"testing"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
)

// Whatever stands in a file, there is a scenario or an error that says where.
func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(small + "steps:\n  - dial: alice to bob\n    expect: {path: [lan, direct], within: 1.5s}\n  - set: {link: home-internet, loss: 1%}\n"))
	f.Add([]byte(small + "steps:\n  - move: {host: alice, to: internet, addrs: 192.0.2.1}\n    at: 1s\n  - netcheck: bob\n    expect: {udp: yes}\n"))
	f.Add([]byte("nodes: {a: {nat: {prefix64: '64:ff9b::/96'}}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := scenario.Parse("x.yaml", text)
		var e *scenario.Error
		switch {
		case err != nil && (!errors.As(err, &e) || e.Text == ""):
			t.Errorf("%#v", err)
		case err == nil && (s == nil || len(s.Nodes) == 0):
			t.Errorf("%+v", s)
		}
		if err == nil {
			for _, step := range s.Steps {
				if step.Text() == "" || step.Expect.String() == "" {
					t.Errorf("%+v", step)
				}
			}
		}
	})
}

package simulate_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/cmd/netsim/internal/simulate"
	"github.com/bdtnet/bdt/cmd/netsim/internal/virtual"
)

// homes is a network of two homes and an SN, to which tests add steps.
const homes = `
nodes:
  internet: router
  sn: host
  home-a: {nat: {filtering: address-and-port-dependent}}
  home-b: {nat: {filtering: address-and-port-dependent}}
  alice: host
  bob: host
links:
  - {from: sn, to: internet, addrs: [203.0.113.1, 203.0.113.2], delay: 5ms}
  - {from: home-a, to: internet, addrs: 198.51.100.1, delay: 10ms}
  - {from: home-b, to: internet, addrs: 198.51.100.2, delay: 10ms}
  - {from: alice, to: home-a}
  - {from: bob, to: home-b}
supernodes:
  sn:
devices:
  alice:
  bob:
steps:
`

// run runs a scenario in virtual time.
func run(t *testing.T, text string) *scenario.Result {
	t.Helper()
	f, err := scenario.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var r *scenario.Result
	err = virtual.Run(virtual.Context(t), t.Name(), func(ctx context.Context) error {
		var err error
		r, err = simulate.Run(ctx, f, simulate.Options{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRun(t *testing.T) {
	r := run(t, homes+`
  - dial: alice to bob
    expect: {path: punched, within: 140ms}
  - call: bob to alice
  - ping: {from: alice, to: bob, count: 3}
  - transfer: {from: alice, to: bob, size: 1MB}
`)
	for _, o := range r.Steps {
		if !o.Met || o.Err != "" || o.Path != "punched" {
			t.Errorf("%+v", o)
		}
	}
	if first := r.Steps[0]; first.FirstByte < 50*time.Millisecond || first.Probes < 2 {
		t.Errorf("%+v", first)
	}
	if r.Packets == 0 || len(r.Hash) != 16 || r.Virtual < 2*time.Second || !r.Met() {
		t.Errorf("%+v", r)
	}
}

func TestUnmet(t *testing.T) {
	r := run(t, homes+`
  - dial: alice to bob
    expect: {path: lan}
  - dial: alice to bob
    expect: {path: none}
  - dial: alice to bob
    expect: {within: 1ms}
  - stop: bob
  - dial: alice to bob
  - dial: alice to bob
    expect: {error: the peer}
  - dial: alice to bob
    expect: {path: none}
`)
	for i, want := range []string{"the path is punched", "by the path punched", "it took", "", "", "it failed with another", ""} {
		o := r.Steps[i]
		if i == 4 {
			if o.Met || o.Err == "" || o.Why != o.Err {
				t.Errorf("step %d: %+v", i, o)
			}
			continue
		}
		if o.Met != (want == "") || !strings.Contains(o.Why, want) {
			t.Errorf("step %d: %+v", i, o)
		}
	}
}

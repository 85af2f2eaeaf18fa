package simulate_test

import (
	"testing"

	"github.com/bdtnet/bdt/cmd/netsim/internal/virtual"
)

// One seed, one run: each packet has the same time, size and fates, whatever the scheduler
// does, as long as nothing is drawn for two packets of a flow that leave at one instant (see
// docs/netsim/determinism.md). Another seed, another run.
func TestHash(t *testing.T) {
	const steps = homes + `
  - dial: alice to bob
  - ping: {from: alice, to: bob, count: 3}
  - transfer: {from: alice, to: bob, size: 100kB}
`
	hash := func(seed uint64, text string) string {
		virtual.Seed(virtual.Context(t), seed)
		return run(t, text).Hash
	}
	first := hash(1, steps)
	for range 5 {
		if again := hash(1, steps); again != first {
			t.Errorf("hash %s, then %s", first, again)
		}
	}
	const jitter = steps + `
  - set: {link: home-a-internet, jitter: 1ms}
  - ping: {from: alice, to: bob, count: 3}
`
	if one, two := hash(1, jitter), hash(1, "seed: 2"+jitter); one == two {
		t.Errorf("hash %s with two seeds", one)
	}
}

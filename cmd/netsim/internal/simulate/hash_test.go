package simulate_test

import (
	"testing"

	"github.com/bdtnet/bdt/cmd/netsim/internal/virtual"
)

// One seed, one run: each packet has the same time, size and fates, whatever the scheduler
// does. Another seed, another run.
func TestHash(t *testing.T) {
	const steps = homes + `
  - set: {link: home-a-internet, loss: 5%}
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
	if other := hash(2, "seed: 2\n"+steps); other == first {
		t.Errorf("hash %s with two seeds", first)
	}
}

package simulate_test

import (
	"testing"

	"github.com/bdtnet/bdt/cmd/netsim/internal/virtual"
)

// One seed, one run: each packet has the same time, size and fates, whatever the scheduler
// does; a dial and an examination of the network draw nothing but from the seed. (The times
// of keepalives do: see docs/netsim/determinism.md.) Another seed, another run.
func TestHash(t *testing.T) {
	const steps = homes + `
  - netcheck: alice
  - dial: alice to bob
`
	hash := func(text string) string {
		virtual.Seed(virtual.Context(t), 1)
		return run(t, text).Hash
	}
	first := hash(steps)
	for range 10 {
		if again := hash(steps); again != first {
			t.Errorf("hash %s, then %s", first, again)
		}
	}
	const lossy = homes + `
  - set: {link: home-a-internet, loss: 30%}
  - netcheck: alice
`
	if one, two := hash(lossy), hash("seed: 2"+lossy); one == two {
		t.Errorf("hash %s with two seeds", one)
	}
}

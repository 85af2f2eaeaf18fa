package simulate_test

import (
	"testing"

	"github.com/bdtnet/bdt/cmd/netsim/internal/virtual"
)

// One seed, one run: of two quiet minutes each packet has the same time, size and fates. What
// goroutines of a stack do at one instant they may do in any order, which shows in few
// runs here, and in more of sessions: docs/netsim/determinism.md. Another seed is another run.
func TestHash(t *testing.T) {
	hash := func(seed uint64, steps string) string {
		virtual.Seed(virtual.Context(t), seed)
		return run(t, homes+steps).Hash
	}
	const runs, alike = 12, 10
	const steps = "  - online: alice\n  - wait: 2m\n"
	seen := make(map[string]int)
	most := 0
	for range runs {
		h := hash(1, steps)
		seen[h]++
		most = max(most, seen[h])
	}
	if most < alike {
		t.Errorf("of %d runs %d were alike: %v", runs, most, seen)
	}
	if other := hash(2, steps+"  - netcheck: alice\n"); seen[other] > 0 {
		t.Errorf("hash %s of two runs", other)
	}
}

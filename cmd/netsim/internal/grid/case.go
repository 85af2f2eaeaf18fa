package grid

import (
	"math/rand/v2"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/netsim"
)

// The links to the internet of a case are as far, one way, as between these; the SN's, too.
const (
	nearest   = 5 * time.Millisecond
	furthest  = 60 * time.Millisecond
	maxJitter = 3 * time.Millisecond
)

// Case returns the scenario of one dial of the grid: that of [scenario.Pair], with distances that
// come from the seed, so that each seed is another pair of homes.
// With withPN there is a PN as well, which both devices use.
func Case(a, b netsim.Preset, seed uint64, loss float64, withPN bool) *scenario.File {
	f := scenario.Pair(a, b)
	f.Seed = seed
	if withPN {
		f.AddPN()
	}
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range f.Links {
		l := &f.Links[i]
		if l.To != "internet" {
			continue
		}
		l.Config.Delay = nearest + time.Duration(r.Int64N(int64(furthest-nearest))).Round(time.Microsecond)
		l.Config.Jitter = time.Duration(r.Int64N(int64(maxJitter))).Round(time.Microsecond)
		l.Config.Loss = loss
	}
	return f
}

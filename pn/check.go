package pn

import (
	"hash/maphash"
	"time"

	"github.com/bdtnet/bdt/internal/quota"
)

// What takes public-key cryptography to decide about a Bind is bounded, beside the requests of a
// session, for each network (spec §5): a device has as many sessions as it likes.
const (
	checkRate   = 200 // a second
	checkBurst  = 400
	checkPlaces = 4096
	// checkQueue is how many may wait, of the queue that they share with handshakes.
	checkQueue = queueLimit / 2
)

// checks holds the token buckets of networks, in places that a secret hash chooses: who shares a
// place with whom is chance. It may be used concurrently.
type checks struct {
	seed    maphash.Seed
	buckets [checkPlaces]bucket
}

func newChecks() *checks { return &checks{seed: maphash.MakeSeed()} }

// take takes a token of a network, and reports whether there was one.
func (c *checks) take(n quota.Network, now time.Duration) bool {
	const burst = checkBurst * time.Second / checkRate
	return c.buckets[maphash.Comparable(c.seed, n)%checkPlaces].take(rate{perSecond: checkRate, burst: burst}, 1, now)
}

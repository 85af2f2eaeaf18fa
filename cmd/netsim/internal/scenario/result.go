package scenario

import "time"

// A Result is what came of a scenario.
type Result struct {
	Seed    uint64
	Steps   []Outcome     // in the order of the file
	Began   time.Duration // when the first step could begin, by the network's clock
	Virtual time.Duration // how long it took by the simulated clock
	Packets uint64        // that were sent on links, each hop counted
	Hash    string        // of packet times, sizes and fates
}

// Met reports whether all expectations were met.
func (r *Result) Met() bool {
	for _, o := range r.Steps {
		if !o.Met {
			return false
		}
	}
	return true
}

// An Outcome is what came of a step.
type Outcome struct {
	Line  int
	Text  string        // the step
	Began time.Duration // when, from when the first step could begin
	Took  time.Duration

	Path string // by which the peer was reached: "lan", "direct", "punched", "relayed"; "": it was not, or that was not asked
	// FirstByte is the time from the beginning to the first answered byte.
	FirstByte time.Duration
	// Probes counts the datagrams that the two devices sent anywhere but to SNs and PNs before one of
	// the other's arrived.
	Probes int
	Stall  time.Duration // the longest time in which nothing arrived of a transfer
	Detail string        // what else there is to say, in a line
	Err    string        // why it failed; empty: it did not

	Expected string // in a few words
	Met      bool
	Why      string // not Met: what was not as expected
}

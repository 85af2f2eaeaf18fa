package path

import "time"

// OpenerHops is the hop limit of an Opener: past our NATs, short of the peer's.
const OpenerHops = 4

// Knocking (spec §3).
const (
	// guard makes up for the SN's two messages not arriving at the same instant.
	guard = 4 * time.Millisecond

	knocks         = 7 // to an address that an SN saw, or that the peer was heard from
	strangerKnocks = 4 // to any other, over all links
	roundEnd       = time.Second

	// strangerRenewal is how long the knocks of a stranger last: an address that the
	// peer names again and again gets no more.
	strangerRenewal = 30 * time.Second

	// Packets to addresses that have never answered, in all: what a hostile peer
	// can have us send to third parties. A dial of 8 candidates over two links takes
	// at most 8 · 2 · 7 = 112.
	unprovenBurst    = 128
	unprovenInterval = 250 * time.Millisecond
	// sourceBurst is the share for addresses known only as a source, or by discovery:
	// whoever copies an initiation to us from many addresses, or names many on the local
	// network, leaves the rest to the real ones.
	sourceBurst = unprovenBurst / 2
)

// knockGaps are the times between knocks: 0, 50, 150, 350, 750, 1,550, 3,150 ms.
var knockGaps = [knocks - 1]time.Duration{
	50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond,
	400 * time.Millisecond, 800 * time.Millisecond, 1600 * time.Millisecond,
}

// Tables.
const (
	maxPaths      = 32
	maxCandidates = 16
	maxSources    = 16  // unproven paths known only as a source
	maxLog        = 256 // entries
	maxQueue      = 128 // actions; beyond, replies are dropped
	maxPasses     = 8   // of one Poll
)

// Validation and choice (spec §4, §5).
const (
	replyLimit = 5 * time.Second // a later answer is none

	// provisionalGrace is how long a path that carries data before it is valid is
	// preferred to a valid one of a lesser kind.
	provisionalGrace = 300 * time.Millisecond

	keepAlive   = 25 * time.Second // of the current path and the standby, ± 10 %, unless SetKeepAlive says otherwise
	expireAfter = 60 * time.Second // of the others, since they were heard

	wins      = 3 // consecutive samples that a lower RTT takes
	winMargin = 5 * time.Millisecond
	winGap    = 250 * time.Millisecond // between them

	// A path that died is chosen again over a working one after holdMin, doubled by
	// each death; a path that was valid for forgiveAfter has not died before.
	holdMin      = time.Second
	holdMax      = 64 * time.Second
	forgiveAfter = 5 * time.Minute
)

// announceGaps are the times between the probes that tell of a newly chosen path: of two
// that overtake each other on the way the newer is repeated last.
var announceGaps = [...]time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}

// Suspicion and death (spec §6).
const (
	missMin   = time.Second // a keepalive probe is missing
	missCount = 3

	suspectRivals = 3 // paths probed beside the current
	steadyRounds  = 4 // of probes, before the interval doubles

	hintInterval = time.Second // between suspicions because the peer uses another path

	retryMin = time.Second // of a dead path, doubled each time
	retryMax = 64 * time.Second
	retries  = 8

	kickInterval = 50 * time.Millisecond // kicks closer to each other are one

	recallAfter = time.Second // of silence on all paths
)

// Soundings (spec §10).
const (
	soundTries = 5                // unanswered, each verdict, until a path is taken for narrow
	soundHurry = 2                // the same when data goes unanswered
	soundEvery = 10 * time.Second // on the current path, while data is sent
)

// LostAfter is how long no path answers until the peer is lost.
const LostAfter = 30 * time.Second

// DormantAfter is how long there is no data until no probe is sent any more.
const DormantAfter = 2 * time.Minute

package path

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"io"
	"slices"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// Config configures a Set.
type Config struct {
	Rand io.Reader // of probe tokens and jitter; nil: crypto/rand
}

// Stage is what the owner can send: it decides what a knock is (spec §3).
type Stage uint8

// The stages.
const (
	// Waiting: nothing can be sent. Candidates are kept.
	Waiting Stage = iota
	// Calling: an Initiation is pending. Knocks carry it, to every candidate, to
	// the current path, the standby, and dead paths.
	Calling
	// Answering: a Response is pending and its keys are tentative. Knocks carry it
	// to the SN-observed address and the sources of the initiation; other
	// candidates get probes.
	Answering
	// Sealed: the keys are confirmed. Knocks are probes.
	Sealed
)

// Stats count what the Set had its owner send.
type Stats struct {
	Openers   int
	Knocks    int // Initiations and Responses
	Probes    int
	Soundings int
	Replies   int // never more than there were probes from the peer
	Unproven  int // openers, knocks and probes to addresses that had never answered: what is budgeted (spec §3)
}

// A Set is the paths to one peer.
type Set struct {
	rand    io.Reader
	scratch [8]byte // for rand: an array that escapes once, with the Set

	now       time.Time // of the last event
	stage     Stage
	shared    bool
	nominator bool
	local     []wire.Candidate
	links     []*link
	cands     []*candidate // oldest first
	paths     []*path
	queue     []Action
	budget    budget
	log       log
	stats     Stats

	// Choice.
	current    *path // in any state; nil: none yet, or its link is gone
	standby    *path
	nominated  *path // by the peer, whose choice counts
	usedAt     time.Time
	graceAt    time.Time // a current path that is not valid is preferred until then
	announceAt time.Time // when to tell the peer again; zero: never
	announced  int
	hintedAt   time.Time

	// Liveness.
	keepAlive  time.Duration
	activity   time.Time // the last data, in either direction
	sentAt     time.Time // the last data that was sent
	receivedAt time.Time // the last data that was received
	narrowAt   time.Time // since when what is sent on a narrow current path may be lost; zero: nothing is, or it has been told
	dormant    bool
	unanswered time.Time // the first data seen to go unanswered; zero: none
	doubt      doubt
	down       down
	kickedAt   time.Time
	recalledAt time.Time
}

// New returns an empty Set in stage Waiting.
func New(c Config) *Set {
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return &Set{rand: c.Rand, keepAlive: keepAlive}
}

// link returns the link of a handle, or nil.
func (s *Set) link(handle Link) *link {
	for _, l := range s.links {
		if l.Link == handle {
			return l
		}
	}
	return nil
}

// AddLink adds a link, and for a link that is not UDP its path. A link that is
// known already is updated: its Prefixes may have changed.
func (s *Set) AddLink(now time.Time, li LinkInfo) {
	s.now = now
	l := s.link(li.Link)
	if l == nil {
		l = new(link)
		s.links = append(s.links, l)
		s.log.add(Entry{Time: now, Event: EventLink, Local: li.Local, Remote: li.Peer})
	}
	l.LinkInfo = li
	if li.Transport == TransportUDP {
		s.tellAll(now, l)
		return
	}
	if s.find(l, li.Peer) == nil {
		if p := s.addPath(now, l, li.Peer, nil); p != nil {
			s.startKnocking(now, p, Told)
		}
	}
}

// RemoveLink forgets a link and its paths.
func (s *Set) RemoveLink(now time.Time, handle Link) {
	s.now = now
	l := s.link(handle)
	if l == nil {
		return
	}
	had := s.current != nil
	for _, p := range slices.Clone(s.paths) {
		if p.link == l {
			s.removePath(now, p, LinkGone)
		}
	}
	s.links = slices.DeleteFunc(s.links, func(k *link) bool { return k == l })
	s.log.add(Entry{Time: now, Event: EventUnlink, Local: l.Local, Remote: l.Peer})
	if !had || s.current != nil {
		s.pickStandby(now)
		return
	}
	if p := s.choice(); p != nil {
		s.use(now, p, LinkGone)
		s.suspect(now, LinkGone) // it was valid, some time ago
	}
	s.checkDown(now, now)
}

// SetShared says whether both ends are seen at one public address. If so, private
// candidates are used (spec §2).
func (s *Set) SetShared(now time.Time, shared bool) {
	s.now = now
	s.shared = shared
	for _, l := range s.links {
		if l.Transport == TransportUDP {
			s.tellAll(now, l)
		}
	}
}

// SetNominator says whether we are the client of the session, whose choice of path
// both ends follow (spec §5).
func (s *Set) SetNominator(now time.Time, nominator bool) {
	s.now = now
	if nominator == s.nominator {
		return
	}
	s.nominator = nominator
	s.choose(now)
	if nominator {
		s.announced, s.announceAt = 0, now
	}
}

// SetLocalCandidates says where we are reachable ourselves, beside the addresses of
// the links: it tells a path through an address that was set by the operator, or a port
// mapping, from a punched one. It counts from the next reply on. The Set keeps the
// slice and does not change it.
func (s *Set) SetLocalCandidates(list []wire.Candidate) { s.local = list }

// SetKeepAlive says how often the current path and the standby are probed, ± 10 %, from
// their next probe on.
func (s *Set) SetKeepAlive(d time.Duration) { s.keepAlive = d }

// Poll does what is due and returns what to do, in order. The slice is the caller's.
func (s *Set) Poll(now time.Time) []Action {
	s.now = now
	// What is done for one path may make something due at once for another: two
	// passes are usual, and each makes its own timer later.
	for range maxPasses {
		s.pass(now)
		if !due(s.timer(), now) {
			break
		}
	}
	q := s.queue
	s.queue = nil
	return q
}

// pass does what is due.
func (s *Set) pass(now time.Time) {
	if due(s.silentAt(), now) {
		s.unanswered = time.Time{}
		s.suspect(now, NoReply)
	}
	s.pursue(now)
	for _, p := range s.paths { // nothing here adds or removes one
		if due(p.knockAt, now) {
			s.knock(now, p)
		}
		if due(p.checkAt, now) {
			s.check(now, p)
		}
		if due(p.sounding.at, now) {
			s.soundNow(now, p)
		}
	}
	if due(s.stuckAt(), now) {
		s.giveUpNarrow(now)
	}
	if due(s.announceAt, now) {
		s.announceAgain(now)
	}
	if due(s.graceEnd(), now) {
		s.choose(now)
	}
	s.despair(now)
	if due(s.dormantAt(), now) {
		s.rest(now)
	}
}

// Next returns when Poll is due, at the latest; zero if nothing is planned. After an
// event it may be now. It does not allocate.
func (s *Set) Next() time.Time {
	if len(s.queue) > 0 {
		return s.now
	}
	return s.timer()
}

// timer returns the first of all timers.
func (s *Set) timer() time.Time {
	t := earlier(s.silentAt(), s.dormantAt())
	t = earlier(t, earlier(s.announceAt, s.stuckAt()))
	t = earlier(t, s.graceEnd())
	t = earlier(t, earlier(s.down.recallAt, s.down.lostAt))
	if d := &s.doubt; d.active() {
		t = earlier(t, earlier(d.round, earlier(d.verdict, d.death)))
	}
	for _, p := range s.paths {
		t = earlier(t, earlier(p.sounding.at, earlier(p.knockAt, p.checkAt)))
	}
	return t
}

// graceEnd returns when a valid path takes over from one that is not; zero: there are no
// two such.
func (s *Set) graceEnd() time.Time {
	if s.current == nil || s.current.state != Validating || s.standby == nil {
		return time.Time{}
	}
	return s.graceAt
}

func (s *Set) do(a Action) { s.queue = append(s.queue, a) }

// random returns 8 random bytes as a number that is not 0.
func (s *Set) random() uint64 {
	for {
		if _, err := io.ReadFull(s.rand, s.scratch[:]); err != nil {
			s.rand = rand.Reader // which never fails
			continue
		}
		if n := binary.BigEndian.Uint64(s.scratch[:]); n != 0 {
			return n
		}
	}
}

// jitter returns d ± 10 %.
func (s *Set) jitter(d time.Duration) time.Duration {
	return d - d/10 + time.Duration(s.random()%uint64(d/5))
}

// Stats returns what was sent so far.
func (s *Set) Stats() Stats { return s.stats }

// Log returns the record, oldest first.
func (s *Set) Log() []Entry { return s.log.entries() }

// LogSince returns the lines of the record after the first n of all, as far as they
// are kept, and how many there have been by now.
func (s *Set) LogSince(n int) (lines []Entry, total int) {
	if n == s.log.n {
		return nil, n
	}
	lines = s.log.entries()
	return lines[max(0, len(lines)-(s.log.n-n)):], s.log.n
}

// Current returns the path that data uses.
func (s *Set) Current() (Info, bool) {
	if s.current == nil {
		return Info{}, false
	}
	return s.info(s.current), true
}

// Paths returns all paths, the current first, then the standby, then those that work,
// by kind and RTT, then the others.
func (s *Set) Paths() []Info {
	list := make([]Info, 0, len(s.paths))
	for _, p := range s.paths {
		list = append(list, s.info(p))
	}
	order := func(i Info) int {
		switch {
		case i.Current:
			return 0
		case i.Standby:
			return 1
		case i.State == Valid || i.State == Suspect:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(list, func(a, b Info) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.RTT, b.RTT))
	})
	return list
}

func (s *Set) info(p *path) Info {
	return Info{
		Link: p.link.Link, Local: p.link.Local, Remote: p.addr, Observed: p.observed,
		Kind: p.kind, State: p.state, Since: p.since,
		Current: p == s.current, Standby: p == s.standby,
		RTT: p.rtt.smoothed, RTTVar: p.rtt.variance, MinRTT: p.rtt.min,
		Probes: p.probeN, Replies: p.replyN, Heard: p.heard,
	}
}

// due reports whether t is set and has come.
func due(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

// earlier returns the earlier of two times, of which either may be zero: not set.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// later returns the later of two times; the zero time is before all others.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

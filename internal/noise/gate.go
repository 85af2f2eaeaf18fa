package noise

import (
	"crypto/rand"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

const (
	// DefaultBudget is how many initiations a second a [Gate] lets through
	// without a cookie.
	DefaultBudget = 2000
	// DefaultResponses is how many responses a [Gate] remembers.
	DefaultResponses = 4096

	responseLife = 10 * time.Second // spec §4

	// What a source that has shown a cookie may still ask for (spec §2).
	sourceRate  = 20 // initiations a second
	sourceBurst = 40
	sourceLimit = 4096 // sources remembered, and networks
)

// Action is what to do with an initiation.
type Action uint8

// The actions.
const (
	Drop    Action = iota // say nothing
	Reply                 // send Verdict.Packet to where the initiation came from
	Process               // go on to Local.ReadInitiation, then Remember or Forget
)

// A Verdict is a [Gate]'s decision about an initiation.
type Verdict struct {
	Action Action
	Packet []byte // Reply: what to send; not to be modified
	// Owner is whose initiation it is, if the Packet is one that was remembered:
	// its source may be new to the owner. It is nil with a cookie reply.
	Owner any
	Hash  Hash // Process: what to Remember or Forget
}

// GateConfig configures a [Gate].
type GateConfig struct {
	// Budget is how many initiations a second go through without a cookie, again as
	// many with one, and again as many that SNs forwarded; 0: DefaultBudget, negative:
	// no limit.
	Budget int
	// Responses is how many initiations are remembered for 10 s, so that copies
	// are answered alike; 0: DefaultResponses.
	Responses int
}

// GateCounts says what became of all initiations that a [Gate] saw.
type GateCounts struct {
	Malformed  uint64 // dropped: layout or mac1
	Repeated   uint64 // answered with the response of the first copy
	Unanswered uint64 // dropped: a copy of one that has no response yet
	Cookies    uint64 // answered with a cookie
	Limited    uint64 // dropped: over budget in spite of a cookie, or with no source
	Processed  uint64 // let through
}

// A Gate decides which initiations deserve Diffie–Hellman operations, before any
// is done (spec §2, §4). Nothing is kept for a source that has not shown a cookie
// once the budget is used up. It is safe for concurrent use.
type Gate struct {
	macKey    macKey
	cookieKey macKey
	responses int

	mu        sync.Mutex
	open      *rate.Limiter // initiations without a cookie
	proven    *rate.Limiter // initiations with one
	forwarded *rate.Limiter // initiations by way of SNs
	sources   recent[netip.Addr, *rate.Limiter]
	networks  recent[netip.Addr, *rate.Limiter] // what one party may hold many sources of
	budget    int
	jar       cookieJar
	seen      map[Hash]*sighting
	order     []*sighting // those in seen and those forgotten, oldest first
	counts    GateCounts
}

// A sighting is an initiation let through, and its response when there is one.
type sighting struct {
	hash   Hash
	at     time.Time
	packet []byte
	owner  any
}

// NewGate returns the gate of the device or SN with the given id.
func NewGate(id identity.ID, c GateConfig) *Gate {
	if c.Budget == 0 {
		c.Budget = DefaultBudget
	}
	if c.Responses <= 0 {
		c.Responses = DefaultResponses
	}
	limit := limitOf(c.Budget)
	return &Gate{
		macKey:    newMACKey(labelMAC1, id),
		cookieKey: newMACKey(labelCookie, id),
		responses: c.Responses,
		open:      rate.NewLimiter(limit, max(c.Budget, 1)),
		proven:    rate.NewLimiter(limit, max(c.Budget, 1)),
		forwarded: rate.NewLimiter(limit, max(c.Budget, 1)),
		sources:   newRecent[netip.Addr, *rate.Limiter](sourceLimit),
		networks:  newRecent[netip.Addr, *rate.Limiter](sourceLimit),
		budget:    c.Budget,
		seen:      make(map[Hash]*sighting),
	}
}

func limitOf(budget int) rate.Limit {
	if budget < 0 {
		return rate.Inf
	}
	return rate.Limit(budget)
}

// SetBudget changes what GateConfig.Budget has set.
func (g *Gate) SetBudget(budget int) {
	if budget == 0 {
		budget = DefaultBudget
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range []*rate.Limiter{g.open, g.proven, g.forwarded} {
		l.SetLimit(limitOf(budget))
		l.SetBurst(max(budget, 1))
	}
	g.budget = budget
	g.networks = newRecent[netip.Addr, *rate.Limiter](sourceLimit)
}

// Admit decides about an initiation that came from a source; the zero AddrPort
// means one that an SN forwarded, which vouches for it and limits it, and which
// cannot be asked for a cookie: the caller gives each SN its share. A Process verdict must be followed by Remember or
// Forget.
func (g *Gate) Admit(now time.Time, pkt []byte, from netip.AddrPort) Verdict {
	m, err := wire.ParseInitiation(pkt)
	if err != nil || !hasMAC1(pkt, g.macKey) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.counts.Malformed++
		return Verdict{}
	}
	hash := hashInitiation(pkt)

	if v, decided := g.admitKnown(now, hash, from); decided {
		return v
	}
	return g.admitByCookie(now, pkt, &m, hash, from)
}

// admitKnown decides about copies, and about what the budget has room for.
func (g *Gate) admitKnown(now time.Time, hash Hash, from netip.AddrPort) (v Verdict, decided bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if v, ok := g.repeatedLocked(now, hash); ok {
		return v, true
	}
	switch {
	case !from.IsValid() && !g.forwarded.AllowN(now, 1):
		g.counts.Limited++
		return Verdict{}, true
	case !from.IsValid() || g.open.AllowN(now, 1):
		return g.processLocked(now, hash), true
	}
	return Verdict{}, false
}

// admitByCookie decides about what is over budget. Its hashing is done unlocked.
func (g *Gate) admitByCookie(now time.Time, pkt []byte, m *wire.Initiation, hash Hash, from netip.AddrPort) Verdict {
	g.mu.Lock()
	g.jar.rotate(now)
	secrets := g.jar.secrets
	g.mu.Unlock()

	cookie := cookieOf(&secrets[0], from)
	if m.MAC2 == [macLen]byte{} || !hasMAC2(pkt, cookie) && !hasMAC2(pkt, cookieOf(&secrets[1], from)) {
		var nonce [24]byte
		rand.Read(nonce[:])
		reply := sealCookie(g.cookieKey, nonce, cookie, m.Sender, pkt)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.counts.Cookies++
		return Verdict{Action: Reply, Packet: reply}
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	if v, ok := g.repeatedLocked(now, hash); ok { // a copy came in meanwhile
		return v
	}
	if !g.sourceLocked(from).AllowN(now, 1) || !g.networkLocked(from).AllowN(now, 1) || !g.proven.AllowN(now, 1) {
		g.counts.Limited++
		return Verdict{}
	}
	return g.processLocked(now, hash)
}

// repeatedLocked decides about a copy of an initiation that was let through.
func (g *Gate) repeatedLocked(now time.Time, hash Hash) (v Verdict, ok bool) {
	g.expireLocked(now)
	s, ok := g.seen[hash]
	switch {
	case !ok:
		return Verdict{}, false
	case s.packet == nil:
		g.counts.Unanswered++
		return Verdict{}, true
	}
	g.counts.Repeated++
	return Verdict{Action: Reply, Packet: s.packet, Owner: s.owner}, true
}

// processLocked lets an initiation through.
func (g *Gate) processLocked(now time.Time, hash Hash) Verdict {
	s := &sighting{hash: hash, at: now}
	g.seen[hash] = s
	g.order = append(g.order, s)
	g.counts.Processed++
	return Verdict{Action: Process, Hash: hash}
}

// expireLocked forgets sightings that are too old or too many.
func (g *Gate) expireLocked(now time.Time) {
	for len(g.order) > 0 && (len(g.order) >= g.responses || now.Sub(g.order[0].at) >= responseLife) {
		s := g.order[0]
		g.order[0] = nil
		g.order = g.order[1:]
		if g.seen[s.hash] == s { // not forgotten and seen again since
			delete(g.seen, s.hash)
		}
	}
}

// sourceLocked returns the bucket of a source that has shown a cookie.
func (g *Gate) sourceLocked(from netip.AddrPort) *rate.Limiter {
	prefix := sourcePrefix(from.Addr())
	l, ok := g.sources.get(prefix)
	if !ok {
		l = rate.NewLimiter(sourceRate, sourceBurst)
		g.sources.put(prefix, l)
	}
	return l
}

// networkLocked returns the bucket of the network of a source that has shown a
// cookie: half the budget, so that there is as much for others.
func (g *Gate) networkLocked(from netip.AddrPort) *rate.Limiter {
	prefix := networkPrefix(from.Addr())
	l, ok := g.networks.get(prefix)
	if !ok {
		l = rate.NewLimiter(limitOf(g.budget)/2, max(g.budget/2, sourceBurst))
		g.networks.put(prefix, l)
	}
	return l
}

// Remember keeps what to send to copies of an initiation that was let through, for
// the rest of 10 s from then. Without it, copies are dropped for as long, which is
// what one that turned out to be forged deserves. packet is kept, not copied.
func (g *Gate) Remember(hash Hash, packet []byte, owner any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s, ok := g.seen[hash]; ok {
		s.packet, s.owner = packet, owner
	}
}

// Forget lets the next copy of an initiation be processed: for when the first was
// dropped for want of room, not for what it was.
func (g *Gate) Forget(hash Hash) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.seen, hash)
}

// Counts returns what became of all initiations so far.
func (g *Gate) Counts() GateCounts {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.counts
}

package pn

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/quota"
)

// A place is where a device is reached: its address, and the listener that it sends to,
// whose address its NAT lets in.
type place struct {
	via  *listener
	addr netip.AddrPort
}

// A session is an association with a device, and where that device is.
type session struct {
	keys  atomic.Pointer[noise.Association] // nil until the initiation is answered
	where atomic.Pointer[place]             // where the device is known to receive; nil: nowhere yet
	heard atomic.Int64                      // when a packet was opened, or forwarded for it, since the server's start

	owner   identity.ID   // as the device claims
	device  []byte        // its descriptor; nil if it has no owner
	network quota.Network // that it counts for
	stamp   uint64        // of its initiation: the device's sessions in the order in which it began them

	mu        sync.Mutex
	used      bool  // a packet has been opened
	gone      bool  // no longer in the table of indices
	spread    bool  // the response went to several sources: the first packet proves nothing
	at        place // of the initiation, until where is set
	challenge *challenge
	requests  requests
	pairs     []*pair // those in which it is an end
}

// A challenge asks whether the device receives at a new place.
type challenge struct {
	token uint64
	to    place
	sent  time.Duration
}

// assoc returns the association. It is nil for a packet that guessed the index
// before the response was made.
func (x *session) assoc() *noise.Association { return x.keys.Load() }

// id returns the device's identity, which the handshake has proved.
func (x *session) id() identity.ID { return x.assoc().Remote() }

func (x *session) visitor() visitor { return visitor{x.id(), x.owner, x.device} }

// challengeInterval is the least time between two challenges of a session.
const challengeInterval = time.Second

// arrived takes note of an opened packet from a place. It returns the challenge to
// send there if that is not where the device is known to be, and where it is, nil if
// nowhere yet. (docs/spec/sn.md §2; the SN's session has the same rules and more phases.)
func (x *session) arrived(from place, now time.Duration, token func() uint64) (send *challenge, at *place) {
	x.heard.Store(int64(now))
	x.mu.Lock()
	defer x.mu.Unlock()
	x.used = true
	at = x.where.Load()
	switch {
	case at != nil && *at == from:
		return nil, at
	case at == nil && from == x.at && !x.spread:
		at = &from
		x.where.Store(at)
		return nil, at
	}
	if c := x.challenge; c != nil && now-c.sent < challengeInterval && (c.to == x.at || from != x.at) {
		return nil, at
	}
	x.challenge = &challenge{token: token(), to: from, sent: now}
	return x.challenge, at
}

// prove moves the session to where a ChallengeReply came from, if that is where
// its challenge was sent.
func (x *session) prove(from place, token uint64, now time.Duration) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.challenge
	if c == nil || c.to != from || c.token != token {
		return false
	}
	x.used, x.challenge, x.at = true, nil, from
	x.where.Store(&from)
	x.heard.Store(int64(now))
	return true
}

// add notes that the session is an end of a pair, and reports whether it is still
// there.
func (x *session) add(p *pair) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gone {
		return false
	}
	if !slices.Contains(x.pairs, p) {
		x.pairs = append(x.pairs, p)
	}
	return true
}

// remove undoes an add.
func (x *session) remove(p *pair) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if i := slices.Index(x.pairs, p); i >= 0 {
		x.pairs = slices.Delete(x.pairs, i, i+1)
	}
}

// count returns of how many pairs the session is an end.
func (x *session) count() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.pairs)
}

// ask takes a token of the session's requests, and reports whether there was one.
func (x *session) ask(now time.Duration) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.requests.take(now)
}

// requests is the token bucket of a session's Binds: 20 a second, 50 at once (spec §5).
// It is the time, since the server's start, at which it will be full.
type requests time.Duration

const (
	requestCost  = time.Second / 20
	requestBurst = 50
)

func (r *requests) take(now time.Duration) bool {
	full := max(time.Duration(*r), now) + requestCost
	if full-now > requestBurst*requestCost {
		return false
	}
	*r = requests(full)
	return true
}

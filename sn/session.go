package sn

import (
	"math"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
)

// A sender is a socket to answer on. [socket.Socket] is one; its dynamic type
// must be comparable.
type sender interface {
	Send(to netip.AddrPort, b []byte) error
}

// A place is where a device is reached: its address, and the socket that it
// sends to, whose address its NAT lets in.
type place struct {
	via  sender
	addr netip.AddrPort
}

// A phase is how far a session has come.
type phase uint8

const (
	// fresh: the handshake is done, nothing registered. To registered by a
	// Register, to gone when 10 s have passed.
	fresh phase = iota
	// registered: the session of a registration. To superseded by a Register of
	// another instance, to gone by a newer session of its own instance, or when
	// nothing was heard for 300 s.
	registered
	// superseded: told so at each packet, no longer served. To gone when the
	// next session of the device is superseded, or when the device is forgotten.
	superseded
	// gone: no longer in the table of indices.
	gone
)

// A session is an association with a device, and where that device is. The
// association may be used concurrently; all else is guarded by the lock of the
// shard of the device's id.
type session struct {
	keys atomic.Pointer[noise.Association] // nil until the initiation is answered

	phase     phase
	proven    bool // the device receives at its place
	spread    bool // the response went to several sources: the first packet proves nothing
	at        place
	challenge *challenge
	heard     time.Duration // when a packet last opened
	floor     uint64        // packets of lower counters are not acted on
	keptEpoch uint16        // of the keys in the state file
	directory bucket        // Limits.Directory
	hello     *hello        // until registered, then nil
}

// A challenge asks whether the device receives at a new place (spec §2).
type challenge struct {
	token uint64
	to    place
	sent  time.Duration
}

// A hello is what the handshake told of the device.
type hello struct {
	object
	owner identity.ID // as the device claims
}

// assoc returns the association. It is nil for a packet that guessed the index
// before the response was made.
func (x *session) assoc() *noise.Association { return x.keys.Load() }

// id returns the device's identity, which the handshake has proved.
func (x *session) id() identity.ID { return x.assoc().Remote() }

// unsettled is the floor of a session that an earlier run of the server has kept
// until the device has answered a challenge: what it sent since that was kept may
// be a replay (spec §7).
const unsettled = math.MaxUint64

// challengeInterval is the least time between two challenges of a session.
const challengeInterval = time.Second

// arrived takes note of an opened packet from a place, and returns the
// challenge to send there if that is not where the device is known to be. Until
// a place is proven, only a ChallengeReply counts. The shard must be locked.
//
// The source of the initiation is proven by the first packet from there, because
// the response that made it possible went nowhere else; unless it did.
func (x *session) arrived(from place, now time.Duration, token func() uint64) (send *challenge) {
	if x.floor != unsettled {
		x.heard = now
		if from == x.at && (x.proven || !x.spread) {
			x.proven = true
			return nil
		}
	}
	// Replays from elsewhere must not keep a challenge from where the device is.
	if c := x.challenge; c != nil && now-c.sent < challengeInterval && (c.to == x.at || from != x.at) {
		return nil
	}
	x.challenge = &challenge{token: token(), to: from, sent: now}
	return x.challenge
}

// prove moves the session to where a ChallengeReply came from, if that is where
// its challenge was sent. The shard must be locked.
//
// The token is new, so the reply is no replay; and a device counts up, so what
// has a higher counter than the reply is none either.
func (x *session) prove(from place, token, counter uint64, now time.Duration) bool {
	c := x.challenge
	if c == nil || c.to != from || c.token != token {
		return false
	}
	if x.floor == unsettled {
		x.floor = counter
	}
	x.at, x.proven, x.challenge, x.heard = from, true, nil, now
	return true
}

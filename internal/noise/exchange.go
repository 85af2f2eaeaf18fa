package noise

import (
	"fmt"
	"slices"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// How long things last.
const (
	pendingLife   = 10 * time.Second // an initiation of ours, as long as a response to it is kept (spec §4)
	tentativeLife = 10 * time.Second // an association not confirmed (spec §7)
	previousLife  = 10 * time.Second // an association after its replacement (spec §8)
	holdTime      = time.Second      // for which a fresh tentative association holds our initiation back (spec §5)
	glareTime     = 2 * time.Second  // for which glare outlasts the winner's handshake (spec §5)
	hintLife      = 5 * time.Second  // between initiations that hints cause (spec §8)
)

// State says what an [Exchange] holds.
type State uint8

// The states, with their exits.
const (
	// StateIdle: nothing. Exits: Begin to Initiating, Answer to Answered.
	StateIdle State = iota
	// StateInitiating: our initiation is under way. Exits: HandleResponse to
	// Established, or to Idle when refused; Answer to Answered; Expire to Idle.
	StateInitiating
	// StateAnswered: a tentative association alone, perhaps with an initiation of
	// ours besides. Exits: Confirm to Established; HandleResponse to Renewing,
	// since the tentative one is kept; Expire to Initiating or Idle.
	StateAnswered
	// StateEstablished: a current association. Exits: Begin and Answer to Renewing.
	StateEstablished
	// StateRenewing: a current association, and an initiation of ours or a
	// tentative association that may replace it. Exits: Confirm, HandleResponse
	// and Expire to Established.
	StateRenewing
)

// String returns the name of the state.
func (s State) String() string {
	return [...]string{"idle", "initiating", "answered", "established", "renewing"}[s]
}

// Indices gives out the receiver indices of one owner; see [Table.For].
type Indices interface {
	Alloc() (uint32, error)
	Free(index uint32)
}

// ExchangeConfig configures an [Exchange]. All fields are needed.
type ExchangeConfig struct {
	Local   *Local
	Remote  identity.ID
	Indices Indices
	Stamper *Stamper
	Marks   *Marks
}

// An Exchange is all handshakes with one remote device, of which at most one
// association is current at a time (spec §3 to §8). It belongs to one goroutine;
// the associations that it returns do not.
//
// It sends nothing: the caller sends, and repeats as often as it likes, what
// Packet returns, and passes in what it receives.
type Exchange struct {
	config   ExchangeConfig
	state    State
	slots    slots
	answered answered
	hintAt   time.Time // of the last hint that was believed
}

// slots is what an Exchange holds. Only setState writes it.
type slots struct {
	pending       *pending
	tentative     *tentative
	current       *Association
	currentSince  time.Time
	previous      *Association // the one before, for packets still under way
	previousUntil time.Time
}

// pending is our initiation under way.
type pending struct {
	*Initiator
	remote *identity.Device
	offer  Offer
	since  time.Time
	retry  bool // it follows a stale one
}

// tentative is an association that we accepted and that no packet has confirmed.
type tentative struct {
	*Association
	since time.Time
	// rival: our own initiation was accepted while this one was there. Each end
	// may see either first, so the lower id's stands, like in glare.
	rival bool
}

// answered is the last initiation that we answered, and the response to it.
type answered struct {
	hash   Hash
	packet []byte
	at     time.Time
}

// NewExchange returns an Exchange that holds nothing.
func NewExchange(c ExchangeConfig) *Exchange { return &Exchange{config: c} }

// state names what the slots hold.
func (s *slots) state() State {
	busy := s.pending != nil || s.tentative != nil
	switch {
	case s.current != nil && busy:
		return StateRenewing
	case s.current != nil:
		return StateEstablished
	case s.tentative != nil:
		return StateAnswered
	case s.pending != nil:
		return StateInitiating
	}
	return StateIdle
}

// indices returns the receiver indices in use, 0 where there is none.
func (s *slots) indices() (list [4]uint32) {
	if s.pending != nil {
		list[0] = s.pending.Index()
	}
	if s.tentative != nil {
		list[1] = s.tentative.localIndex
	}
	if s.current != nil {
		list[2] = s.current.localIndex
	}
	if s.previous != nil {
		list[3] = s.previous.localIndex
	}
	return list
}

// setState makes every transition, and frees the indices of what is let go.
func (x *Exchange) setState(next slots) {
	kept := next.indices()
	for _, index := range x.slots.indices() {
		if index != 0 && !slices.Contains(kept[:], index) {
			x.config.Indices.Free(index)
		}
	}
	x.slots = next
	x.state = next.state()
}

// State returns the present state.
func (x *Exchange) State() State { return x.state }

// Current returns the association to seal with, nil if there is none.
func (x *Exchange) Current() *Association { return x.slots.current }

// Association returns the association to open a packet with receiver index index,
// nil if there is none: the current, the tentative, or the one before.
func (x *Exchange) Association(index uint32) *Association {
	s := &x.slots
	switch {
	case s.current != nil && s.current.localIndex == index:
		return s.current
	case s.tentative != nil && s.tentative.localIndex == index:
		return s.tentative.Association
	case s.previous != nil && s.previous.localIndex == index:
		return s.previous
	}
	return nil
}

// Begin starts an initiation to remote, whose stamp and index it chooses, and
// returns what to send like Packet. If one is under way already, that goes on and
// o is ignored.
func (x *Exchange) Begin(now time.Time, remote *identity.Device, o Offer) ([]byte, error) {
	if x.slots.pending != nil {
		return x.Packet(now), nil
	}
	if remote.ID() != x.config.Remote {
		return nil, fmt.Errorf("noise: initiate to %s: descriptor of %s: %w",
			x.config.Remote.Short(), remote.ID().Short(), identity.ErrWrongID)
	}
	index, err := x.config.Indices.Alloc()
	if err != nil {
		return nil, fmt.Errorf("noise: initiate to %s: %w", x.config.Remote.Short(), err)
	}
	o.Index = index
	o.Engines, o.Early = slices.Clone(o.Engines), slices.Clone(o.Early)
	p, err := x.initiate(now, remote, o)
	if err != nil {
		x.config.Indices.Free(index)
		return nil, err
	}
	next := x.slots
	next.pending = p
	x.setState(next)
	return x.Packet(now), nil
}

// initiate makes an initiation with a fresh stamp.
func (x *Exchange) initiate(now time.Time, remote *identity.Device, o Offer) (*pending, error) {
	o.Stamp = x.config.Stamper.Next(now, x.config.Remote)
	i, err := x.config.Local.Initiate(remote, o)
	if err != nil {
		return nil, err
	}
	return &pending{Initiator: i, remote: remote, offer: o, since: now}, nil
}

// Pending reports whether an initiation of ours is under way, held back or not.
func (x *Exchange) Pending() bool { return x.slots.pending != nil }

// Packet returns the initiation to send now, the same bytes each time; nil if
// there is none, or if it is held back because we have just answered the peer's
// own, until Next (spec §5).
func (x *Exchange) Packet(now time.Time) []byte {
	if x.slots.pending == nil || x.held(now) {
		return nil
	}
	return x.slots.pending.Packet()
}

// held reports whether a tentative association is fresh enough to hold our own
// initiation back.
func (x *Exchange) held(now time.Time) bool {
	return x.slots.tentative != nil && now.Before(x.heldUntil())
}

func (x *Exchange) heldUntil() time.Time { return x.slots.tentative.since.Add(holdTime) }

// HandleCookie returns the initiation with the cookie that a CookieReply holds,
// to be sent once to where that came from.
func (x *Exchange) HandleCookie(reply wire.CookieReply) ([]byte, error) {
	if x.slots.pending == nil {
		return nil, fmt.Errorf("noise: cookie reply: %w", ErrIndex)
	}
	return x.slots.pending.PacketWithCookie(reply)
}

// HandleHint reports whether to begin an initiation, naming the current session
// in Offer.Rekeys, because the peer says that it does not know a receiver index
// that we use (spec §8). A hint may be forged.
func (x *Exchange) HandleHint(now time.Time, h wire.Hint) bool {
	c := x.slots.current
	if c == nil || c.remoteIndex != h.Receiver || x.slots.pending != nil {
		return false
	}
	if !x.hintAt.IsZero() && now.Sub(x.hintAt) < hintLife {
		return false
	}
	x.hintAt = now
	return true
}

// Next returns when Expire, or Packet for an initiation held back, is due next;
// the zero time if never.
func (x *Exchange) Next(now time.Time) (at time.Time) {
	earliest := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	s := &x.slots
	if s.pending != nil {
		earliest(s.pending.since.Add(pendingLife))
		if x.held(now) {
			earliest(x.heldUntil())
		}
	}
	if s.tentative != nil {
		earliest(s.tentative.since.Add(tentativeLife))
	}
	if s.previous != nil {
		earliest(s.previousUntil)
	}
	if x.answered.packet != nil {
		earliest(x.answered.at.Add(responseLife))
	}
	return at
}

// Expired says what Expire let go.
type Expired struct {
	Pending   bool // our initiation: nobody answered
	Tentative bool // an association that was not confirmed
}

// Expire lets go what has been held for too long. Begin may follow.
func (x *Exchange) Expire(now time.Time) (e Expired) {
	next := x.slots
	if p := next.pending; p != nil && now.Sub(p.since) >= pendingLife {
		next.pending, e.Pending = nil, true
	}
	if t := next.tentative; t != nil && now.Sub(t.since) >= tentativeLife {
		next.tentative, e.Tentative = nil, true
	}
	if next.previous != nil && !now.Before(next.previousUntil) {
		next.previous = nil
	}
	if x.answered.packet != nil && now.Sub(x.answered.at) >= responseLife {
		x.answered = answered{}
	}
	x.setState(next)
	return e
}

// Close lets everything go, and frees all indices.
func (x *Exchange) Close() {
	x.answered = answered{}
	x.setState(slots{})
}

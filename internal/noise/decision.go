package noise

import (
	"fmt"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// DecisionKind says what to do with an initiation of the peer.
type DecisionKind uint8

// The kinds of decision.
const (
	// DecideAnswer: call Answer or Refuse, as policy says.
	DecideAnswer DecisionKind = iota
	// DecideRepeat: send Packet, the response to the first copy, to the source.
	DecideRepeat
	// DecideWin: ours stands (spec §5). Learn the source, and send it Packet, our
	// own initiation. If Packet is nil, ours is accepted already: send a Sealed one.
	DecideWin
	// DecideStale: send Packet to the source.
	DecideStale
)

// String returns the name of the kind.
func (k DecisionKind) String() string {
	return [...]string{"answer", "repeat", "win", "stale"}[k]
}

// A Decision is what to do with an initiation of the peer. A Packet is also what
// to give Gate.Remember.
type Decision struct {
	Kind   DecisionKind
	Packet []byte
	// Yields: to be answered although an initiation of ours is under way, which is
	// held back from the answer on. That we are dialling is to be said in the answer.
	Yields bool
	// GoesOn: the initiation rekeys our current session. It goes on if the caller
	// says so in Accept.
	GoesOn bool
}

// HandleIncoming decides about an initiation of the peer. It changes nothing.
func (x *Exchange) HandleIncoming(now time.Time, in *Incoming) (Decision, error) {
	if id := in.Device.ID(); id != x.config.Remote {
		return Decision{}, fmt.Errorf("noise: initiation of %s handed to the exchange with %s: %w",
			id.Short(), x.config.Remote.Short(), identity.ErrWrongID)
	}
	if x.answered.packet != nil && in.Hash == x.answered.hash && now.Sub(x.answered.at) < responseLife {
		return Decision{Kind: DecideRepeat, Packet: x.answered.packet}, nil
	}
	if x.wins(now) {
		return Decision{Kind: DecideWin, Packet: x.Packet(now)}, nil
	}
	if mark, ok := x.config.Marks.Mark(x.config.Remote); ok && in.Payload.Stamp <= mark && !in.claimed {
		pkt, err := in.Stale(mark)
		return Decision{Kind: DecideStale, Packet: pkt}, err
	}
	return Decision{
		Kind:   DecideAnswer,
		Yields: x.slots.pending != nil,
		GoesOn: x.slots.current != nil && in.Payload.Rekeys == x.slots.current.session,
	}, nil
}

// wins reports whether our own initiation stands against one that comes now: by
// the lower id, if it is under way and not held back, or if it was accepted and
// nothing from the peer under the new keys says yet that it knows (spec §5).
func (x *Exchange) wins(now time.Time) bool {
	if x.config.Local.id.Compare(x.config.Remote) >= 0 {
		return false
	}
	if x.slots.pending != nil && !x.held(now) {
		return true
	}
	c := x.slots.current
	return c != nil && c.initiator && !c.Heard() && now.Sub(x.slots.currentSince) < glareTime
}

// Claim is called before the early data of an initiation that is to be answered is
// looked at, and reports whether it may be run: at most once in the life of the
// process, however often the initiation comes (spec §3). The mark is the
// initiation's stamp from then on, which HandleIncoming and Answer know.
func (x *Exchange) Claim(now time.Time, in *Incoming) bool {
	if in.claimed {
		return false
	}
	in.claimed = true
	return x.config.Marks.Claim(now, x.config.Remote, in.Payload.Stamp)
}

// Answer accepts an initiation that is to be answered, with an index that it
// chooses. It returns the response, to be sent to each source of the initiation,
// and the association, which is tentative.
func (x *Exchange) Answer(now time.Time, in *Incoming, a Accept) ([]byte, *Association, error) {
	index, err := x.config.Indices.Alloc()
	if err != nil {
		return nil, nil, fmt.Errorf("noise: accept %s: %w", x.config.Remote.Short(), err)
	}
	a.Index = index
	pkt, assoc, err := in.Accept(a)
	if err != nil {
		x.config.Indices.Free(index)
		return nil, nil, err
	}
	if !in.claimed {
		x.config.Marks.Raise(x.config.Remote, in.Payload.Stamp)
	}
	x.answered = answered{in.Hash, pkt, now}
	next := x.slots
	next.tentative = &tentative{Association: assoc, since: now}
	x.setState(next)
	return pkt, assoc, nil
}

// Refuse refuses an initiation that is to be answered. It returns the response.
func (x *Exchange) Refuse(now time.Time, in *Incoming, reason string) ([]byte, error) {
	pkt, err := in.Refuse(reason)
	if err != nil {
		return nil, err
	}
	x.answered = answered{in.Hash, pkt, now}
	return pkt, nil
}

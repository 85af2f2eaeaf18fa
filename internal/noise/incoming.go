package noise

import (
	"crypto/subtle"
	"fmt"

	flynn "github.com/flynn/noise"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// An Incoming is another device's initiation, decrypted and proven to be of
// Device, to be answered at most once by Accept, Stale or Refuse. It may be a
// replay. It is not safe for concurrent use.
type Incoming struct {
	Device  *identity.Device
	Payload wire.InitiationPayload // owned by the Incoming; Device holds the parsed device
	Index   uint32                 // the initiator's receiver index
	Hash    Hash

	local   *Local
	noise   *flynn.HandshakeState
	size    int // of the initiation, in bytes
	spent   bool
	claimed bool // its stamp is the mark already: see Exchange.Claim
}

// An Accept is what a responder agrees to (spec §1, §6, §8).
type Accept struct {
	Index      uint32           // our receiver index; not 0
	Stamp      uint64           // ours, in microseconds since 1970
	Dialling   bool             // we want a session, too
	GoesOn     bool             // the session named by the initiation's Rekeys goes on
	Engine     wire.Engine      // one of those offered, or none
	Candidates []wire.Candidate // at most wire.MaxCandidates
	Early      []byte           // at most wire.MaxResponseEarly bytes
	// WithDevice asks for our signed device to be carried. It is left out where
	// the response would be longer than the initiation, lest we amplify.
	WithDevice bool
}

// ReadInitiation checks mac1, decrypts an Initiation and verifies that the device
// it carries owns the static key that Noise proved (spec §1). It costs two
// Diffie–Hellman operations and a signature check: ask a [Gate] before.
func (l *Local) ReadInitiation(pkt []byte) (*Incoming, error) {
	m, err := wire.ParseInitiation(pkt)
	if err != nil {
		return nil, err
	}
	if !hasMAC1(pkt, l.macKey) {
		return nil, fmt.Errorf("noise: initiation: %w", ErrMAC)
	}
	if m.Sender == 0 {
		return nil, fmt.Errorf("noise: initiation: %w", ErrIndex)
	}
	state, err := l.handshake(l.id, nil)
	if err != nil {
		return nil, fmt.Errorf("noise: initiation: %w", err)
	}
	plain, _, _, err := state.ReadMessage(nil, m.Noise)
	if err != nil {
		return nil, fmt.Errorf("noise: initiation: %w", ErrDecrypt)
	}
	in := &Incoming{Index: m.Sender, Hash: hashInitiation(pkt), local: l, noise: state, size: len(pkt)}
	if in.Payload, err = wire.ParseInitiationPayload(plain); err != nil {
		return nil, fmt.Errorf("noise: initiation: %w", err)
	}
	if in.Device, err = identity.ParseDevice(in.Payload.Device); err != nil {
		return nil, fmt.Errorf("noise: initiation: %w", err)
	}
	static := in.Device.NoiseKey()
	if subtle.ConstantTimeCompare(static[:], state.PeerStatic()) != 1 {
		return nil, fmt.Errorf("noise: initiation of %s: %w", in.Device.ID().Short(), ErrDevice)
	}
	if in.Device.ID() == l.id {
		return nil, fmt.Errorf("noise: initiation: %w", ErrSelf)
	}
	return in, nil
}

// Accept makes the response that accepts, and the association, which is tentative
// until it opens a packet (spec §7).
func (in *Incoming) Accept(a Accept) ([]byte, *Association, error) {
	id := in.Device.ID()
	switch {
	case a.Index == 0:
		return nil, nil, fmt.Errorf("noise: accept %s: %w", id.Short(), ErrIndex)
	case len(a.Candidates) > wire.MaxCandidates:
		return nil, nil, fmt.Errorf("noise: accept %s: %d candidates: %w", id.Short(), len(a.Candidates), ErrTooLarge)
	case len(a.Early) > wire.MaxResponseEarly:
		return nil, nil, fmt.Errorf("noise: accept %s: %d bytes of early data: %w", id.Short(), len(a.Early), ErrTooLarge)
	}
	rekeys := goesOn(a.GoesOn, in.Payload.Rekeys)
	payload := wire.ResponsePayload{
		Kind:       wire.ResponseAccept,
		Dialling:   a.Dialling,
		GoesOn:     rekeys != 0,
		Stamp:      a.Stamp,
		Engine:     a.Engine,
		Candidates: a.Candidates,
		Early:      a.Early,
	}
	if device := in.local.Device().Bytes(); a.WithDevice && responseOverhead+len(payload.Append(nil))+len(device) <= in.size {
		payload.Device = device
	}
	pkt, toResponder, toInitiator, err := in.respond(a.Index, payload)
	if err != nil {
		return nil, nil, err
	}
	return pkt, newAssociation(agreement{
		remote:      id,
		binding:     [32]byte(in.noise.ChannelBinding()),
		client:      isClient(in.local.id, id, false, a.Dialling, in.Payload.Dialling),
		rekeys:      rekeys,
		localIndex:  a.Index,
		remoteIndex: in.Index,
		send:        toInitiator.UnsafeKey(),
		receive:     toResponder.UnsafeKey(),
	}), nil
}

// RoomForEarly returns how many bytes of early data a response with so many candidates
// can hold and not be longer than the initiation, lest we amplify.
func (in *Incoming) RoomForEarly(candidates []wire.Candidate) int {
	payload := wire.ResponsePayload{Kind: wire.ResponseAccept, Candidates: candidates}
	return min(in.size-responseOverhead-len(payload.Append(nil)), wire.MaxResponseEarly)
}

// Stale makes the response that holds our mark for the initiator and gives no
// session (spec §3).
func (in *Incoming) Stale(mark uint64) ([]byte, error) {
	pkt, _, _, err := in.respond(0, wire.ResponsePayload{Kind: wire.ResponseStale, Stamp: mark})
	return pkt, err
}

// Refuse makes the response that refuses. The reason is for people: UTF-8, at
// most wire.MaxReason bytes.
func (in *Incoming) Refuse(reason string) ([]byte, error) {
	if len(reason) > wire.MaxReason {
		return nil, fmt.Errorf("noise: refuse %s: reason of %d bytes: %w", in.Device.ID().Short(), len(reason), ErrTooLarge)
	}
	pkt, _, _, err := in.respond(0, wire.ResponsePayload{Kind: wire.ResponseRefused, Early: []byte(reason)})
	return pkt, err
}

// responseOverhead is what a Response holds beside its payload: 12 bytes of
// header and indices, e, the tag, the macs.
const responseOverhead = 12 + 32 + 16 + wire.MACsLen

// respond writes Noise message 2.
func (in *Incoming) respond(index uint32, payload wire.ResponsePayload) (pkt []byte, toResponder, toInitiator *flynn.CipherState, err error) {
	id := in.Device.ID()
	if in.spent {
		return nil, nil, nil, fmt.Errorf("noise: respond to %s: %w", id.Short(), ErrSpent)
	}
	in.spent = true
	message, toResponder, toInitiator, err := in.noise.WriteMessage(nil, payload.Append(nil))
	if err != nil {
		return nil, nil, nil, fmt.Errorf("noise: respond to %s: %w", id.Short(), err)
	}
	m := wire.Response{Sender: index, Receiver: in.Index, Noise: message}
	pkt = m.Append(nil)
	putMAC1(pkt, newMACKey(labelMAC1, id))
	return pkt, toResponder, toInitiator, nil
}

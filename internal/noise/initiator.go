package noise

import (
	"fmt"
	"slices"

	flynn "github.com/flynn/noise"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// An Offer is what an initiator asks for (spec §1, §3, §6, §8).
type Offer struct {
	Index    uint32        // our receiver index; not 0
	Stamp    uint64        // microseconds since 1970, from a [Stamper]
	Rekeys   uint64        // the session we still hold with the responder; 0: none
	Dialling bool          // we want a session
	Engines  []wire.Engine // offered, best first; at most wire.MaxEngines
	Early    []byte        // at most wire.MaxInitiationEarly bytes
}

// An Initiator is a handshake that we began. It is not safe for concurrent use.
type Initiator struct {
	local  *Local
	remote *identity.Device
	offer  Offer
	noise  *flynn.HandshakeState
	packet []byte
	spent  bool // a response has completed the Noise handshake
}

// An Answer is what an authenticated response said.
type Answer struct {
	Payload wire.ResponsePayload
	Device  *identity.Device // the responder's newer device; nil: not sent
	// Association is confirmed from the start, since the response proved the
	// responder; nil unless the payload's kind is accept.
	Association *Association
}

// Initiate begins a handshake with remote. It keeps no slice of o.
func (l *Local) Initiate(remote *identity.Device, o Offer) (*Initiator, error) {
	id := remote.ID()
	switch {
	case id == l.id:
		return nil, fmt.Errorf("noise: initiate: %w", ErrSelf)
	case o.Index == 0:
		return nil, fmt.Errorf("noise: initiate to %s: %w", id.Short(), ErrIndex)
	case len(o.Engines) > wire.MaxEngines || slices.Contains(o.Engines, wire.EngineNone):
		return nil, fmt.Errorf("noise: initiate to %s: engines %v: %w", id.Short(), o.Engines, wire.ErrValue)
	case len(o.Early) > wire.MaxInitiationEarly:
		return nil, fmt.Errorf("noise: initiate to %s: %d bytes of early data: %w", id.Short(), len(o.Early), ErrTooLarge)
	}
	payload := wire.InitiationPayload{
		Dialling: o.Dialling,
		Stamp:    o.Stamp,
		Rekeys:   o.Rekeys,
		Engines:  o.Engines,
		Device:   l.Device().Bytes(),
		Early:    o.Early,
	}
	static := remote.NoiseKey()
	state, err := l.handshake(id, static[:])
	if err != nil {
		return nil, fmt.Errorf("noise: initiate to %s: %w", id.Short(), err)
	}
	message, _, _, err := state.WriteMessage(nil, payload.Append(nil))
	if err != nil {
		return nil, fmt.Errorf("noise: initiate to %s: %w", id.Short(), err)
	}
	o.Engines, o.Early = slices.Clone(o.Engines), nil
	init := wire.Initiation{Sender: o.Index, Noise: message}
	i := &Initiator{local: l, remote: remote, offer: o, noise: state, packet: init.Append(nil)}
	putMAC1(i.packet, newMACKey(labelMAC1, id))
	return i, nil
}

// Packet returns the initiation: the same bytes each time, not to be modified.
func (i *Initiator) Packet() []byte { return i.packet }

// Index returns our receiver index.
func (i *Initiator) Index() uint32 { return i.offer.Index }

// Stamp returns the stamp that the initiation carries.
func (i *Initiator) Stamp() uint64 { return i.offer.Stamp }

// PacketWithCookie returns the initiation with the mac2 that reply asks for, to
// be sent to the source of reply only (spec §2). It fails with ErrMAC if the
// reply is not the responder's answer to this initiation.
func (i *Initiator) PacketWithCookie(reply wire.CookieReply) ([]byte, error) {
	if reply.Receiver != i.offer.Index {
		return nil, fmt.Errorf("noise: cookie reply for index %d, not %d: %w", reply.Receiver, i.offer.Index, ErrIndex)
	}
	cookie, err := openCookie(newMACKey(labelCookie, i.remote.ID()), reply, i.packet)
	if err != nil {
		return nil, err
	}
	pkt := slices.Clone(i.packet)
	putMAC2(pkt, cookie)
	return pkt, nil
}

// ReadResponse reads a Response. A packet that is not the responder's genuine
// response changes nothing: a later one is still read. A genuine one completes
// the handshake, after which there is only ErrSpent.
func (i *Initiator) ReadResponse(pkt []byte) (*Answer, error) {
	if i.spent {
		return nil, fmt.Errorf("noise: response: %w", ErrSpent)
	}
	m, err := wire.ParseResponse(pkt)
	if err != nil {
		return nil, err
	}
	if m.Receiver != i.offer.Index {
		return nil, fmt.Errorf("noise: response for index %d, not %d: %w", m.Receiver, i.offer.Index, ErrIndex)
	}
	if !hasMAC1(pkt, i.local.macKey) {
		return nil, fmt.Errorf("noise: response: %w", ErrMAC)
	}
	plain, toResponder, toInitiator, err := i.noise.ReadMessage(nil, m.Noise)
	if err != nil {
		return nil, fmt.Errorf("noise: response of %s: %w", i.remote.ID().Short(), ErrDecrypt)
	}
	i.spent = true
	a := &Answer{}
	if a.Payload, a.Device, err = i.checkPayload(m, plain); err != nil {
		return nil, fmt.Errorf("noise: response of %s: %w", i.remote.ID().Short(), err)
	}
	if a.Payload.Kind == wire.ResponseAccept {
		a.Association = newAssociation(agreement{
			remote:      i.remote.ID(),
			binding:     [32]byte(i.noise.ChannelBinding()),
			initiator:   true,
			client:      isClient(i.local.id, i.remote.ID(), true, i.offer.Dialling, a.Payload.Dialling),
			rekeys:      goesOn(a.Payload.GoesOn, i.offer.Rekeys),
			localIndex:  i.offer.Index,
			remoteIndex: m.Sender,
			send:        toResponder.UnsafeKey(),
			receive:     toInitiator.UnsafeKey(),
		})
	}
	return a, nil
}

// checkPayload parses what the responder proved to have said. Whatever is wrong
// with it is the responder's doing.
func (i *Initiator) checkPayload(m wire.Response, plain []byte) (p wire.ResponsePayload, d *identity.Device, err error) {
	if p, err = wire.ParseResponsePayload(plain); err != nil {
		return p, nil, err
	}
	if p.Kind != wire.ResponseAccept {
		return p, nil, nil
	}
	switch {
	case m.Sender == 0:
		return p, nil, fmt.Errorf("accepted without an index: %w", ErrIndex)
	case p.Engine != wire.EngineNone && !slices.Contains(i.offer.Engines, p.Engine):
		return p, nil, fmt.Errorf("engine %v was not offered: %w", p.Engine, wire.ErrValue)
	case p.Device == nil:
		return p, nil, nil
	}
	if d, err = identity.ParseDevice(p.Device); err != nil {
		return p, nil, err
	}
	if d.ID() != i.remote.ID() { // equal ids have equal keys
		return p, nil, fmt.Errorf("it carries %s: %w", d.ID().Short(), ErrDevice)
	}
	return p, d, nil
}

// goesOn returns the session that goes on, 0 if none: only one that was named
// can.
func goesOn(flag bool, rekeys uint64) uint64 {
	if flag {
		return rekeys
	}
	return 0
}

// isClient reports whether local is the client of the session engine (spec §6).
func isClient(local, remote identity.ID, initiator, dialling, remoteDialling bool) bool {
	switch {
	case dialling && remoteDialling:
		return local.Compare(remote) < 0
	case dialling || remoteDialling:
		return dialling
	}
	return initiator
}

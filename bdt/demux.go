package bdt

import (
	"crypto/rand"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/peer"
	"github.com/bdtnet/bdt/internal/pnclient"
	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
)

const (
	// handshakeWorkers do the Diffie–Hellman operations of initiations, apart
	// from the reader goroutines.
	handshakeWorkers = 2
	// handshakeQueue bounds the initiations that wait for a worker.
	handshakeQueue = 256
	// maxDescribes bounds the descriptors that were asked for and not yet given.
	maxDescribes = 256
	// hintsHeard is how many hints a second are looked into that come from where no
	// session's packets come from, and so concern nobody in particular.
	hintsHeard = 64
	// describeLife is how long an answer is waited for.
	describeLife = 5 * time.Second
)

// hinted is a sink of packets whose owner knows by which index the other end does.
type hinted interface{ HandleHint(wire.Hint) bool }

// A carrier is what a packet came on: a socket, or a binding at a PN.
type carrier interface {
	peer.Link
	// Route returns who has the engine packets from an address; nil: nobody.
	Route(from netip.AddrPort) socket.Sink
}

// A receiver is whoever a receiver index belongs to.
type receiver interface {
	handleControl(s carrier, b []byte, from netip.AddrPort)
}

// A demux hands control packets to whom they concern: by receiver index to a
// peer or an SN client, initiations through the gate to a worker that opens
// them. It is the sockets' Handler.
type demux struct {
	stack   *Stack
	gate    *noise.Gate
	marks   *noise.Marks
	stamper *noise.Stamper
	hints   *noise.HintLimiter // that we give
	heard   *rate.Limiter      // that we are given
	indices *noise.Table[receiver]
	jobs    chan job

	mu        sync.Mutex
	describes map[[8]byte]describe
	shares    map[*snclient.Client]*share // of the SNs that there are
}

// A describe is a question for the descriptor of id.
type describe struct {
	id      identity.ID
	expires time.Time
}

// A job is an initiation, or a caller's device, that costs too much for a
// reader goroutine.
type job struct {
	packet []byte
	hash   noise.Hash // of packet
	origin peer.Origin
	called *wire.Called // by way of an SN; nil: the packet came by itself
	at     time.Time    // when called came
}

func (d *demux) init(s *Stack) {
	*d = demux{
		stack:     s,
		gate:      noise.NewGate(s.ID(), noise.GateConfig{}),
		marks:     noise.NewMarks(0),
		hints:     noise.NewHintLimiter(),
		heard:     rate.NewLimiter(hintsHeard, hintsHeard),
		shares:    make(map[*snclient.Client]*share),
		indices:   noise.NewTable[receiver](0),
		jobs:      make(chan job, handshakeQueue),
		describes: make(map[[8]byte]describe),
	}
}

// exchange makes the handshake machine of a peer.
func (d *demux) exchange(p *peer.Peer) *noise.Exchange {
	return noise.NewExchange(noise.ExchangeConfig{
		Local:   d.stack.local,
		Remote:  p.ID(),
		Indices: d.indices.For(peerReceiver{p}),
		Stamper: d.stamper,
		Marks:   d.marks,
	})
}

type peerReceiver struct{ *peer.Peer }

func (r peerReceiver) handleControl(s carrier, b []byte, from netip.AddrPort) {
	r.HandleControl(s, b, from)
}

type snReceiver struct{ *snclient.Client }

func (r snReceiver) handleControl(_ carrier, b []byte, from netip.AddrPort) {
	r.HandleControl(b, from)
}

type pnReceiver struct{ *pnclient.Client }

func (r pnReceiver) handleControl(_ carrier, b []byte, from netip.AddrPort) {
	r.HandleControl(b, from)
}

// HandleSTUN implements socket.Handler.
func (d *demux) HandleSTUN(s *socket.Socket, b []byte, _ netip.AddrPort) { d.stack.mapper.handle(s, b) }

// HandleControl implements socket.Handler.
func (d *demux) HandleControl(s *socket.Socket, b []byte, from netip.AddrPort) {
	t, err := wire.ControlType(b)
	if err != nil {
		return
	}
	switch t {
	case wire.TypeDescribe:
		d.answerDescribe(s, b, from)
	case wire.TypeDescribed:
		d.handleDescribed(b, from)
	case wire.TypeAnnounce:
		d.stack.discovery.Load().HandleAnnounce(b, from)
	case wire.TypeOpener: // has done its work at the NATs on its way
	default:
		d.handleHandshake(t, s, b, from)
	}
}

// handleHandshake handles a control packet of those that also come through a relay.
func (d *demux) handleHandshake(t wire.Type, s carrier, b []byte, from netip.AddrPort) {
	switch t {
	case wire.TypeInitiation:
		d.admit(b, peer.Origin{Link: s, Addr: from}, nil)
	case wire.TypeResponse:
		if m, err := wire.ParseResponse(b); err == nil {
			d.forward(m.Receiver, s, b, from)
		}
	case wire.TypeCookieReply:
		if m, err := wire.ParseCookieReply(b); err == nil {
			d.forward(m.Receiver, s, b, from)
		}
	case wire.TypeSealed:
		if h, err := wire.ParseSealedHeader(b); err == nil && !d.forward(h.Receiver, s, b, from) {
			d.hint(s, h.Receiver, from)
		}
	case wire.TypeHint:
		d.handleHint(s, b, from)
	}
}

// forward hands a packet to the owner of its receiver index, if there is one.
func (d *demux) forward(index uint32, s carrier, b []byte, from netip.AddrPort) bool {
	r, ok := d.indices.Get(index)
	if ok {
		r.handleControl(s, b, from)
	}
	return ok
}

// hint tells a sender that we do not know the association it uses.
func (d *demux) hint(s carrier, index uint32, from netip.AddrPort) {
	if d.hints.Allow(time.Now(), from) {
		m := wire.Hint{Receiver: index}
		_ = s.Send(from, m.Append(nil))
	}
}

// handleHint looks for whom a hint is for: the index in it is the other end's, by
// which nobody is filed. It mostly comes from where that end has been heard. All peers
// are asked about others, which are rare, and limited: anybody can forge them.
func (d *demux) handleHint(sock carrier, b []byte, from netip.AddrPort) {
	m, err := wire.ParseHint(b)
	if err != nil {
		return
	}
	if known, ok := sock.Route(from).(hinted); ok && known.HandleHint(m) {
		return
	}
	s := d.stack
	for _, c := range s.clients() {
		c.HandleControl(b, from) // each knows where its SN is
	}
	for _, c := range s.relays.clients() {
		c.HandleControl(b, from)
	}
	if !d.heard.Allow() {
		return
	}
	s.mu.Lock()
	peers := slices.Collect(maps.Values(s.peers))
	s.mu.Unlock()
	for _, p := range peers {
		p.HandleHint(m)
	}
}

// admit asks the gate about an initiation, and queues it for a worker.
func (d *demux) admit(b []byte, o peer.Origin, called *wire.Called) {
	now := time.Now()
	v := d.gate.Admit(now, b, o.Addr)
	switch v.Action {
	case noise.Reply:
		d.repeat(v, o)
		if p, ok := v.Owner.(*peer.Peer); ok && called != nil && called.Caller == p.ID() {
			// The initiation was faster by another way. The call tells more than that.
			c := callOf(o.Via, called, now)
			c.Answered = true
			p.HandleCalled(c)
		}
	case noise.Process:
		j := job{packet: slices.Clone(b), hash: v.Hash, origin: o, called: called, at: now}
		select {
		case d.jobs <- j:
		default:
			d.gate.Forget(v.Hash)
		}
	}
}

// repeat sends what the gate has for an initiation: a cookie, or the response
// to an earlier copy, whose sender may be reachable at the new source.
func (d *demux) repeat(v noise.Verdict, o peer.Origin) {
	p, known := v.Owner.(*peer.Peer)
	switch {
	case o.Via == nil:
		_ = o.Link.Send(o.Addr, v.Packet)
		if known {
			p.HandleRepeated(o.Link, o.Addr)
		}
	case known:
		_ = o.Via.Signal(p.ID(), v.Packet)
	}
}

// work opens initiations until the stack is closed.
func (d *demux) work() {
	for {
		select {
		case j := <-d.jobs:
			d.do(j)
		case <-d.stack.ctx.Done():
			return
		}
	}
}

func (d *demux) do(j job) {
	var in *noise.Incoming
	var device *identity.Device
	var err error
	if j.packet != nil {
		if in, err = d.stack.local.ReadInitiation(j.packet); err != nil {
			d.gate.Forget(j.hash)
			return
		}
		device = in.Device
	} else if device, err = identity.ParseDevice(j.called.Device); err != nil {
		return
	}
	if j.called != nil && device.ID() != j.called.Caller {
		// The call is a lie, but the initiation in it, overheard, may be true: its
		// sender's own copies must still be answered.
		d.gate.Forget(j.hash)
		return
	}
	p, err := d.stack.callerPeer(device)
	if err != nil {
		d.gate.Forget(j.hash) // the next copy may find room
		d.stack.log.Debug("stranger not answered", "peer", device.ID().Short(), "err", err)
		return
	}
	if j.called == nil {
		p.HandleIncoming(in, j.origin)
		return
	}
	c := callOf(j.origin.Via, j.called, j.at)
	c.Device, c.Incoming = device, in
	p.HandleCalled(c)
}

// callOf is what a call that came at a time says beside who calls.
func callOf(via peer.Signaller, m *wire.Called, at time.Time) peer.Call {
	return peer.Call{Via: via, Candidates: m.Candidates, Shared: m.Shared, Punch: at.Add(m.Wait), Relay: m.Relay}
}

// answerDescribe sends our descriptor to who asks for it by our id. The answer
// is no longer than the question.
func (d *demux) answerDescribe(s *socket.Socket, b []byte, from netip.AddrPort) {
	m, err := wire.ParseDescribe(b)
	if err != nil || m.ID != d.stack.ID() {
		return
	}
	answer := wire.Described{Nonce: m.Nonce, Device: d.stack.Device().Bytes()}
	if pkt := answer.Append(nil); len(pkt) <= len(b) {
		_ = s.Send(from, pkt)
	}
}

// ask sends a Describe.
func (d *demux) ask(id identity.ID, link peer.Link, to netip.AddrPort) {
	now := time.Now()
	m := wire.Describe{ID: id}
	rand.Read(m.Nonce[:])
	d.mu.Lock()
	for nonce, q := range d.describes {
		if now.After(q.expires) {
			delete(d.describes, nonce)
		}
	}
	full := len(d.describes) >= maxDescribes
	if !full {
		d.describes[m.Nonce] = describe{id, now.Add(describeLife)}
	}
	d.mu.Unlock()
	if !full {
		_ = link.Send(to, m.Append(nil))
	}
}

// handleDescribed hands a descriptor to the peer that asked, if it is the
// peer's: the id is the hash of it. SN clients ask on their own.
func (d *demux) handleDescribed(b []byte, from netip.AddrPort) {
	m, err := wire.ParseDescribed(b)
	if err != nil {
		return
	}
	d.mu.Lock()
	q, ok := d.describes[m.Nonce]
	delete(d.describes, m.Nonce)
	d.mu.Unlock()
	s := d.stack
	s.mu.Lock()
	p, sns := s.peers[q.id], s.sns
	s.mu.Unlock()
	if !ok {
		for _, c := range sns {
			c.HandleControl(b, from)
		}
		for _, c := range s.relays.clients() {
			c.HandleControl(b, from)
		}
		return
	}
	device, err := identity.ParseDevice(m.Device)
	if err != nil || device.ID() != q.id || p == nil {
		return
	}
	p.HandleDescription(device)
}

// HandleCalled implements snclient.Handler.
func (d *demux) HandleCalled(c *snclient.Client, m wire.Called) {
	called := m
	called.Candidates = slices.Clone(m.Candidates)
	via := peer.Origin{Via: c}
	if len(m.Initiation) > 0 {
		called.Initiation, called.Device = nil, nil
		if d.share(c).forwards.Allow() {
			d.admit(m.Initiation, via, &called)
		}
		return
	}
	if !d.share(c).calls.Allow() {
		return
	}
	called.Device = slices.Clone(m.Device)
	select {
	case d.jobs <- job{origin: via, called: &called, at: time.Now()}:
	default:
	}
}

// HandleSignalled implements snclient.Handler.
func (d *demux) HandleSignalled(c *snclient.Client, _ identity.ID, packet []byte) {
	t, err := wire.ControlType(packet)
	if err != nil {
		return
	}
	switch t {
	case wire.TypeInitiation:
		if d.share(c).forwards.Allow() {
			d.admit(packet, peer.Origin{Via: c}, nil)
		}
	case wire.TypeResponse:
		m, err := wire.ParseResponse(packet)
		if err != nil {
			return
		}
		if r, ok := d.indices.Get(m.Receiver); ok {
			if p, ok := r.(peerReceiver); ok {
				p.HandleResponse(nil, packet, netip.AddrPort{})
			}
		}
	}
}

// HandleState implements snclient.Handler.
func (d *demux) HandleState(c *snclient.Client, state snclient.State) {
	if state == snclient.Online {
		d.stack.book.arrived(c)
	}
	d.stack.log.Info("super node", "sn", c.Ref().ID.Short(), "state", state.String())
	nudge(d.stack.monitor.seen)
}

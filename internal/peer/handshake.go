package peer

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/jitter"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/wire"
)

// engines are offered in every initiation, best first.
var engines = []wire.Engine{wire.EngineQUIC}

// An Origin is how an initiation came: from an address on a link, or by way of
// a server.
type Origin struct {
	Link Link
	Addr netip.AddrPort
	Via  Signaller // not nil: Link and Addr are not set
}

// HandleIncoming takes an initiation of the peer, opened and authenticated.
func (p *Peer) HandleIncoming(in *noise.Incoming, o Origin) {
	p.post(func(now time.Time) { p.onIncoming(now, in, o) })
}

// HandleRepeated takes word that a copy of an initiation that was answered came
// from an address, where the answer was repeated.
func (p *Peer) HandleRepeated(link Link, from netip.AddrPort) {
	p.post(func(now time.Time) {
		p.adopt(now, link)
		p.paths.HandleSource(now, link, from, false)
	})
}

// HandleDescription takes the peer's descriptor, whose id has been checked.
func (p *Peer) HandleDescription(d *identity.Device) {
	p.post(func(now time.Time) {
		if p.device == nil && p.attempt != nil {
			p.attempt.round = now
		}
		p.learn(now, d)
	})
}

// A Call is an SN's word that the peer wants to talk to us.
type Call struct {
	Via        Signaller
	Device     *identity.Device // the caller's, when it could not initiate
	Incoming   *noise.Incoming  // its initiation, opened, otherwise
	Answered   bool             // neither: its initiation has been answered before
	Candidates []wire.Candidate // the one that the SN saw first
	Shared     bool
	Punch      time.Time   // when the SN asks for the first punch
	Relay      *wire.Relay // where the caller is binding with us; nil: nowhere
}

// HandleCalled takes the word of an SN. The initiation or device in it has
// been checked to be the peer's.
func (p *Peer) HandleCalled(c Call) {
	p.post(func(now time.Time) { p.onCalled(now, c) })
}

func (p *Peer) onCalled(now time.Time, c Call) {
	p.note(now, "called by way of a super node")
	p.calledAt = now
	p.paths.SetShared(now, c.Shared)
	p.learn(now, c.Device)
	if c.Incoming != nil {
		p.onIncoming(now, c.Incoming, Origin{Via: c.Via})
	} else if c.Answered {
	} else if err := p.initiateVia(now, c.Via); err != nil {
		p.log.Debug("initiation failed", "err", err)
		return
	} else {
		c.Candidates = asSeen(c.Candidates)
	}
	p.addCandidates(now, c.Candidates, path.OriginSN, c.Punch)
	p.joinRelay(now, c.Relay)
	p.callBack(now) // before what works is put in doubt
	if p.current != nil {
		p.paths.Kick(now) // it does not reach us, or has slept
	}
}

// asSeen returns those of the candidates of an SN that are of the host, or the NAT,
// at which it sees the caller. The others, which may be anybody's, are not to be
// knocked at with an initiation, as they would be before there are keys: the
// caller names its own again in its response.
func asSeen(list []wire.Candidate) []wire.Candidate {
	if len(list) == 0 || list[0].Kind != wire.CandidateServerReflexive {
		return nil
	}
	seen := list[0].Addr.Addr()
	return slices.DeleteFunc(list, func(c wire.Candidate) bool { return c.Addr.Addr() != seen })
}

// initiateVia initiates to a caller that could not, through the SN that called
// and in what the paths knock with. The first to arrive counts; the way through
// the SN is the one that no NAT closes.
func (p *Peer) initiateVia(now time.Time, via Signaller) error {
	if err := p.initiate(now, p.attempt != nil); err != nil {
		return err
	}
	if pkt := p.exchange.Packet(now); pkt != nil {
		return via.Signal(p.cfg.ID, pkt)
	}
	return nil
}

// initiate makes an initiation for the paths to knock with, if none is
// pending. dialling says that we want a session.
func (p *Peer) initiate(now time.Time, dialling bool) error {
	if p.exchange.Pending() {
		return nil
	}
	o := noise.Offer{Dialling: dialling, Engines: engines}
	if p.current != nil {
		o.Rekeys = p.current.assoc.SessionID()
	}
	p.carried = p.nextQuestion()
	if p.carried != nil {
		o.Early = p.carried.early
	}
	pkt, err := p.exchange.Begin(now, p.device, o)
	if err != nil {
		return err
	}
	p.note(now, "initiating")
	p.expectResponse(pkt)
	p.paths.SetStage(now, path.Calling)
	return nil
}

// expectResponse prepares for the response to an initiation: engine packets
// may come right behind it.
func (p *Peer) expectResponse(initiation []byte) {
	p.dropEarly()
	if initiation != nil {
		index := binary.BigEndian.Uint32(initiation[4:]) // wire.md §2
		early := new(earlySink)
		if p.current != nil {
			early.live = p.current.conn.lane
		}
		p.expected.Store(&expected{index, early})
	}
}

// dropEarly forgets what came early.
func (p *Peer) dropEarly() {
	if e := p.expected.Swap(nil); e != nil {
		p.routes.replace(e.early, e.early.heir())
	}
}

// onIncoming answers an initiation, or not.
func (p *Peer) onIncoming(now time.Time, in *noise.Incoming, o Origin) {
	d, err := p.exchange.HandleIncoming(now, in)
	if err != nil {
		p.log.Debug("initiation dropped", "err", err)
		return
	}
	if p.held != nil && p.held.in.Hash == in.Hash {
		return
	}
	p.learn(now, in.Device)
	p.adopt(now, o.Link)
	if d.Kind == noise.DecideAnswer {
		p.held = nil // what it answered to, the peer has given up
		if p.hold(now, in, o) {
			return
		}
	}
	p.decide(now, in, o, d, nil)
}

// decide does with an initiation what was decided. early is the answer to the
// question in it, nil if there is none.
func (p *Peer) decide(now time.Time, in *noise.Incoming, o Origin, d noise.Decision, early []byte) {
	switch d.Kind {
	case noise.DecideAnswer:
		if d.Yields {
			p.note(now, "both called at once: the peer's initiation stands")
		}
		p.answer(now, in, o, d.GoesOn, early)
	case noise.DecideRepeat:
		p.respond(now, in, o, d.Packet)
		p.learnSource(now, o)
	case noise.DecideWin:
		p.note(now, "both called at once: our initiation stands")
		p.learnSource(now, o)
		if pkt := p.exchange.Packet(now); pkt != nil && o.Via != nil {
			_ = o.Via.Signal(p.cfg.ID, pkt) // the peer may have been elsewhere when we called
		}
		if d.Packet != nil {
			p.respond(now, in, o, d.Packet)
		}
	case noise.DecideStale:
		p.note(now, "told the peer that its stamp is behind")
		p.respond(now, in, o, d.Packet)
	}
}

// answer makes tentative keys and sends the response that lets the peer have
// them, too.
func (p *Peer) answer(now time.Time, in *noise.Incoming, o Origin, goesOn bool, early []byte) {
	goesOn = goesOn && p.current != nil && !p.current.conn.ended
	engine, ok := chooseEngine(in.Payload.Engines)
	if !ok && !goesOn {
		if pkt, err := p.exchange.Refuse(now, in, "no session engine in common"); err == nil {
			p.respond(now, in, o, pkt)
		}
		return
	}
	candidates := p.cfg.Host.Candidates()
	pkt, assoc, err := p.exchange.Answer(now, in, noise.Accept{
		Stamp:      uint64(now.UnixMicro()),
		Dialling:   p.attempt != nil,
		GoesOn:     goesOn,
		Engine:     engine,
		Candidates: candidates,
		Early:      earlyThatFits(in, candidates, early),
		WithDevice: true,
	})
	if err != nil {
		p.log.Debug("initiation not answered", "err", err)
		return
	}
	ch, err := p.newChannel(now, assoc, in.Device)
	if err != nil {
		p.log.Warn("no port for a session", "err", err)
		return
	}
	p.note(now, "answered the peer's initiation")
	p.tentative, p.response = ch, pkt
	p.syncChannels()
	p.respond(now, in, o, pkt)
	p.paths.SetStage(now, path.Answering)
	p.learnSource(now, o)
	switch {
	case goesOn:
	case !ch.conn.client:
		// The engine's handshake proves the peer as well as a sealed packet does,
		// should that be lost.
		p.start(now, ch.conn)
	case o.Link != nil:
		p.steer(now, ch.conn, source{o.Link, o.Addr})
	}
	if to := p.guess(); o.Via != nil && to.link != nil && p.attempt != nil {
		// We called, and the callee, who has opened its NAT by now, could not
		// reach us: we are not where the SN sees us.
		p.sendTo(now, to, pkt)
	}
}

// errSessionOver: a session was to go on, or to start, that has ended meanwhile.
var errSessionOver = errors.New("the session has ended meanwhile")

// newChannel makes the channel of an association. If that goes on with the
// current session so does the connection, and else a new one begins.
func (p *Peer) newChannel(now time.Time, a *noise.Association, d *identity.Device) (*channel, error) {
	ch := &channel{assoc: a}
	if a.GoesOn() {
		if p.current == nil || p.current.conn.ended || p.current.conn.id != a.SessionID() {
			return nil, errSessionOver
		}
		ch.conn = p.current.conn
	} else {
		conn, err := p.newConnection(now, a, d)
		if err != nil {
			return nil, err
		}
		ch.conn = conn
	}
	p.channels.add(ch)
	return ch, nil
}

// respond sends the answer to an initiation where that came from, and has copies
// answered alike.
func (p *Peer) respond(now time.Time, in *noise.Incoming, o Origin, pkt []byte) {
	p.cfg.Host.RememberResponse(p, in.Hash, pkt)
	if o.Via == nil {
		p.sendTo(now, source{o.Link, o.Addr}, pkt)
	} else if err := o.Via.Signal(p.cfg.ID, pkt); err != nil {
		p.log.Debug("answer was not signalled", "err", err)
	}
}

// learnSource tells the paths where an initiation came from.
func (p *Peer) learnSource(now time.Time, o Origin) {
	if o.Link != nil {
		p.paths.HandleSource(now, o.Link, o.Addr, false)
	}
}

func chooseEngine(offered []wire.Engine) (wire.Engine, bool) {
	for _, e := range offered {
		if slices.Contains(engines, e) {
			return e, true
		}
	}
	return wire.EngineNone, false
}

// onCookie repeats the initiation with the cookie that a loaded peer asks for.
func (p *Peer) onCookie(now time.Time, src source, m wire.CookieReply) {
	if pkt, err := p.exchange.HandleCookie(m); err == nil {
		p.sendTo(now, src, pkt)
	}
}

// onResponse takes the answer to our initiation.
func (p *Peer) onResponse(now time.Time, src source, pkt []byte) {
	sum := sha256.Sum256(pkt)
	res, err := p.exchange.HandleResponse(now, pkt)
	if err == nil || sum == p.accepted {
		p.adopt(now, src.link)
	}
	if err != nil {
		// A copy of the response that was accepted, by another way, shows where
		// the peer is: through the SN it comes without an address.
		if src.link != nil && sum == p.accepted {
			p.paths.HandleSource(now, src.link, src.addr, false)
		}
		return
	}
	p.accepted = sum
	switch res.Kind {
	case noise.ResultEstablished:
		p.learn(now, res.Answer.Device)
		p.onAnswer(now, res.Answer.Payload.Early)
		p.established(now, res, src)
	case noise.ResultAgain:
		p.note(now, "our stamp is behind what the peer remembers: again above it")
		p.expectResponse(res.Packet)
		if src.link != nil && res.Packet != nil {
			p.sendTo(now, src, res.Packet)
		}
		p.callAgain(now)
	case noise.ResultFailed:
		p.dropEarly()
		p.note(now, "handshake failed: "+res.Err.Error())
		if errors.Is(res.Err, noise.ErrRefused) {
			p.failAttempt(fmt.Errorf("%w: %q", ErrRefused, res.Answer.Payload.Early))
		}
	}
}

// established turns our accepted initiation into the current channel.
func (p *Peer) established(now time.Time, res noise.Result, src source) {
	early := p.expected.Swap(nil)
	ch, err := p.newChannel(now, res.Change.Association, p.device)
	if err != nil {
		p.note(now, "the handshake came to nothing: "+err.Error())
		p.exchange.Drop()
		p.syncChannels()
		p.setStage(now)
		p.callAgain(now)
		return
	}
	if src.link != nil {
		p.routes.claim(src, ch.conn.lane)
	}
	p.become(now, ch, res.Change)
	if src.link != nil {
		p.paths.HandleSource(now, src.link, src.addr, false)
	}
	p.addCandidates(now, res.Answer.Payload.Candidates, path.OriginPeer, time.Time{})
	if src.link == nil {
		src = p.guess()
	}
	if src.link != nil {
		// What confirms us to the peer goes out before the engine's first packet,
		// which would be dropped without it.
		m := wire.Probe{Token: jitter.Uint64()}
		p.sendSealed(now, src, m.Append(nil))
		p.chooseSource(now, ch.conn, src)
	}
	if early != nil {
		early.early.release(ch.conn.lane)
		p.routes.replace(early.early, ch.conn.lane)
	}
}

// guess returns where to send the first flight when keys have come by way of an
// SN before anything came from the peer itself: to where the SN sees it. It
// saves the round trip of a probe; if the guess is wrong the flight is sent again
// over the path that comes up.
func (p *Peer) guess() source {
	for _, info := range p.paths.Paths() {
		if info.Remote == p.observed {
			return source{info.Link.(Link), info.Remote}
		}
	}
	return source{}
}

// confirm notices that the peer holds the tentative keys.
func (p *Peer) confirm(now time.Time, ch *channel) {
	change, ok := p.exchange.Confirm(now, ch.assoc)
	if !ok {
		return // our own initiation was accepted, too, and stands
	}
	p.tentative, p.response = nil, nil
	p.become(now, ch, change)
	if ch.conn.ended {
		p.dropCurrent(now, errSessionOver) // the engine gave up before the keys were confirmed
	}
}

// become makes a channel the current one: both ends hold its keys.
func (p *Peer) become(now time.Time, ch *channel, change noise.Change) {
	old := p.current
	p.current, p.keyed = ch, now
	p.paths.SetStage(now, path.Sealed)
	p.paths.SetNominator(now, ch.conn.client)
	if old != nil && old.conn != ch.conn {
		p.note(now, "a new session replaces one that the peer has lost")
		p.endConnection(old.conn, ErrRestarted)
		p.paths.Kick(now) // it may have come back elsewhere
	}
	if old == nil || old.conn != ch.conn {
		p.routes.redirect(ch.conn.lane)
	}
	p.syncChannels()
	if !ch.conn.client || ch.conn.lane.route.Load() != nil {
		p.start(now, ch.conn)
	}
	if p.live.Load() == ch.conn {
		p.finishAttempt(now) // the session goes on
	}
	p.hurry(now)
}

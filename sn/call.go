package sn

import (
	"bytes"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// handleCall answers a caller and announces it to the callee (spec §3).
func (s *Server) handleCall(r *request) {
	m, err := wire.ParseCall(r.b)
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	caller, ok := s.devices.holder(r.x)
	if !ok {
		s.count.notEntitled.Add(1)
		s.reply(r, &wire.CallReply{Request: m.Request, Status: wire.StatusNotAllowed})
		return
	}
	c, fresh := s.calls.begin(callKey{r.x.id(), caller.instance, m.Request}, networkOf(caller.at.addr.Addr()))
	switch {
	case c == nil:
		s.count.noRoom.Add(1)
		s.reply(r, &wire.CallReply{Request: m.Request, Status: wire.StatusTooMany})
	case fresh:
		s.newCall(r, &m, c, caller)
	case c.ready.Load() && c.answers.Add(1) <= maxAnswers:
		s.count.callRepeats.Add(1)
		ans := c.replyAt(r.now)
		s.reply(r, &ans)
	}
}

// newCall does what a Call asks that is not a repeat.
func (s *Server) newCall(r *request, m *wire.Call, c *call, caller peer) {
	callee, status := s.connect(r, m, caller)
	if status != wire.StatusOK {
		s.count.callsFailed.Add(1)
		s.calls.end(c) // a repeat asks anew
		s.reply(r, &wire.CallReply{Request: m.Request, Status: status})
		return
	}
	c.at, c.callee = r.now, m.Callee
	s.introduce(c, m, caller, callee)
	c.ready.Store(true)
	s.count.callsMade.Add(1)

	// The caller first: its NAT should be open by the time the callee punches.
	ans := c.replyAt(r.now)
	s.reply(r, &ans)
	s.announce(c, callee.session, callee.at, r.clock, r.now)
	s.remembered.put(r.now, c)
	if s.unacked[0].put(r.now, c) {
		s.wakeKeeper()
	}
}

// connect finds the callee and decides whether the caller may call it.
func (s *Server) connect(r *request, m *wire.Call, caller peer) (callee peer, status wire.Status) {
	if len(m.Initiation) > 0 {
		if t, err := wire.ControlType(m.Initiation); err != nil || t != wire.TypeInitiation {
			return peer{}, wire.StatusMalformed
		}
	}
	if m.Callee == r.x.id() {
		return peer{}, wire.StatusNotAllowed
	}
	if !s.devices.spend(r.x, (*device).callBucket, s.limits().Call, r.now) {
		s.count.limited.Add(1)
		return peer{}, wire.StatusTooMany
	}
	callee, ok := s.devices.peer(m.Callee)
	if !ok {
		return peer{}, wire.StatusNotFound
	}
	from := networkOf(caller.at.addr.Addr())
	if !s.callers.take(from, s.limits().Network, r.now) || !s.spendCall(from, caller, callee, r.now) {
		s.count.limited.Add(1)
		return peer{}, wire.StatusTooMany
	}
	if !s.pairs.allow(r.x.id(), m.Callee, from, r.now) {
		s.count.noRoom.Add(1)
		return peer{}, wire.StatusTooMany
	}
	s.devices.remember(r.x, m.Callee)
	return callee, wire.StatusOK
}

// spendCall takes a token of those that a caller's network has at a callee, and
// one of the callee's. When there are none left, a caller that the callee knows
// has others, which strangers cannot use up (spec §5).
func (s *Server) spendCall(from network, caller, callee peer, now time.Duration) bool {
	k := callerPrefix{from, callee.session.id(), false}
	l := s.limits()
	if s.prefixes.take(k, l.Prefix, now) && s.devices.spendOf(k.callee, (*device).calledBucket, l.Callee, now) {
		return true
	}
	known := s.devices.knows(k.callee, caller.session.id())
	if !known && (caller.owner.IsZero() || caller.owner != callee.owner) {
		return false
	}
	// Before the zone is looked at, since that takes public-key cryptography.
	k.known = true
	return s.prefixes.take(k, l.Prefix, now) &&
		(known || s.sameZone(caller, callee)) &&
		s.devices.spendOf(k.callee, (*device).reserveBucket, l.Callee, now)
}

// introduce fills in what each of the two is told of the other.
func (s *Server) introduce(c *call, m *wire.Call, caller, callee peer) {
	// Only visibility depends on it.
	zone := (caller.visibility == wire.VisibleZone || callee.visibility == wire.VisibleZone) && s.sameZone(caller, callee)
	shared := sameSite(caller.at.addr.Addr(), callee.at.addr.Addr())
	toCaller, toCallee := waits(caller.rtt, callee.rtt)

	c.reply = wire.CallReply{
		Request: m.Request,
		Wait:    toCaller,
		Device:  callee.descriptor.bytes,
	}
	if callee.visibleTo(zone) {
		c.reply.Shared = shared
		c.reply.Candidates = withObserved(callee.at.addr, callee.list())
	}
	c.called = wire.Called{
		Call:       c.called.Call,
		Caller:     c.key.caller,
		Wait:       toCallee,
		Shared:     shared,
		Relay:      m.Relay,
		Initiation: bytes.Clone(m.Initiation),
	}
	if len(m.Initiation) == 0 {
		c.called.Device = caller.descriptor.bytes
	}
	// Who names candidates shows itself to this callee; who names none and is
	// not visible to it does not.
	if len(m.Candidates) > 0 || caller.visibleTo(zone) {
		c.called.Candidates = withObserved(caller.at.addr, m.Candidates)
	}
}

// list returns the candidates that the device registered.
func (p *peer) list() []wire.Candidate {
	if len(p.candidates) == 0 {
		return nil
	}
	m, err := wire.ParseCandidates(p.candidates)
	if err != nil {
		return nil // not: we made it
	}
	return m.List
}

// visibleTo reports whether the device shows its addresses to one that is, or is
// not, of its zone.
func (p *peer) visibleTo(zone bool) bool {
	return p.visibility == wire.VisibleEveryone || p.visibility == wire.VisibleZone && zone
}

// sameZone reports whether two devices are both members of one owner's zone, by
// the owner's newest object in the directory. Without one they are not (spec
// §3).
func (s *Server) sameZone(a, b peer) bool {
	owner := a.owner
	if owner.IsZero() || owner != b.owner {
		return false
	}
	clock := time.Now()
	people, err := identity.ParsePeople(s.objects.get(owner, clock.Sub(s.start)).bytes)
	if err != nil {
		return false
	}
	for _, p := range []peer{a, b} {
		d, err := identity.ParseDevice(p.descriptor.bytes)
		if err != nil || people.Member(d, clock) != nil {
			return false
		}
	}
	return true
}

// announce sends a Called.
func (s *Server) announce(c *call, to *session, at place, clock time.Time, now time.Duration) {
	m := c.calledAt(now)
	s.count.calledSent.Add(1)
	s.sendMessage(to, at, &m, clock)
}

func (s *Server) handleCalledAck(r *request) {
	m, err := wire.ParseCalledAck(r.b)
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	s.calls.ack(m.Call, r.x.id())
}

// handleSignal forwards a control packet between two devices of which one has
// called the other (spec §3).
func (s *Server) handleSignal(r *request) {
	m, err := wire.ParseSignal(r.b)
	if err == nil {
		_, err = wire.ControlType(m.Packet)
	}
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	if _, ok := s.devices.holder(r.x); !ok || !s.pairs.allowed(r.x.id(), m.To, r.now) {
		s.count.notEntitled.Add(1)
		return
	}
	if !s.devices.spend(r.x, (*device).signalBucket, s.limits().Signal, r.now) {
		s.count.limited.Add(1)
		return
	}
	to, ok := s.devices.peer(m.To)
	if !ok {
		return
	}
	s.count.signals.Add(1)
	s.sendMessage(to.session, to.at, &wire.Signalled{From: r.x.id(), Packet: m.Packet}, r.clock)
}

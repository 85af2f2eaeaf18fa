package pnclient

import (
	"net/netip"
	"slices"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/retry"
	"github.com/bdtnet/bdt/internal/wire"
)

// receive handles a packet that came from one of the PN's addresses, or claims to.
func (o *owner) receive(now time.Time, b []byte, from netip.AddrPort) {
	t, err := wire.ControlType(b)
	if err != nil {
		return
	}
	switch t {
	case wire.TypeSealed:
		o.receiveSealed(now, b, from)
	case wire.TypeResponse:
		o.receiveResponse(now, b, from)
	case wire.TypeCookieReply:
		if m, err := wire.ParseCookieReply(b); err == nil {
			if b, err := o.exchange.HandleCookie(m); err == nil {
				o.send(from, b)
			}
		}
	case wire.TypeDescribed:
		o.receiveDescribed(now, b, from)
	case wire.TypeHint:
		// Offline there is a handshake anyway.
		if m, err := wire.ParseHint(b); err == nil && o.link.Load() != nil && o.exchange.HandleHint(now, m) {
			o.shake(now)
		}
	}
}

// receiveDescribed takes the PN's descriptor. The id proves it.
func (o *owner) receiveDescribed(now time.Time, b []byte, from netip.AddrPort) {
	if !o.describe.Active() {
		return
	}
	m, err := wire.ParseDescribed(b)
	if err != nil || m.Nonce != o.nonce {
		return
	}
	d, err := identity.ParseDevice(m.Device)
	if err != nil || d.ID() != o.cfg.Ref.ID {
		o.log.Debug("wrong descriptor for proxy node", "from", from)
		return
	}
	o.describe.Stop()
	o.server.Store(d)
	o.to, o.tries = from, 0
	o.shake(now)
}

// receiveResponse finishes a handshake. The Ping that follows at once confirms the keys, and
// what is to be bound goes out with it.
func (o *owner) receiveResponse(now time.Time, b []byte, from netip.AddrPort) {
	res, err := o.exchange.HandleResponse(now, b)
	if err != nil {
		return
	}
	switch res.Kind {
	case noise.ResultAgain:
		o.handshake.Start(now)
	case noise.ResultFailed:
		o.log.Warn("proxy node refuses the handshake", "err", res.Err)
		o.handshake.Stop()
		if o.link.Load() == nil {
			o.fail(now, "handshake")
		}
	case noise.ResultEstablished:
		o.handshake.Stop()
		o.to, o.tries = from, 0
		o.link.Store(&link{o.exchange.Current(), from})
		o.setRelay(from)
		o.pace.reset()
		o.nextPing = time.Time{}
		o.startPing(now, describeFirst, describeTotal, describeTotal)
		o.startBindings(now, true)
	}
}

// receiveSealed opens a packet from the PN and does what it says.
func (o *owner) receiveSealed(now time.Time, b []byte, from netip.AddrPort) {
	h, err := wire.ParseSealedHeader(b)
	if err != nil {
		return
	}
	a := o.exchange.Association(h.Receiver)
	if a == nil {
		return
	}
	buf := packets.Get().(*[]byte)
	defer packets.Put(buf)
	msg, err := a.Open((*buf)[:0], b, now)
	if err != nil {
		return
	}
	if t, err := wire.MessageTypeOf(msg); err == nil {
		o.dispatch(now, link{a, from}, t, msg)
	}
}

// dispatch handles an authentic message that came over a link. One that does not
// parse is dropped.
func (o *owner) dispatch(now time.Time, l link, t wire.MessageType, msg []byte) {
	switch t {
	case wire.MsgPong:
		if m, err := wire.ParsePong(msg); err == nil {
			o.receivePong(now, m)
		}
	case wire.MsgBound:
		if m, err := wire.ParseBound(msg); err == nil {
			o.receiveBound(now, m)
		}
	case wire.MsgUnbound:
		if m, err := wire.ParseUnbound(msg); err == nil {
			if b := (*o.bindings.Load())[m.Tag]; b != nil {
				b.end(&BindError{Peer: b.o.Peer, PN: o.cfg.Ref.ID, Reason: m.Reason})
			}
		}
	case wire.MsgChallenge:
		if m, err := wire.ParseChallenge(msg); err == nil {
			o.receiveChallenge(now, l, m)
		}
	case wire.MsgNotice:
		if m, err := wire.ParseNotice(msg); err == nil && m.Code == wire.NoticeDraining && o.State() == Online {
			o.enter(Draining)
		}
	case wire.MsgGoodbye:
		if _, err := wire.ParseGoodbye(msg); err == nil && l.assoc == o.exchange.Current() {
			o.exchange.Drop()
			o.fail(now, "goodbye")
		}
	}
}

// receivePong measures the round trip, and is what makes a client online.
func (o *owner) receivePong(now time.Time, m wire.Pong) {
	i := slices.IndexFunc(o.flights, func(f flight) bool { return f.request == m.Request })
	if i < 0 || o.link.Load() == nil {
		return
	}
	sample := max(now.Sub(o.flights[i].sent), 1)
	o.flights = slices.Delete(o.flights, i, i+1)
	if srtt := o.RTT(); srtt > 0 {
		sample = srtt + (sample-srtt)/8 // RFC 6298 §2.3
	}
	o.rtt.Store(int64(sample))
	o.observed.Store(&m.Observed)
	o.ping.Stop()
	o.failures = 0
	o.failed.Store(false)
	interval := o.cfg.KeepAlive()
	if interval <= 0 {
		interval = keepAlive
	}
	o.nextPing = now.Add(o.jittered(interval, now))
	if o.State() == Offline {
		o.enter(Online)
	}
}

// receiveBound takes the answer to a Bind, or the news that the peer has come.
func (o *owner) receiveBound(now time.Time, m wire.Bound) {
	b := (*o.bindings.Load())[m.Tag]
	if b == nil || m.Request != 0 && m.Request != b.request {
		return
	}
	switch {
	case m.Request == 0 && (m.Status != wire.StatusOK || !m.Ready):
	case m.Status != wire.StatusOK:
		b.end(&BindError{Peer: b.o.Peer, PN: o.cfg.Ref.ID, Status: m.Status})
	case m.Ready:
		b.task.Stop()
		b.setReady()
	default: // half: ask again by and by
		b.task = retry.Schedule{First: pollInterval, Limit: pollInterval, Total: time.Hour}
		b.poll = true
		b.task.Start(now)
		b.task.Send(now) // the one that was just answered
	}
}

// receiveChallenge proves that we receive at our address, and repeats what the
// PN may have answered to another.
func (o *owner) receiveChallenge(now time.Time, l link, m wire.Challenge) {
	if err := o.sendMessage(l, &wire.ChallengeReply{Token: m.Token}); err != nil {
		o.log.Debug("cannot send to proxy node", "to", l.to, "err", err)
	}
	o.ping.Hurry(now)
	for _, b := range *o.bindings.Load() {
		b.task.Hurry(now)
	}
}

package snclient

import (
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
)

// receive handles a packet that came from one of the SN's addresses, or claims to.
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
		// Offline there is a handshake anyway, and superseded there must be none.
		if m, err := wire.ParseHint(b); err == nil && o.State() == Online && o.exchange.HandleHint(now, m) {
			o.shake(now)
		}
	}
}

// receiveDescribed takes the SN's descriptor. The id proves it.
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
		o.log.Debug("wrong descriptor for super node", "from", from)
		return
	}
	o.describe.Stop()
	o.server.Store(d)
	o.to, o.tries = from, 0
	o.shake(now)
}

// receiveResponse finishes a handshake. Nothing is registered under the new keys
// yet: the Register that follows at once does that, and confirms them.
func (o *owner) receiveResponse(now time.Time, b []byte, from netip.AddrPort) {
	res, err := o.exchange.HandleResponse(now, b)
	if err != nil {
		return
	}
	switch res.Kind {
	case noise.ResultAgain:
		o.handshake.Start(now)
	case noise.ResultFailed:
		o.log.Warn("super node refuses the handshake", "err", res.Err)
		o.handshake.Stop()
		if o.State() != Online {
			o.fail(now, "handshake")
		}
	case noise.ResultEstablished:
		o.handshake.Stop()
		o.to, o.tries = from, 0
		o.announced = o.offered
		if !o.move.Active() {
			o.register.Start(now)
			return
		}
		o.placed = true
		o.move.Hurry(now)
	}
}

// receiveSealed opens a packet from the SN and does what it says.
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
			o.requests.deliver(msg) // to who called Ping, if that was not the owner
		}
	case wire.MsgRegistered:
		if m, err := wire.ParseRegistered(msg); err == nil {
			o.receiveRegistered(now, l, m)
		}
	case wire.MsgCallReply, wire.MsgFound, wire.MsgFoundPart, wire.MsgPublished:
		o.requests.deliver(msg)
	case wire.MsgCalled:
		if m, err := wire.ParseCalled(msg); err == nil {
			o.receiveCalled(l, m)
		}
	case wire.MsgSignalled:
		if m, err := wire.ParseSignalled(msg); err == nil {
			o.cfg.Handler.HandleSignalled(o.Client, m.From, m.Packet)
		}
	case wire.MsgChallenge:
		if m, err := wire.ParseChallenge(msg); err == nil {
			o.receiveChallenge(now, l, m)
		}
	case wire.MsgNotice:
		if m, err := wire.ParseNotice(msg); err == nil {
			o.receiveNotice(now, l, m)
		}
	}
}

func (o *owner) receivePong(now time.Time, m wire.Pong) {
	if _, ok := o.land(now, m.Request); !ok {
		return
	}
	if o.ping.Active() {
		o.ping.Stop()
		o.nextPing = now.Add(o.jittered(o.pause(), now))
	}
	if m.Reregister && !o.register.Active() && !o.move.Active() {
		o.register.Start(now)
	}
	o.observe(m.Observed)
}

// pause returns the time to the next ping.
func (o *owner) pause() time.Duration {
	if d := o.cfg.KeepAlive(); d > 0 {
		return d
	}
	return o.interval
}

func (o *owner) receiveRegistered(now time.Time, from link, m wire.Registered) {
	f, ok := o.land(now, m.Request)
	if !ok || !o.register.Active() && !o.move.Active() {
		return
	}
	switch m.Status {
	case wire.StatusOK:
	case wire.StatusTooOld:
		o.log.Warn("super node holds a newer descriptor of this device")
	case wire.StatusSuperseded:
		o.supersede()
		return
	default:
		o.log.Warn("super node refuses the registration", "status", m.Status)
		o.fail(now, "register")
		return
	}
	if o.move.Active() {
		o.to = from.to
	}
	o.register.Stop()
	o.move.Stop()
	if f.device != 0 {
		o.announced = f.device
	}
	o.interval = m.Interval
	if o.interval < time.Second {
		o.interval = defaultInterval
	}
	o.failures, o.draining = 0, false
	l := link{o.exchange.Current(), o.to}
	if old := o.link.Load(); old == nil || *old != l {
		if old == nil || old.assoc != l.assoc {
			o.admissions.Add(1)
		}
		o.link.Store(&l)
		o.requests.repeat() // what was asked of the SN before it lost us
	}
	if o.State() == Online {
		o.setMoving(false)
		o.observe(m.Observed)
	} else {
		o.observed.Store(&m.Observed)
		o.enter(Online)
	}
	// The first Ping tells the SN the round trip, which it needs for calls.
	o.nextPing = time.Time{}
	o.startPing(now)
}

// observe takes note of where the SN sees the device.
func (o *owner) observe(a netip.AddrPort) {
	if a == o.Observed() {
		return
	}
	o.observed.Store(&a)
	if o.State() == Online {
		o.log.Info("observed address changed", "to", a)
		o.cfg.Handler.HandleState(o.Client, Online)
	}
}

// receiveCalled acknowledges each copy of a call, and acts on the first.
func (o *owner) receiveCalled(l link, m wire.Called) {
	if err := o.sendMessage(l, &wire.CalledAck{Call: m.Call}); err != nil {
		o.log.Debug("cannot send to super node", "to", l.to, "err", err)
	}
	if o.calls.add(m.Call) {
		o.cfg.Handler.HandleCalled(o.Client, m)
	}
}

// receiveChallenge proves that we receive at our address, and repeats what the
// SN may have answered to another.
func (o *owner) receiveChallenge(now time.Time, l link, m wire.Challenge) {
	if err := o.sendMessage(l, &wire.ChallengeReply{Token: m.Token}); err != nil {
		o.log.Debug("cannot send to super node", "to", l.to, "err", err)
	}
	if o.move.Active() {
		o.to, o.placed = l.to, true
	}
	o.register.Hurry(now)
	o.move.Hurry(now)
	o.ping.Hurry(now)
	o.requests.repeat()
}

// receiveNotice believes only what concerns the present association: another was
// superseded by ourselves.
func (o *owner) receiveNotice(now time.Time, l link, m wire.Notice) {
	if l.assoc != o.exchange.Current() {
		return
	}
	switch m.Code {
	case wire.NoticeSuperseded:
		o.supersede()
	case wire.NoticeDraining:
		// A restart takes a moment. The first ping after it earns a hint. All devices
		// are told at once, and must not all come at once.
		if o.State() == Online && !o.draining {
			o.draining = true
			o.ping.Stop()
			o.nextPing = now.Add(drainMin + o.jitter(drainSpread, now))
		}
	}
}

// supersede gives way to another instance of the device. To fight it would let
// neither be called.
func (o *owner) supersede() {
	o.stop()
	o.log.Warn("another instance of this device has registered: this one gets no calls from the super node any more")
	o.enter(Superseded)
}

// callLogSize is how many calls are remembered. The SN repeats one for 3 s.
const callLogSize = 1024

// A callLog is the last calls that were acted on.
type callLog struct {
	ring []uint64
	next int
	seen map[uint64]struct{}
}

// add reports whether a call is new, and remembers it.
func (l *callLog) add(call uint64) bool {
	if _, ok := l.seen[call]; ok {
		return false
	}
	if l.seen == nil {
		l.seen = make(map[uint64]struct{})
	}
	l.seen[call] = struct{}{}
	if len(l.ring) < callLogSize {
		l.ring = append(l.ring, call)
		return true
	}
	delete(l.seen, l.ring[l.next])
	l.ring[l.next] = call
	l.next = (l.next + 1) % callLogSize
	return true
}

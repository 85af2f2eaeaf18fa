package pn

import (
	"sync"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// scratch is memory for one message in and one packet out.
type scratch struct {
	in, message, out [wire.MaxPacket]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// send sends a control packet; that it cannot be sent is the network's business, and
// counted.
func (s *Server) send(to place, b []byte) {
	if to.via.send(to.addr, b) != nil {
		s.count.sendErrors.Add(1)
	}
}

// A message is what is put into a Sealed packet.
type message interface{ Append(b []byte) []byte }

// sendMessage seals a message for a session and sends it.
func (s *Server) sendMessage(x *session, to place, m message, now time.Time) {
	buf := scratches.Get().(*scratch)
	defer scratches.Put(buf)
	pkt, err := x.assoc().Seal(buf.out[:0], m.Append(buf.message[:0]), now)
	if err != nil {
		s.count.sendErrors.Add(1)
		return
	}
	s.send(to, pkt)
}

// handleControl handles one packet that is not to be relayed, on the worker that has
// read it.
func (s *Server) handleControl(from place, b []byte) {
	t, err := wire.ControlType(b)
	if err != nil || len(b) > wire.MaxPacket {
		s.count.malformed.Add(1)
		return
	}
	switch t {
	case wire.TypeSealed:
		s.handleSealed(from, b)
	case wire.TypeInitiation:
		s.admit(from, b)
	case wire.TypeDescribe:
		s.handleDescribe(from, b)
	default:
		// Responses, cookie replies and hints are for those who initiate, which
		// a server never does; openers are for NATs.
		s.count.malformed.Add(1)
	}
}

// handleDescribe answers who the server is.
func (s *Server) handleDescribe(from place, b []byte) {
	m, err := wire.ParseDescribe(b)
	if err != nil || m.ID != s.local.ID() {
		s.count.malformed.Add(1)
		return
	}
	buf := scratches.Get().(*scratch)
	defer scratches.Put(buf)
	ans := wire.Described{Nonce: m.Nonce, Device: s.local.Device().Bytes()}
	s.count.describes.Add(1)
	s.send(from, ans.Append(buf.out[:0]))
}

// A request is an opened message on its way to its handler.
type request struct {
	x     *session
	to    place // where the device is known to be, for the answer
	b     []byte
	clock time.Time
	now   time.Duration // since the server's start
}

// reply answers a request.
func (s *Server) reply(r *request, m message) { s.sendMessage(r.x, r.to, m, r.clock) }

// handleSealed opens a packet, looks at where it came from, and hands the
// message over. A message from another place than the proven one is good, since it is
// authentic and comes once, but its answer goes to the proven one.
func (s *Server) handleSealed(from place, b []byte) {
	h, err := wire.ParseSealedHeader(b)
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	clock := time.Now()
	x, ok := s.sessions.Get(h.Receiver)
	if !ok {
		s.hint(from, h.Receiver, clock)
		return
	}
	buf := scratches.Get().(*scratch)
	defer scratches.Put(buf)
	assoc := x.assoc()
	if assoc == nil {
		s.count.unopened.Add(1)
		return
	}
	msg, err := assoc.Open(buf.in[:0], b, clock)
	if err != nil {
		s.count.unopened.Add(1)
		return
	}
	t, err := wire.MessageTypeOf(msg)
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	r := request{x: x, b: msg, clock: clock, now: clock.Sub(s.start)}
	if t == wire.MsgChallengeReply {
		s.handleChallengeReply(&r, from)
		return
	}
	c, at := x.arrived(from, r.now, s.random)
	if c != nil && t != wire.MsgGoodbye { // who goes is asked nothing, and has sent less than that
		s.count.challenges.Add(1)
		s.sendMessage(x, c.to, &wire.Challenge{Token: c.token}, clock)
	}
	if at == nil {
		s.count.unproven.Add(1)
		return
	}
	r.to = *at
	s.dispatch(&r, t)
}

// hint tells the sender of a packet for an unknown index that it is unknown
// (docs/spec/handshake.md §8).
func (s *Server) hint(to place, index uint32, clock time.Time) {
	if !s.hints.Allow(clock, to.addr) {
		s.count.limited.Add(1)
		return
	}
	s.count.hints.Add(1)
	m := wire.Hint{Receiver: index}
	s.send(to, m.Append(nil))
}

func (s *Server) handleChallengeReply(r *request, from place) {
	m, err := wire.ParseChallengeReply(r.b)
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	if r.x.prove(from, m.Token, r.now) {
		s.count.moves.Add(1)
	}
}

// dispatch hands a message to its handler.
func (s *Server) dispatch(r *request, t wire.MessageType) {
	switch t {
	case wire.MsgPing:
		s.handlePing(r)
	case wire.MsgBind:
		s.handleBind(r)
	case wire.MsgUnbind:
		s.handleUnbind(r)
	case wire.MsgGoodbye:
		s.handleGoodbye(r)
	default:
		s.count.malformed.Add(1)
	}
}

// handlePing keeps a session alive, and says so.
func (s *Server) handlePing(r *request) {
	m, err := wire.ParsePing(r.b)
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	s.count.pings.Add(1)
	s.reply(r, &wire.Pong{Request: m.Request, Observed: r.to.addr})
	if s.draining.Load() { // the first notice may have been lost
		s.reply(r, &wire.Notice{Code: wire.NoticeDraining})
	}
}

// handleGoodbye forgets a session whose device goes.
func (s *Server) handleGoodbye(r *request) {
	if _, err := wire.ParseGoodbye(r.b); err != nil {
		s.count.malformed.Add(1)
		return
	}
	s.count.goodbyes.Add(1)
	s.release(r.x)
}

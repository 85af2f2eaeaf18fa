package sn

import (
	"bytes"
	"net/netip"
	"sync"
	"time"

	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
)

// HandleControl implements [socket.Handler]. What comes before the server knows
// which devices it has waits in the socket.
func (s *Server) HandleControl(via *socket.Socket, b []byte, from netip.AddrPort) {
	if !s.ready.Load() {
		select {
		case <-s.opened:
		case <-s.closing:
			return
		}
	}
	s.handleControl(place{via, from}, b)
}

// HandleSTUN implements [socket.Handler].
func (s *Server) HandleSTUN(via *socket.Socket, b []byte, from netip.AddrPort) {
	s.handleSTUN(place{via, from}, b)
}

// scratch is memory for one message in and one packet out.
type scratch struct {
	in, message, out [wire.MaxPacket]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// send sends a packet; that it cannot be sent is the network's business, and
// counted.
func (s *Server) send(to place, b []byte) {
	if to.via.Send(to.addr, b) != nil {
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

// handleControl handles one control packet, on the reader goroutine of the
// socket that it came in on.
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

// handleDescribe answers who the server is. It does not tell of others: for
// that there is Lookup, which asks who is asking.
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
	count uint64 // the counter of its packet
	clock time.Time
	now   time.Duration // since the server's start
}

// reply answers a request.
func (s *Server) reply(r *request, m message) { s.sendMessage(r.x, r.to, m, r.clock) }

// handleSealed opens a packet, looks at where it came from, and hands the
// message over.
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
	r := request{x: x, b: msg, count: h.Counter, clock: clock, now: clock.Sub(s.start)}
	if t == wire.MsgChallengeReply {
		s.handleChallengeReply(&r, from)
		return
	}
	if s.locate(&r, from) {
		s.dispatch(&r, t)
	}
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

// locate finds out where to answer a request from a place, and challenges the
// device if it is not known to be there. It reports whether to go on. A message
// from another place than the proven one is good, since it is authentic and
// comes once, but its answer goes to the proven one: so nobody is served by
// being able to copy packets (spec §2).
func (s *Server) locate(r *request, from place) bool {
	sh := s.devices.shard(r.x.id())
	sh.mu.Lock()
	c := r.x.arrived(from, r.now, s.random)
	phase, proven := r.x.phase, r.x.proven && r.count >= r.x.floor
	r.to = r.x.at
	sh.mu.Unlock()

	if phase == gone {
		return false
	}
	if c != nil {
		s.count.challenges.Add(1)
		s.sendMessage(r.x, c.to, &wire.Challenge{Token: c.token}, r.clock)
	}
	if !proven {
		s.count.unproven.Add(1)
		return false
	}
	if phase == superseded {
		s.reply(r, &wire.Notice{Code: wire.NoticeSuperseded})
		return false
	}
	return true
}

func (s *Server) handleChallengeReply(r *request, from place) {
	m, err := wire.ParseChallengeReply(r.b)
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	sh := s.devices.shard(r.x.id())
	sh.mu.Lock()
	was := r.x.at
	proven := r.x.prove(from, m.Token, r.count, r.now)
	moved := proven && r.x.phase == registered && from != was
	sh.mu.Unlock()
	if proven {
		s.count.moves.Add(1)
	}
	if moved {
		s.journal.touchDevice(r.x.id())
	}
}

// dispatch hands a message to its handler; what takes public-key cryptography
// goes to a worker.
func (s *Server) dispatch(r *request, t wire.MessageType) {
	switch t {
	case wire.MsgPing:
		s.handlePing(r)
	case wire.MsgRegister:
		s.later(r, s.handleRegister)
	case wire.MsgLookup:
		s.handleLookup(r)
	case wire.MsgPublish:
		s.later(r, s.handlePublish)
	case wire.MsgLookupPart:
		s.handleLookupPart(r)
	case wire.MsgPublishPart:
		s.later(r, s.handlePublishPart)
	case wire.MsgCall:
		s.handleCall(r)
	case wire.MsgCalledAck:
		s.handleCalledAck(r)
	case wire.MsgSignal:
		s.handleSignal(r)
	case wire.MsgGoodbye:
		s.handleGoodbye(r)
	default:
		s.count.malformed.Add(1)
	}
}

// later has a worker handle a request that takes public-key cryptography, if the
// device has not asked for too much of that.
func (s *Server) later(r *request, handle func(*request)) {
	if !s.spend(r) {
		return
	}
	own := *r
	own.b = bytes.Clone(r.b)
	s.enqueue(func() { handle(&own) })
}

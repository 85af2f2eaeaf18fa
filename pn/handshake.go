package pn

import (
	"bytes"
	"time"

	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/quota"
)

const (
	// freshLife is how long a session may go without sending anything
	// (docs/spec/handshake.md §7).
	freshLife = 10 * time.Second
	// silence is how long a session lasts of which nothing is heard (spec §1).
	silence = 120 * time.Second
	// markLimit is how many devices' highest stamps are remembered. A replay
	// beyond them costs a handshake that nobody can go on with.
	markLimit = 65_536
	// responseLimit is how many initiations are remembered for 10 s, with their responses: all that
	// the default budget lets through, with cookies and without.
	responseLimit = 65_536
)

// admit looks at an initiation before any work is done for it, and passes it on to a
// goroutine that does.
func (s *Server) admit(from place, b []byte) {
	if s.draining.Load() {
		return
	}
	v := s.gate.Admit(time.Now(), b, from.addr)
	switch v.Action {
	case noise.Reply:
		if v.Owner != nil {
			v.Owner.(*session).repeated(from)
		}
		s.send(from, v.Packet)
	case noise.Process:
		packet := bytes.Clone(b)
		if !s.enqueue(func() { s.handleInitiation(from, packet, v.Hash) }) {
			s.gate.Forget(v.Hash)
		}
	}
}

// repeated notes that a session's response goes to another source than the
// first: then having it proves nothing about where the device is.
func (x *session) repeated(to place) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.at != to {
		x.spread = true
	}
}

// handleInitiation does a handshake. Whatever is wrong with the initiation is answered by
// silence, but a stamp that is not new.
func (s *Server) handleInitiation(from place, packet []byte, hash noise.Hash) {
	s.count.handshakes.Add(1)
	began := time.Now()
	defer func() { s.cfg.Metrics.Handshake(time.Since(began)) }()
	in, err := s.local.ReadInitiation(packet)
	if err != nil {
		s.count.badInits.Add(1)
		return
	}
	clock := time.Now()
	if mark, ok := s.marks.Raise(in.Device.ID(), in.Payload.Stamp); !ok {
		if res, err := in.Stale(mark); err == nil {
			s.gate.Remember(hash, res, nil)
			s.send(from, res)
		}
		return
	}
	x := &session{at: from, network: quota.NetworkOf(from.addr.Addr()), stamp: in.Payload.Stamp}
	x.heard.Store(int64(clock.Sub(s.start)))
	if x.owner = in.Device.Owner(); !x.owner.IsZero() {
		x.device = bytes.Clone(in.Device.Bytes())
	}
	res, ok := s.accept(in, x, clock)
	if !ok {
		s.gate.Forget(hash)
		return
	}
	s.gate.Remember(hash, res, x)
	s.send(from, res)
}

// accept gives a session a place in the table, an index and its keys.
func (s *Server) accept(in *noise.Incoming, x *session, clock time.Time) (response []byte, ok bool) {
	if !s.held.Take(x.network, s.held.Limit()) {
		s.count.noRoom.Add(1)
		return nil, false
	}
	index, err := s.sessions.Alloc(x)
	if err != nil {
		s.held.Give(x.network)
		s.count.noRoom.Add(1)
		return nil, false
	}
	res, assoc, err := in.Accept(noise.Accept{Index: index, Stamp: uint64(clock.UnixMicro())})
	if err != nil {
		s.held.Give(x.network)
		s.count.badInits.Add(1)
		s.sessions.Free(index)
		return nil, false
	}
	x.keys.Store(assoc)
	return res, true
}

// release forgets a session, and ends the bindings in which it is an end.
func (s *Server) release(x *session) {
	x.mu.Lock()
	if x.gone {
		x.mu.Unlock()
		return
	}
	x.gone = true
	pairs := x.pairs
	x.pairs = nil
	x.mu.Unlock()
	s.sessions.Free(x.assoc().LocalIndex())
	s.held.Give(x.network)
	for _, p := range pairs {
		s.leave(p, x)
	}
}

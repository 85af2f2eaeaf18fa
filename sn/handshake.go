package sn

import (
	"bytes"
	"time"

	"github.com/bdtnet/bdt/internal/noise"
)

const (
	// freshLife is how long a session may go without registering
	// (docs/spec/handshake.md §7).
	freshLife = 10 * time.Second
	// markLimit is how many devices' highest stamps are remembered. A replay
	// beyond them costs a handshake that nobody can go on with.
	markLimit = 65_536
)

// admit looks at an initiation before any work is done for it, and passes it on
// to a worker.
func (s *Server) admit(from place, b []byte) {
	v := s.gate.Admit(time.Now(), b, from.addr)
	switch v.Action {
	case noise.Reply:
		if v.Owner != nil {
			s.repeatResponse(v.Owner.(*session), from)
		}
		s.send(from, v.Packet)
	case noise.Process:
		packet := bytes.Clone(b)
		if !s.enqueue(func() { s.handleInitiation(from, packet, v.Hash) }) {
			s.gate.Forget(v.Hash)
		}
	}
}

// repeatResponse notes that a session's response goes to another source than the
// first: then having it proves nothing about where the device is (spec §2).
func (s *Server) repeatResponse(x *session, to place) {
	sh := s.devices.shard(x.id())
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if x.at != to {
		x.spread = true
	}
}

// handleInitiation does a handshake, on a worker. Whatever is wrong with the
// initiation is answered by silence, but a stamp that is not new.
func (s *Server) handleInitiation(from place, packet []byte, hash noise.Hash) {
	network := networkOf(from.addr.Addr())
	if !s.pending.Take(network, s.pending.Limit()) {
		s.count.noRoom.Add(1)
		s.gate.Forget(hash)
		return
	}
	kept := false
	defer func() {
		if !kept {
			s.pending.Give(network)
		}
	}()
	s.count.handshakes.Add(1)
	began := time.Now()
	defer func() { s.cfg.Metrics.Handshake(time.Since(began)) }()
	in, err := s.local.ReadInitiation(packet)
	if err != nil {
		s.count.refused.Add(1)
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
	x := &session{
		at:    from,
		heard: clock.Sub(s.start),
		hello: &hello{objectOf(in.Device), in.Device.Owner()},
	}
	res, ok := s.accept(in, x, clock)
	if !ok {
		s.gate.Forget(hash)
		return
	}
	s.gate.Remember(hash, res, x)
	kept = true
	if s.fresh.put(x.heard, newcomer{x, network}) {
		s.wakeKeeper()
	}
	s.send(from, res)
}

// accept gives a session an index and its keys.
func (s *Server) accept(in *noise.Incoming, x *session, clock time.Time) (response []byte, ok bool) {
	index, err := s.sessions.Alloc(x)
	if err != nil {
		s.count.noRoom.Add(1)
		return nil, false
	}
	res, assoc, err := in.Accept(noise.Accept{Index: index, Stamp: uint64(clock.UnixMicro())})
	if err != nil {
		s.count.refused.Add(1)
		s.sessions.Free(index)
		return nil, false
	}
	x.keys.Store(assoc)
	return res, true
}

// A newcomer is a session of a handshake of the last 10 s, and whose share of
// those it counts for.
type newcomer struct {
	session *session
	network network
}

// dropFresh forgets a session that has not registered in time.
func (s *Server) dropFresh(n newcomer) {
	x := n.session
	s.pending.Give(n.network)
	sh := s.devices.shard(x.id())
	sh.mu.Lock()
	drop := x.phase == fresh
	if drop {
		x.phase = gone
	}
	sh.mu.Unlock()
	if drop {
		s.sessions.Free(x.assoc().LocalIndex())
	}
}

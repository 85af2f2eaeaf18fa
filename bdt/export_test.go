package bdt

import (
	"context"
	"io"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/peer"
	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/wire"
)

// The numbers that tests send and expect on the wire.
const (
	Backlog    = backlog
	MaxHeaders = maxHeaders
	CallsHeard = callsHeard
)

// RawStream opens a stream to a device without writing its header.
func (s *Stack) RawStream(ctx context.Context, id identity.ID) (session.Stream, error) {
	ss, err := s.session(ctx, id)
	if err != nil {
		return nil, err
	}
	return ss.session.OpenStream(ctx)
}

// Indices counts the receiver indices in use, of peers and SN clients.
func (s *Stack) Indices() int { return s.demux.indices.Len() }

// Describes counts the descriptors that were asked for and not yet given.
func (s *Stack) Describes() int {
	s.demux.mu.Lock()
	defer s.demux.mu.Unlock()
	return len(s.demux.describes)
}

// Table returns how many peers, sessions and SN clients the stack holds.
func (s *Stack) Table() (peers, sessions, sns int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.peers), len(s.sessions), len(s.sns)
}

// PeerOf returns the stack's peer with an id, nil if there is none.
func (s *Stack) PeerOf(id identity.ID) *peer.Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peers[id]
}

// FeignCall has the stack believe that its first SN has sent a Called.
func (s *Stack) FeignCall(m wire.Called) { s.demux.HandleCalled(s.clients()[0], m) }

// CallerWith returns a device as the stack's policies see it.
func (s *Stack) CallerWith(d *identity.Device) Caller { return s.caller(d) }

// Owners returns how many owners the stack's book holds.
func (s *Stack) Owners() int {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	return len(s.book.owners)
}

// ForgetOwner takes an owner out of the stack's book, as for want of room.
func (s *Stack) ForgetOwner(id identity.ID) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	delete(s.book.owners, id)
}

// RaiseMark has the stack remember a stamp of a device.
func (s *Stack) RaiseMark(id identity.ID, at time.Time) {
	s.demux.marks.Raise(id, uint64(at.UnixMicro()))
}

// ReadAnswer reads the answer to a call.
func ReadAnswer(r io.Reader) ([]byte, error) { return readAnswer(r) }

// RawSession returns the session with a device.
func (s *Stack) RawSession(ctx context.Context, id identity.ID) (session.Session, error) {
	ss, err := s.session(ctx, id)
	if err != nil {
		return nil, err
	}
	return ss.session, nil
}

// The bounds of flows that tests meet.
const (
	MaxFlows          = maxFlows
	MaxFlowQueue      = maxFlowQueue
	MaxFlowBytes      = maxFlowBytes
	MaxEarlyDatagrams = maxEarlyDatagrams
)

// FlowBytes returns how many bytes wait in the flows of the session with a device, and
// how many datagrams wait for a flow.
func (s *Stack) FlowBytes(id identity.ID) (queued, early int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ss := range s.sessions {
		if ss.device.ID() == id {
			ss.flows.mu.Lock()
			queued, early = ss.flows.queued, len(ss.flows.early)
			ss.flows.mu.Unlock()
		}
	}
	return queued, early
}

// OpenStreams returns how many streams of a device to a service are let in and not closed.
func (s *Stack) OpenStreams(id identity.ID, service string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ss := range s.sessions {
		if ss.device.ID() == id {
			ss.mu.Lock()
			n = ss.open[service]
			ss.mu.Unlock()
		}
	}
	return n
}

// RelayAddr is the address by which a peer behind a relay goes.
var RelayAddr = relayAddr

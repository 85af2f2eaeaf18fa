package bdt

import (
	"cmp"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/peer"
)

// Of the places that Config.MaxPeers gives, one in reserveShare is not for
// strangers: however many of them keep how busy, the devices of the own zone and
// friends get in. Whom this device dials takes a place without asking.
const reserveShare = 8

// A standing is what a peer is to this device when a place is given to it.
type standing uint8

const (
	stranger standing = iota
	known             // of the own zone, or a friend
	wanted            // dialled by this device
)

// callerPeer returns the peer for a device that calls. If there is none, and room
// for one, it makes it.
func (s *Stack) callerPeer(d *identity.Device) (*peer.Peer, error) {
	s.mu.Lock()
	p := s.peers[d.ID()]
	s.mu.Unlock()
	if p != nil {
		return p, nil
	}
	as := stranger
	if s.book.favours(d) {
		as = known
	}
	return s.peer(d.ID(), as)
}

// peer returns the peer with an id. If there is none, and room for one, it makes it.
func (s *Stack) peer(id identity.ID, as standing) (*peer.Peer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if p := s.peers[id]; p != nil {
		if as != stranger {
			delete(s.strangers, id)
		}
		return p, nil
	}
	if !s.roomLocked(as) {
		return nil, errTooManyPeers
	}
	p := peer.New(peer.Config{
		ID:       id,
		Exchange: s.demux.exchange,
		Host:     host{s},
		Engine:   s.engine,
		Logger:   s.log,
		Timeout:  max(s.cfg.DialTimeout, 0),
	})
	s.peers[id] = p
	if as == stranger {
		s.strangers[id] = p
	}
	return p, nil
}

// roomLocked reports whether there is a place for one more peer, for which it may
// drop another. A stranger beyond the strangers' share takes the place of a
// stranger only.
func (s *Stack) roomLocked(as standing) bool {
	limit := s.cfg.MaxPeers
	switch {
	case limit < 0 || as == wanted:
		return true
	case as == stranger && len(s.strangers) >= limit-limit/reserveShare:
		return s.makeRoomLocked(s.strangers)
	case len(s.peers) < limit:
		return true
	}
	return s.makeRoomLocked(s.strangers) || s.makeRoomLocked(s.peers)
}

// makeRoomLocked drops the peer that is missed least of a few picked at random:
// one that has nothing going on; one that is shaking hands, since anybody can begin
// that under as many names as he likes, while an honest handshake is soon over; or
// one whose session nobody has used for long.
func (s *Stack) makeRoomLocked(peers map[identity.ID]*peer.Peer) bool {
	var unproven, quiet *peer.Peer
	longest, looked := quietPeer, 0
	for _, p := range peers {
		switch st := p.Status(); {
		case !st.IdleSince.IsZero():
			s.evictLocked(p)
			return true
		case st.Unproven:
			unproven = p
		case p.Quiet() >= longest:
			quiet, longest = p, p.Quiet()
		}
		if looked++; looked == 32 {
			break
		}
	}
	victim := cmp.Or(unproven, quiet)
	if victim == nil {
		return false
	}
	s.evictLocked(victim)
	return true
}

// evictLocked forgets a peer.
func (s *Stack) evictLocked(p *peer.Peer) {
	s.forgetPeerLocked(p.ID())
	s.workers.Go(func() { p.Close() })
}

// forgetPeerLocked takes a peer out of the tables.
func (s *Stack) forgetPeerLocked(id identity.ID) {
	delete(s.peers, id)
	delete(s.strangers, id)
}

// favours reports whether a device is of the own zone or a friend, by what is at
// hand.
func (b *book) favours(d *identity.Device) bool {
	if b.inOwnZone(d) {
		return true
	}
	friends := b.friendList()
	for _, id := range friends {
		if id == d.ID() || id == d.Owner() && b.member(id, d) {
			return true
		}
	}
	return false
}

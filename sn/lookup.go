package sn

import (
	"errors"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// spend takes a token from the session's bucket for registers, lookups and
// publishes, and reports whether there was one.
func (s *Server) spend(r *request) bool {
	sh := s.devices.shard(r.x.id())
	sh.mu.Lock()
	ok := r.x.directory.take(s.limits().Directory, r.now)
	sh.mu.Unlock()
	ok = ok && s.readers.take(networkOf(r.to.addr.Addr()), s.limits().Lookups, r.now)
	if !ok {
		s.count.limited.Add(1)
	}
	return ok
}

// object returns the newest version known of a signed object, nil if none is.
func (s *Server) object(id identity.ID, now time.Duration) []byte {
	if p, ok := s.devices.peer(id); ok {
		return p.descriptor.bytes
	}
	return s.objects.get(id, now).bytes
}

func (s *Server) handleLookup(r *request) {
	m, err := wire.ParseLookup(r.b)
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	ans := wire.Found{Request: m.Request}
	switch {
	case !s.spend(r):
		ans.Status = wire.StatusTooMany
	default:
		s.count.lookups.Add(1)
		if ans.Object = s.object(m.ID, r.now); ans.Object == nil {
			ans.Status = wire.StatusNotFound
		} else if len(ans.Object) > wire.MaxObject {
			ans.Status, ans.Object = wire.StatusTooLarge, nil
		}
	}
	s.reply(r, &ans)
}

// handlePublish stores an object. It runs on a worker, because it verifies a
// signature.
func (s *Server) handlePublish(r *request) {
	m, err := wire.ParsePublish(r.b)
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	s.reply(r, &wire.Published{Request: m.Request, Status: s.publishEncoded(m.Object, r)})
}

// publishEncoded stores an object that a request has brought, if it is one.
func (s *Server) publishEncoded(b []byte, r *request) wire.Status {
	obj, err := identity.ParseObject(b)
	switch {
	case err != nil:
		s.count.malformed.Add(1)
		return wire.StatusMalformed
	}
	switch err := s.publish(obj, networkOf(r.to.addr.Addr()), r.now); {
	case errors.Is(err, identity.ErrRolledBack):
		return wire.StatusTooOld
	case err != nil:
		s.count.noRoom.Add(1)
		return wire.StatusTooMany
	}
	s.count.publishes.Add(1)
	return wire.StatusOK
}

// publish stores a verified object, whoever brings it: its signature is its
// entitlement; from is the network that it counts for.
func (s *Server) publish(obj identity.Object, from network, now time.Duration) error {
	if d, ok := obj.(*identity.Device); ok {
		if ok, err := s.devices.publish(d.ID(), objectOf(d)); ok {
			s.journal.touchDevice(d.ID())
			return err
		}
	}
	return s.store(obj.ID(), objectOf(obj), from, now)
}

// store puts an object into the directory and the journal.
func (s *Server) store(id identity.ID, o object, from network, now time.Duration) error {
	evicted, err := s.objects.put(id, o, from, now)
	s.journal.touchObject(id)
	for _, id := range evicted {
		s.journal.touchObject(id)
	}
	return err
}

package sn

import (
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// handleGoodbye forgets a device that goes, so that its callers are told at once
// (spec §1).
func (s *Server) handleGoodbye(r *request) {
	if _, err := wire.ParseGoodbye(r.b); err != nil {
		s.count.malformed.Add(1)
		return
	}
	if d := s.devices.leave(r.x); d != nil {
		s.count.goodbyes.Add(1)
		s.release(d, r.now)
	}
}

// handlePing keeps a registration alive, and says so.
func (s *Server) handlePing(r *request) {
	m, err := wire.ParsePing(r.b)
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	sh := s.devices.shard(r.x.id())
	sh.mu.Lock()
	d := sh.devices[r.x.id()]
	held := d != nil && d.session == r.x && d.instance == m.Instance
	if held && m.RTT > 0 {
		d.rtt = m.RTT
	}
	sh.mu.Unlock()
	s.count.pings.Add(1)
	s.reply(r, &wire.Pong{Request: m.Request, Reregister: !held, Observed: r.to.addr})
}

// handleRegister registers a device. It runs on a worker, because it may have to
// verify a descriptor.
func (s *Server) handleRegister(r *request) {
	m, err := wire.ParseRegister(r.b)
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	ans := wire.Registered{
		Request:  m.Request,
		Status:   s.register(r, &m),
		Observed: r.to.addr,
		Interval: s.settings.Load().ping,
	}
	s.reply(r, &ans)
}

// register does what a Register asks, and returns the status of the answer.
// StatusTooOld says that the device is registered, but a newer descriptor of it
// is known.
func (s *Server) register(r *request, m *wire.Register) wire.Status {
	var desc object
	if len(m.Device) > 0 {
		d, err := identity.ParseDevice(m.Device)
		if err != nil || d.ID() != r.x.id() {
			s.count.malformed.Add(1)
			return wire.StatusMalformed
		}
		desc = objectOf(d)
	}
	tell, forget, err := s.devices.register(r.x, m, desc)
	switch err {
	case nil:
	case errFull:
		s.count.noRoom.Add(1)
		return wire.StatusTooMany
	default:
		return wire.StatusSuperseded
	}
	s.count.registers.Add(1)
	s.journal.touchDevice(r.x.id())
	if forget != nil {
		s.sessions.Free(forget.assoc().LocalIndex())
	}
	if tell != nil {
		s.count.superseded.Add(1)
		s.sendMessage(tell, s.place(tell), &wire.Notice{Code: wire.NoticeSuperseded}, r.clock)
	}
	// What was published while the device was away may be newer still.
	if o := s.objects.take(r.x.id(), r.now); len(o.bytes) > 0 {
		s.journal.touchObject(r.x.id())
		s.devices.publish(r.x.id(), o)
	}
	if p, ok := s.devices.peer(r.x.id()); ok && len(desc.bytes) > 0 && p.descriptor.updated > desc.updated {
		return wire.StatusTooOld
	}
	return wire.StatusOK
}

// place returns where a session's device is known to be.
func (s *Server) place(x *session) place {
	sh := s.devices.shard(x.id())
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return x.at
}

// expire forgets devices that were not heard of.
func (s *Server) expire(lost []*device, now time.Duration) {
	for _, d := range lost {
		s.count.expired.Add(1)
		s.release(d, now)
	}
}

// release frees what a device held. Its descriptor stays in the directory.
func (s *Server) release(d *device, now time.Duration) {
	id := d.session.id()
	_ = s.store(id, d.descriptor, d.network, now) // without room it is forgotten
	s.journal.touchDevice(id)
	s.sessions.Free(d.session.assoc().LocalIndex())
	if d.old != nil {
		s.sessions.Free(d.old.assoc().LocalIndex())
	}
}

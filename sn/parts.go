package sn

import (
	"bytes"
	"sync"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/quota"
	"github.com/bdtnet/bdt/internal/wire"
)

const (
	// maxUploads bounds the objects that are being brought in parts, 12 KiB each, and
	// networkUploads those of one network.
	maxUploads     = 1024
	networkUploads = 64
	// uploadLife is how long the next part is waited for.
	uploadLife = 30 * time.Second
)

// uploads are the objects that devices are bringing in parts, one each. They may be
// used concurrently.
type uploads struct {
	quota *quota.Share

	mu sync.Mutex
	m  map[identity.ID]*upload
}

func newUploads() *uploads {
	return &uploads{quota: quota.NewShare(maxUploads), m: make(map[identity.ID]*upload)}
}

// An upload is the beginning of an object.
type upload struct {
	total uint32
	b     []byte
	at    time.Duration // when the last part came, since the server's start
	from  network
}

// add takes a part of a device's object, and returns the object when it is whole.
// A part that does not follow the one before, nor repeats it, finds nothing to
// belong to.
func (u *uploads) add(device identity.ID, p wire.Part, from network, now time.Duration) (whole []byte, status wire.Status) {
	u.mu.Lock()
	defer u.mu.Unlock()
	up := u.m[device]
	if p.Offset == 0 {
		if up == nil && !u.roomLocked(from, now) {
			return nil, wire.StatusTooMany
		}
		if up != nil {
			from = up.from
		}
		up = &upload{total: p.Total, from: from}
		u.m[device] = up
	}
	switch {
	case up == nil || up.total != p.Total || p.Offset > 0 && now-up.at > uploadLife:
		return nil, wire.StatusNotFound
	case int(p.Offset) == len(up.b):
		up.b, up.at = append(up.b, p.Bytes...), now
	case int(p.Offset)+len(p.Bytes) != len(up.b) || !bytes.Equal(up.b[p.Offset:], p.Bytes):
		return nil, wire.StatusNotFound
	}
	if len(up.b) < int(up.total) {
		return nil, wire.StatusOK
	}
	u.dropLocked(device)
	return up.b, wire.StatusOK
}

// roomLocked takes a place for one more of a network, and drops what has been given
// up if there is none.
func (u *uploads) roomLocked(from network, now time.Duration) bool {
	if u.quota.Take(from, networkUploads) {
		return true
	}
	for device, up := range u.m {
		if now-up.at > uploadLife {
			u.dropLocked(device)
		}
	}
	return u.quota.Take(from, networkUploads)
}

// dropLocked forgets an upload.
func (u *uploads) dropLocked(device identity.ID) {
	u.quota.Give(u.m[device].from)
	delete(u.m, device)
}

// handlePublishPart takes a part of an object. It runs on a worker, because the
// last one makes it verify a signature.
func (s *Server) handlePublishPart(r *request) {
	m, err := wire.ParsePublishPart(r.b)
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	whole, status := s.uploads.add(r.x.id(), m.Part, networkOf(r.to.addr.Addr()), r.now)
	if whole != nil {
		status = s.publishEncoded(whole, r)
	}
	s.reply(r, &wire.Published{Request: m.Request, Status: status})
}

// handleLookupPart answers with a part of an object.
func (s *Server) handleLookupPart(r *request) {
	m, err := wire.ParseLookupPart(r.b)
	if err != nil {
		s.count.malformed.Add(1)
		return
	}
	ans := wire.FoundPart{Request: m.Request}
	if s.spend(r) {
		ans.Status, ans.Part = partFrom(s.object(m.ID, r.now), m.Offset)
		s.count.lookups.Add(1)
	} else {
		ans.Status = wire.StatusTooMany
	}
	s.reply(r, &ans)
}

// partFrom returns the part of an object that begins at an offset.
func partFrom(object []byte, offset uint32) (wire.Status, wire.Part) {
	switch {
	case object == nil:
		return wire.StatusNotFound, wire.Part{}
	case int64(offset) >= int64(len(object)):
		return wire.StatusMalformed, wire.Part{}
	}
	return wire.StatusOK, wire.PartOf(object, int(offset))
}

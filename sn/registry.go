package sn

import (
	"errors"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/quota"
	"github.com/bdtnet/bdt/internal/wire"
)

const (
	registryShards = 256
	// silence is how long a device that is not heard of stays registered
	// (spec §1).
	silence = 300 * time.Second
)

// A registry holds the registered devices by id, and guards the sessions of all.
type registry struct {
	seed       maphash.Seed
	quota      *quota.Share
	perNetwork atomic.Int64 // devices that one network may have
	shards     [registryShards]shard
}

type shard struct {
	mu      sync.Mutex
	devices map[identity.ID]*device
}

// A device is a registration. It is guarded by the lock of its shard.
type device struct {
	session    *session // the current one, in phase registered
	old        *session // in phase superseded; nil: none
	instance   uint64
	visibility wire.Visibility
	rtt        time.Duration      // to the device and back, as it says; 0: unknown
	owner      identity.ID        // as the device claims, or zero
	descriptor object             // the newest known
	candidates []byte             // as a wire.Candidates message: a fifth of the memory of a slice
	network    network            // that it counts for
	calls      bucket             // Limits.Call
	signals    bucket             // Limits.Signal
	called     bucket             // Limits.Callee
	reserve    bucket             // the same, for those it knows
	peers      [knownPeers]uint32 // hashes of the last devices that it has called
}

// knownPeers is how many of the devices that it has called a device knows.
const knownPeers = 8

// What can keep a session from being registered.
var (
	errFull       = errors.New("table of devices is full")
	errSuperseded = errors.New("another instance has registered")
)

func newRegistry(limit, each int) *registry {
	r := &registry{seed: maphash.MakeSeed(), quota: quota.NewShare(limit)}
	r.perNetwork.Store(int64(each))
	for i := range r.shards {
		r.shards[i].devices = make(map[identity.ID]*device)
	}
	return r
}

func (r *registry) shard(id identity.ID) *shard {
	return &r.shards[maphash.Comparable(r.seed, id)%registryShards]
}

// A peer is what a call or signal needs to know of a registered device: a copy,
// taken under the lock.
type peer struct {
	session    *session
	at         place
	instance   uint64
	visibility wire.Visibility
	rtt        time.Duration
	heard      time.Duration
	owner      identity.ID
	descriptor object
	candidates []byte
}

func (d *device) peer() peer {
	return peer{
		session:    d.session,
		at:         d.session.at,
		instance:   d.instance,
		visibility: d.visibility,
		rtt:        d.rtt,
		heard:      d.session.heard,
		owner:      d.owner,
		descriptor: d.descriptor,
		candidates: d.candidates,
	}
}

// peer returns the registered device with an id.
func (r *registry) peer(id identity.ID) (p peer, ok bool) {
	sh := r.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if d := sh.devices[id]; d != nil {
		return d.peer(), true
	}
	return peer{}, false
}

// holder returns the device whose registration a session holds.
func (r *registry) holder(x *session) (p peer, ok bool) {
	p, ok = r.peer(x.id())
	return p, ok && p.session == x
}

// spend takes a token from one of the buckets of a session's device, and reports
// whether there was one.
func (r *registry) spend(x *session, pick func(*device) *bucket, rate Rate, now time.Duration) bool {
	return r.spendOf(x.id(), pick, rate, now)
}

// spendOf is spend for a device by its id.
func (r *registry) spendOf(id identity.ID, pick func(*device) *bucket, rate Rate, now time.Duration) bool {
	sh := r.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	d := sh.devices[id]
	return d != nil && pick(d).take(rate, now)
}

func (d *device) callBucket() *bucket    { return &d.calls }
func (d *device) signalBucket() *bucket  { return &d.signals }
func (d *device) calledBucket() *bucket  { return &d.called }
func (d *device) reserveBucket() *bucket { return &d.reserve }

// hash returns what a device is remembered as.
func (r *registry) hash(id identity.ID) uint32 {
	return uint32(maphash.Comparable(r.seed, id)>>32) | 1 // 0 is none
}

// remember takes note that a session's device has called another.
func (r *registry) remember(x *session, callee identity.ID) {
	h := r.hash(callee)
	sh := r.shard(x.id())
	sh.mu.Lock()
	defer sh.mu.Unlock()
	d := sh.devices[x.id()]
	if d == nil || slices.Contains(d.peers[:], h) {
		return
	}
	copy(d.peers[1:], d.peers[:])
	d.peers[0] = h
}

// knows reports whether a device has called another of late.
func (r *registry) knows(id, other identity.ID) bool {
	h := r.hash(other)
	sh := r.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	d := sh.devices[id]
	return d != nil && slices.Contains(d.peers[:], h)
}

// register makes x the session of its device's registration, with the contents
// of m, and desc as its descriptor if that has any bytes, else the handshake's;
// but the newest known stays. It returns sessions to tell that they are
// superseded, and to forget.
func (r *registry) register(x *session, m *wire.Register, desc object) (tell, forget *session, err error) {
	id := x.id()
	sh := r.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	switch x.phase {
	case superseded, gone:
		return nil, nil, errSuperseded
	}
	d := sh.devices[id]
	from := networkOf(x.at.addr.Addr())
	switch {
	case d == nil:
		if !r.quota.Take(from, int(r.perNetwork.Load())) {
			return nil, nil, errFull
		}
		d = &device{session: x, instance: m.Instance, network: from}
		sh.devices[id] = d
	case d.network != from && r.quota.Take(from, int(r.perNetwork.Load())):
		r.quota.Give(d.network)
		d.network = from
	}
	if prev := d.session; prev != x {
		x.directory = max(x.directory, prev.directory)
		if d.instance != m.Instance {
			prev.phase = superseded
			tell, forget, d.old = prev, d.old, prev
		} else {
			forget = prev
		}
	}
	d.session, d.instance, d.visibility = x, m.Instance, m.Visibility
	d.candidates = nil
	if len(m.Candidates) > 0 {
		list := wire.Candidates{List: m.Candidates}
		d.candidates = list.Append(make([]byte, 0, 2+9*len(m.Candidates)))
	}
	if h := x.hello; h != nil {
		d.owner = h.owner
		d.renew(h.object)
		x.hello = nil
	}
	d.renew(desc)
	x.phase = registered
	if forget != nil {
		forget.phase = gone
	}
	return tell, forget, nil
}

// restore adds a device that an earlier run has kept, and reports whether there
// was room.
func (r *registry) restore(d *device) bool {
	id := d.session.id()
	sh := r.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.devices[id] != nil {
		return false
	}
	if r.quota.Len() >= r.quota.Limit() {
		return false
	}
	d.network = networkOf(d.session.at.addr.Addr())
	r.quota.Force(d.network)
	sh.devices[id] = d
	return true
}

// renew replaces the descriptor by a newer one.
func (d *device) renew(o object) {
	if o.updated > d.descriptor.updated {
		d.descriptor = o
	}
}

// publish stores a newer descriptor of a registered device; ok is false if it is
// not registered.
func (r *registry) publish(id identity.ID, o object) (ok bool, err error) {
	sh := r.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	d := sh.devices[id]
	if d == nil {
		return false, nil
	}
	if err := o.supersedes(d.descriptor); err != nil {
		return true, err
	}
	d.descriptor = o
	return true, nil
}

// leave takes a device out whose own session says goodbye; nil if it is not the
// registered one.
func (r *registry) leave(x *session) *device {
	sh := r.shard(x.id())
	sh.mu.Lock()
	defer sh.mu.Unlock()
	d := sh.devices[x.id()]
	if d == nil || d.session != x {
		return nil
	}
	r.takeLocked(sh, x.id(), d)
	return d
}

// takeLocked ends a registration.
func (r *registry) takeLocked(sh *shard, id identity.ID, d *device) {
	delete(sh.devices, id)
	r.quota.Give(d.network)
	d.session.phase = gone
	if d.old != nil {
		d.old.phase = gone
	}
}

// sweep takes the devices that were not heard of out of one shard, and returns
// them.
func (r *registry) sweep(i int, now time.Duration) (lost []*device) {
	sh := &r.shards[i%registryShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for id, d := range sh.devices {
		if now-d.session.heard <= silence {
			continue
		}
		r.takeLocked(sh, id, d)
		lost = append(lost, d)
	}
	return lost
}

// each calls f with the current session of every device, without the lock.
func (r *registry) each(f func(*session, place)) {
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.Lock()
		peers := make([]peer, 0, len(sh.devices))
		for _, d := range sh.devices {
			peers = append(peers, d.peer())
		}
		sh.mu.Unlock()
		for _, p := range peers {
			f(p.session, p.at)
		}
	}
}

package sn

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/quota"
	"github.com/bdtnet/bdt/internal/wire"
)

// objectLife is how long an object is kept after its last Publish (spec §4).
const objectLife = 24 * time.Hour

const directoryShards = 64

// A directory keeps the newest version of signed objects by id, in a bounded number
// of places: one for each wire.MaxObject bytes of an object, or for the rest. It may be
// used concurrently. The objects of registered devices are kept with the devices
// instead.
type directory struct {
	seed   maphash.Seed
	limit  int          // places of a shard
	quota  *quota.Share // counts only
	shards [directoryShards]directoryShard
}

type directoryShard struct {
	mu   sync.Mutex
	m    map[identity.ID]entry
	used int // places
}

// An object is a verified signed object in its encoded form. The bytes are shared
// and never written.
type object struct {
	updated uint64 // its version
	bytes   []byte
}

// places is how much of a directory the object takes.
func (o object) places() int { return max((len(o.bytes)+wire.MaxObject-1)/wire.MaxObject, 1) }

func objectOf(o identity.Object) object { return object{o.Updated(), o.Bytes()} }

// supersedes reports why the object must not replace the one held under its id,
// as [identity.CheckSuccessor] does for parsed objects.
func (o object) supersedes(held object) error {
	if o.updated > held.updated || o.updated == held.updated && bytes.Equal(o.bytes, held.bytes) {
		return nil
	}
	return fmt.Errorf("sn: object of update time %d offered, %d held: %w", o.updated, held.updated, identity.ErrRolledBack)
}

// An entry is a stored object, and when it expires.
type entry struct {
	object
	until time.Duration // since the server's start
	from  network       // that brought it first
}

func newDirectory(limit int) *directory {
	d := &directory{seed: maphash.MakeSeed(), limit: (limit + directoryShards - 1) / directoryShards, quota: quota.NewShare(limit)}
	for i := range d.shards {
		d.shards[i].m = make(map[identity.ID]entry)
	}
	return d
}

func (d *directory) shard(id identity.ID) *directoryShard {
	return &d.shards[maphash.Comparable(d.seed, id)%directoryShards]
}

// get returns the object with an id; it has no bytes if there is none.
func (d *directory) get(id identity.ID, now time.Duration) object {
	sh := d.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if e := sh.m[id]; e.until > now {
		return e.object
	}
	return object{}
}

// entry returns what is stored under an id.
func (d *directory) entry(id identity.ID) (e entry, ok bool) {
	sh := d.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, ok = sh.m[id]
	return e, ok
}

// restore stores what an earlier run has kept, and reports whether there was room.
func (d *directory) restore(id identity.ID, e entry) bool {
	sh := d.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if _, ok := sh.m[id]; ok || sh.used+e.places() > d.limit {
		return false
	}
	d.addLocked(sh, id, e)
	return true
}

// ids returns the ids of all objects.
func (d *directory) ids() (list []identity.ID) {
	for i := range d.shards {
		sh := &d.shards[i]
		sh.mu.Lock()
		for id := range sh.m {
			list = append(list, id)
		}
		sh.mu.Unlock()
	}
	return list
}

// take is get, and removes the object.
func (d *directory) take(id identity.ID, now time.Duration) object {
	sh := d.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, ok := sh.m[id]
	if !ok {
		return object{}
	}
	d.removeLocked(sh, id, e)
	if e.until <= now {
		return object{}
	}
	return e.object
}

// put stores an object, which lives on from now, unless a newer one is there:
// then the error wraps [identity.ErrRolledBack]. In a full table another makes
// room, whose ids are returned: of a network that holds at least as many. If none of
// a few is, the error is errFull and nothing has changed.
func (d *directory) put(id identity.ID, o object, from network, now time.Duration) (evicted []identity.ID, err error) {
	sh := d.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	held, ok := sh.m[id]
	if ok && held.until > now {
		if err := o.supersedes(held.object); err != nil {
			return evicted, err
		}
	}
	need := o.places()
	if ok {
		from, need = held.from, need-held.places()
	}
	var room []entry
	for need > 0 && sh.used+need > d.limit {
		victim, e, ok := d.evictLocked(sh, id, from)
		if !ok {
			for i, e := range room {
				d.addLocked(sh, evicted[i], e)
			}
			return nil, errFull
		}
		evicted, room = append(evicted, victim), append(room, e)
	}
	if ok {
		d.removeLocked(sh, id, held)
	}
	d.addLocked(sh, id, entry{o, now + objectLife, from})
	return evicted, nil
}

// addLocked adds an entry under an id that has none.
func (d *directory) addLocked(sh *directoryShard, id identity.ID, e entry) {
	sh.m[id] = e
	sh.used += e.places()
	for range e.places() {
		d.quota.Force(e.from)
	}
}

// removeLocked removes an entry.
func (d *directory) removeLocked(sh *directoryShard, id identity.ID, e entry) {
	delete(sh.m, id)
	sh.used -= e.places()
	for range e.places() {
		d.quota.Give(e.from)
	}
}

// evictLocked removes an entry, other than but, to make room for one from a network: among 8 that
// Go's random order of iteration picks, one of the network that holds most, and of
// these the one that expires first. It reports whether there was one of a network
// that holds as many as that at all.
func (d *directory) evictLocked(sh *directoryShard, but identity.ID, from network) (victim identity.ID, worst entry, ok bool) {
	most, n := d.quota.Held(from), 0
	for id, e := range sh.m {
		if id == but {
			continue
		}
		held := d.quota.Held(e.from)
		if held > most || held == most && (!ok || e.until < worst.until) {
			victim, worst, most, ok = id, e, held, true
		}
		if n++; n == 8 {
			break
		}
	}
	if ok {
		d.removeLocked(sh, victim, worst)
	}
	return victim, worst, ok
}

// sweep removes what has expired from one shard, and returns its ids.
func (d *directory) sweep(shard int, now time.Duration) (gone []identity.ID) {
	sh := &d.shards[shard%directoryShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for id, e := range sh.m {
		if e.until <= now {
			d.removeLocked(sh, id, e)
			gone = append(gone, id)
		}
	}
	return gone
}

// len returns how many objects there are.
func (d *directory) len() int {
	n := 0
	for i := range d.shards {
		sh := &d.shards[i]
		sh.mu.Lock()
		n += len(sh.m)
		sh.mu.Unlock()
	}
	return n
}

package bdt

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/snclient"
)

const (
	// maxOwners bounds the owners in the book beside this device's own and those
	// that are friends.
	maxOwners = 1024
	// missLife is how long an owner whose object was asked for in vain is not asked
	// for again because a caller claims to be of its zone.
	missLife = time.Minute
	// asksPerSecond and askBurst bound the lookups that callers cause, whom nobody
	// here knows: an SN takes 20 requests a second of a device.
	asksPerSecond = 4
	askBurst      = 16
)

// A book holds what the stack knows of owners: the newest version seen of this
// device's own, of those that are friends, and of those that were asked for
// lately. A version never gives way to an older one.
type book struct {
	local *noise.Local
	log   *slog.Logger
	file  string        // where the own owner's object is kept; empty: nowhere
	wake  chan struct{} // holds one: there is work for the keeper
	asks  *rate.Limiter // lookups that callers cause

	mu      sync.Mutex
	friends []identity.ID // not changed once it is here
	owners  map[identity.ID]*owner
	posts   map[*snclient.Client]*post

	fileMu sync.Mutex // held while the file is written
}

// An owner is what the book holds of one.
type owner struct {
	people    *identity.People // the newest version seen; nil: none
	checked   time.Time        // when an SN has last said what it has of it; zero: never
	tried     time.Time        // when SNs were last asked for it; zero: never
	used      time.Time        // when somebody was last found to be of its zone; zero: never
	preferred time.Time        // when devices were last tried that are named before the one in use
	due       time.Time        // when the keeper asks again; zero: not at all
	search    *search          // that is under way; nil: none
}

// init makes the book of a device. It fails if the configuration or the file hold
// the object of another's owner, or if a friend is nobody who can be.
func (b *book) init(local *noise.Local, cfg Config) error {
	b.local, b.log, b.file = local, cfg.Logger, cfg.OwnerFile
	b.wake = make(chan struct{}, 1)
	b.asks = rate.NewLimiter(asksPerSecond, askBurst)
	b.owners, b.posts = make(map[identity.ID]*owner), make(map[*snclient.Client]*post)
	if err := b.setFriends(cfg.Friends); err != nil {
		return err
	}
	if err := b.load(); err != nil {
		return err
	}
	if cfg.Owner == nil {
		return nil
	}
	if err := b.checkOwn(cfg.Owner); err != nil {
		return err
	}
	// What the file holds may well be newer.
	if _, err := b.take(cfg.Owner); err != nil {
		if errors.Is(err, identity.ErrRolledBack) {
			return nil
		}
		return err
	}
	return b.save()
}

// load reads the own owner's object from the file, if there is one.
func (b *book) load() error {
	if b.file == "" || b.own().IsZero() {
		return nil
	}
	o, err := identity.LoadPublic(b.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	p, ok := o.(*identity.People)
	if err == nil && !ok {
		err = fmt.Errorf("it holds %v, not an owner", o)
	}
	if err == nil {
		err = b.checkOwn(p)
	}
	if err == nil {
		_, err = b.take(p)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrOwnerFile, b.file, err)
	}
	return nil
}

// save writes the own owner's object to the file.
func (b *book) save() error {
	b.fileMu.Lock()
	defer b.fileMu.Unlock()
	p := b.newest(b.own())
	if b.file == "" || p == nil {
		return nil
	}
	if err := identity.ReplacePublic(b.file, p); err != nil {
		return fmt.Errorf("%w: %w", ErrOwnerFile, err)
	}
	return nil
}

// own returns the id of this device's owner, zero if it has none.
func (b *book) own() identity.ID { return b.local.Device().Owner() }

// checkOwn reports whether an object is of this device's owner.
func (b *book) checkOwn(p *identity.People) error {
	own := b.own()
	switch {
	case p == nil:
		return errNotOwner
	case own.IsZero():
		return fmt.Errorf("%w: the owner's object is of %s, but the device has no owner", identity.ErrWrongID, p.ID())
	case p.ID() != own:
		return fmt.Errorf("%w: the owner's object is of %s, the device's owner is %s", identity.ErrWrongID, p.ID(), own)
	}
	return nil
}

// take enters a version of an owner's object, and returns the one that it has
// replaced; that is p itself if it was known already. It fails with
// identity.ErrRolledBack if a newer one is held.
func (b *book) take(p *identity.People) (before *identity.People, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.ownerLocked(p.ID())
	if e.people == nil {
		e.people = p
		return nil, nil
	}
	if err := identity.CheckSuccessor(e.people, p); err != nil {
		return nil, err
	}
	if e.people.Updated() == p.Updated() {
		return p, nil
	}
	before, e.people = e.people, p
	return before, nil
}

// ownerLocked returns what the book holds of an owner, and makes an entry if there
// is none.
func (b *book) ownerLocked(id identity.ID) *owner {
	e := b.owners[id]
	if e != nil {
		return e
	}
	if len(b.owners) >= maxOwners+1+len(b.friends) {
		b.forgetLocked()
	}
	e = new(owner)
	b.owners[id] = e
	return e
}

// forgetLocked drops the owner that is missed least of some picked at random, none
// of them pinned: one that nobody was found to be of if there is one, else the one
// for which that is longest ago.
func (b *book) forgetLocked() {
	var victim identity.ID
	var used time.Time
	looked := 0
	for id, e := range b.owners {
		if e.search != nil || b.pinnedLocked(id) {
			continue
		}
		if looked == 0 || e.used.Before(used) {
			victim, used = id, e.used
		}
		if looked++; looked == 16 {
			break
		}
	}
	delete(b.owners, victim)
}

// pinnedLocked reports whether an owner is never forgotten: the own one, and those
// that are friends.
func (b *book) pinnedLocked(id identity.ID) bool {
	return id == b.own() || slices.Contains(b.friends, id)
}

// setFriends replaces the friends.
func (b *book) setFriends(ids []identity.ID) error {
	for _, id := range ids {
		if !isParty(id) {
			return fmt.Errorf("friend %s is of type %s, not a device or an owner", id, id.Type())
		}
	}
	b.mu.Lock()
	b.friends = slices.Clone(ids)
	now := time.Now()
	for _, id := range ids {
		if id.Type() == identity.TypePeople {
			b.ownerLocked(id).due = now
		}
	}
	b.mu.Unlock()
	b.poke()
	return nil
}

// friendList returns the friends. The slice is not to be changed.
func (b *book) friendList() []identity.ID {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.friends
}

// newest returns the newest version seen of an owner's object, nil if there is
// none.
func (b *book) newest(id identity.ID) *identity.People {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.owners[id]; e != nil {
		return e.people
	}
	return nil
}

// member reports whether a device is a current member of the zone of an owner, by
// the newest version that the book holds.
func (b *book) member(id identity.ID, d *identity.Device) bool {
	return !id.IsZero() && d.Owner() == id && b.newest(id).Member(d, time.Now()) == nil
}

// inOwnZone reports whether a device is this one, or of the zone that this one
// is in.
func (b *book) inOwnZone(d *identity.Device) bool {
	local := b.local.Device()
	return d.ID() == local.ID() || b.member(b.own(), local) && b.member(b.own(), d)
}

// poke wakes the keeper.
func (b *book) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// SetOwner gives the stack a version of its owner's object that it may not know
// yet. A device that this revokes loses its sessions at once; the SNs are told. It
// fails with identity.ErrRolledBack if the stack holds a newer version, and with
// identity.ErrWrongID if it is of another owner.
func (s *Stack) SetOwner(p *identity.People) error {
	err := s.book.checkOwn(p)
	if err == nil {
		err = s.takeOwner(p)
	}
	if err != nil {
		return &OpError{Op: "set owner", Err: err}
	}
	return nil
}

// Owner returns the newest version that the stack has seen of the object of this
// device's owner; nil: none. It may have expired.
func (s *Stack) Owner() *identity.People { return s.book.newest(s.book.own()) }

// SetFriends replaces the friends of the configuration. Streams that are open
// stay so.
func (s *Stack) SetFriends(ids ...identity.ID) error {
	if err := s.book.setFriends(ids); err != nil {
		return &OpError{Op: "set friends", Err: err}
	}
	return nil
}

package bdt

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
)

// A book is what the stack knows of owners: its own, and who its friends are.
type book struct {
	local *noise.Local

	mu      sync.Mutex
	own     *identity.People // the newest version known of this device's owner; nil: not known
	friends []identity.ID    // not changed once it is here
}

// init makes the book of a device. It fails if the configuration names another's
// owner, or friends that nobody can be.
func (b *book) init(local *noise.Local, cfg Config) error {
	b.local = local
	if err := b.setFriends(cfg.Friends); err != nil {
		return err
	}
	if cfg.Owner == nil {
		return nil
	}
	return b.setOwn(cfg.Owner)
}

// setOwn takes over a version of this device's owner, unless it is older than
// the one held.
func (b *book) setOwn(p *identity.People) error {
	if owner := b.local.Device().Owner(); p.ID() != owner {
		return fmt.Errorf("%w: the owner's object is of %s, the device's owner is %s", identity.ErrWrongID, p.ID(), owner)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.own != nil {
		if err := identity.CheckSuccessor(b.own, p); err != nil {
			return err
		}
	}
	b.own = p
	return nil
}

// setFriends replaces the friends.
func (b *book) setFriends(ids []identity.ID) error {
	for _, id := range ids {
		if !isParty(id) {
			return fmt.Errorf("friend %s is of type %s, not a device or an owner", id, id.Type())
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.friends = slices.Clone(ids)
	return nil
}

// friendList returns the friends. The slice is not to be changed.
func (b *book) friendList() []identity.ID {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.friends
}

// newest returns the newest version known of an owner, nil if there is none.
func (b *book) newest(owner identity.ID) *identity.People {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.own != nil && b.own.ID() == owner {
		return b.own
	}
	return nil
}

// inOwnZone reports whether a device is this one, or of the zone that this one
// is in.
func (b *book) inOwnZone(d *identity.Device) bool {
	local := b.local.Device()
	if d.ID() == local.ID() {
		return true
	}
	owner := local.Owner()
	return !owner.IsZero() && d.Owner() == owner && b.member(owner, local) && b.member(owner, d)
}

// member reports whether a device is a current member of the zone of an owner.
func (b *book) member(owner identity.ID, d *identity.Device) bool {
	return d.Owner() == owner && b.newest(owner).Member(d, time.Now()) == nil
}

// SetOwner gives the stack a version of its owner's object that it may not know
// yet. It fails with identity.ErrRolledBack if the stack holds a newer one, and
// with identity.ErrWrongID if it is of another owner.
func (s *Stack) SetOwner(p *identity.People) error {
	if err := s.book.setOwn(p); err != nil {
		return &OpError{Op: "set owner", Err: err}
	}
	return nil
}

// Owner returns the newest version known of the object of this device's owner;
// nil: none.
func (s *Stack) Owner() *identity.People { return s.book.newest(s.Device().Owner()) }

// SetFriends replaces the friends of the configuration. Streams that are open
// stay so.
func (s *Stack) SetFriends(ids ...identity.ID) error {
	if err := s.book.setFriends(ids); err != nil {
		return &OpError{Op: "set friends", Err: err}
	}
	return nil
}

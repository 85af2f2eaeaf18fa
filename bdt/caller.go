package bdt

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// A Caller is a device that asks for a service, authenticated by its key, as the
// device that serves sees it. What its methods say is true of the moment they
// are called, and all of them fail closed. The zero value is nobody.
//
// A caller may claim to be of a zone whose owner's object is not at hand. Its
// methods then wait for super nodes to give it, 3 seconds at most.
type Caller struct {
	Device *identity.Device                 // nil: nobody
	stack  *Stack                           // that serves; nil: it knows nobody
	relied *atomic.Pointer[identity.People] // gets by what the device was found to be of its owner's zone; nil: not wanted
}

// caller is a device as this stack's policies see it.
func (s *Stack) caller(d *identity.Device) Caller { return Caller{Device: d, stack: s} }

// callerOf is the device at the other end of a session, which ends when what a
// policy has relied on is no longer so.
func (s *Stack) callerOf(ss *streams) Caller {
	return Caller{Device: ss.device, stack: s, relied: &ss.relied}
}

// InOwnZone reports whether the caller is this very device or a current
// member of its owner's zone, of which this device must be one, too. No owner's
// object, an expired one, or one of another owner make it false.
func (c Caller) InOwnZone() bool {
	if c.Device == nil || c.stack == nil {
		return false
	}
	own := c.stack.book.own()
	return c.Device.ID() == c.stack.ID() || c.MemberOf(own) && c.stack.book.member(own, c.stack.Device())
}

// IsFriend reports whether Config.Friends, or what [Stack.SetFriends] put in its
// place, names the caller, or the owner of whose zone it is a current member.
func (c Caller) IsFriend() bool {
	return c.stack != nil && c.isAnyOf(c.stack.book.friendList())
}

// MemberOf reports whether the caller is a current member of the zone of an owner,
// by the newest version of the owner's object that this device has seen.
func (c Caller) MemberOf(owner identity.ID) bool {
	if c.Device == nil || c.stack == nil || owner.IsZero() || c.Device.Owner() != owner {
		return false
	}
	c.stack.resolve(owner)
	p := c.stack.book.newest(owner)
	if p.Member(c.Device, time.Now()) != nil {
		return false
	}
	c.stack.book.rely(owner, time.Now())
	if c.relied != nil {
		c.relied.Store(p)
	}
	return true
}

// settle waits as the caller's methods do. A denial that comes after it has taken
// as long as any other.
func (c Caller) settle() { c.stack.resolve(c.Device.Owner()) }

// isAnyOf reports whether ids names the caller, or its owner.
func (c Caller) isAnyOf(ids []identity.ID) bool {
	if c.Device == nil {
		return false
	}
	if slices.Contains(ids, c.Device.ID()) {
		return true
	}
	owner := c.Device.Owner()
	return !owner.IsZero() && slices.Contains(ids, owner) && c.MemberOf(owner)
}

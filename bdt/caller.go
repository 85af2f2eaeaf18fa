package bdt

import (
	"slices"

	"github.com/bdtnet/bdt/identity"
)

// A Caller is a device that asks for a service, authenticated by its key, as the
// device that serves sees it. What its methods say is true of the moment they
// are called, and all of them fail closed. The zero value is nobody.
type Caller struct {
	Device *identity.Device // nil: nobody
	book   *book            // of the device that serves; nil: it knows nobody
}

// caller is a device as this stack's policies see it.
func (s *Stack) caller(d *identity.Device) Caller { return Caller{d, &s.book} }

// InOwnZone reports whether the caller is this very device or a current
// member of its owner's zone, of which this device must be one, too. No owner's
// object, an expired one, or one of another owner make it false.
func (c Caller) InOwnZone() bool {
	return c.Device != nil && c.book != nil && c.book.inOwnZone(c.Device)
}

// IsFriend reports whether Config.Friends, or what [Stack.SetFriends] put in its
// place, names the caller, or the owner of whose zone it is a current member.
func (c Caller) IsFriend() bool {
	return c.book != nil && c.isAnyOf(c.book.friendList())
}

// MemberOf reports whether the caller is a current member of the zone of an owner.
func (c Caller) MemberOf(owner identity.ID) bool {
	return c.Device != nil && c.book != nil && c.book.member(owner, c.Device)
}

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

package bdt

import (
	"slices"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// Access says which devices may use a service.
type Access func(Caller) bool

// A Caller is a device that asks for a service, authenticated by its key.
type Caller struct {
	Device *identity.Device
	local  *identity.Device
	owner  *identity.People
	now    time.Time
}

// InOwnZone reports whether the caller is this very device or a current
// member of its owner's zone. It fails closed: no owner's object, an expired
// one, or one of another owner make it false.
func (c Caller) InOwnZone() bool {
	if c.Device.ID() == c.local.ID() {
		return true
	}
	if c.owner == nil || c.local.Owner() != c.owner.ID() {
		return false
	}
	return c.owner.Member(c.local, c.now) == nil && c.owner.Member(c.Device, c.now) == nil
}

// Everyone admits every device.
func Everyone(Caller) bool { return true }

// OwnZone admits the devices of this device's owner. It is the default.
func OwnZone(c Caller) bool { return c.InOwnZone() }

// Only admits the devices named.
func Only(ids ...identity.ID) Access {
	ids = slices.Clone(ids)
	return func(c Caller) bool { return slices.Contains(ids, c.Device.ID()) }
}

package pn

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// Admission says who may have a server relay, and answers for it (spec §3). Whoever one
// of the fields admits is admitted; the zero Admission admits nobody.
type Admission struct {
	// Open admits every device.
	Open bool
	// Devices are admitted.
	Devices []identity.ID
	// Owners are those whose devices are admitted, by the newest of their objects that is
	// known: expired, it admits none.
	Owners []*identity.People
	// Tokens admits the subjects of tokens that the server's own key has signed.
	Tokens bool
	// TokenKeys are further keys whose tokens are good.
	TokenKeys []identity.SigningKey
}

// anybody reports whether there is anybody who might be admitted.
func (a *Admission) anybody() bool {
	return a.Open || a.Tokens || len(a.Devices)+len(a.Owners)+len(a.TokenKeys) > 0
}

// A gatekeeper decides who is admitted. It is immutable.
type gatekeeper struct {
	self    identity.ID
	open    bool
	devices map[identity.ID]bool
	owners  map[identity.ID]*identity.People
	keys    []identity.SigningKey
}

func newGatekeeper(self *identity.Device, a Admission) (*gatekeeper, error) {
	g := &gatekeeper{
		self:    self.ID(),
		open:    a.Open,
		devices: make(map[identity.ID]bool, len(a.Devices)),
		owners:  make(map[identity.ID]*identity.People, len(a.Owners)),
		keys:    slices.Clone(a.TokenKeys),
	}
	if a.Tokens {
		g.keys = append(g.keys, self.SigningKey())
	}
	for _, d := range a.Devices {
		if d.Type() != identity.TypeDevice {
			return nil, fmt.Errorf("%v is admitted as a device and is none", d)
		}
		g.devices[d] = true
	}
	for _, p := range a.Owners {
		if p == nil {
			return nil, errors.New("an owner who is admitted is missing")
		}
		if held := g.owners[p.ID()]; held == nil || held.Updated() < p.Updated() {
			g.owners[p.ID()] = p
		}
	}
	return g, nil
}

// keepNewer has the objects of owners that are listed be those of another gatekeeper where
// these are newer: an old file that was put back must not admit whom the owner has revoked since. It
// is called before the gatekeeper is used.
func (g *gatekeeper) keepNewer(was *gatekeeper) {
	for id, p := range g.owners {
		if held := was.owners[id]; held != nil && p.Updated() < held.Updated() {
			g.owners[id] = held
		}
	}
}

// A visitor is a device that asks to be admitted.
type visitor struct {
	id     identity.ID
	owner  identity.ID // as it claims
	device []byte      // its descriptor; empty if it has no owner
}

// cheap reports whether admit decides about a visitor without public-key
// cryptography.
func (g *gatekeeper) cheap(v visitor, token []byte) bool {
	return (g.open || g.devices[v.id] || len(token) == 0 || len(g.keys) == 0) && g.owners[v.owner] == nil
}

// admit reports whether a device may have the server relay, and returns the listed owner
// whose zone it belongs to, zero if there is none. What cannot be decided is refused.
func (g *gatekeeper) admit(v visitor, token []byte, now time.Time) (zone identity.ID, ok bool) {
	if g.member(v, now) {
		return v.owner, true
	}
	if g.open || g.devices[v.id] {
		return identity.ID{}, true
	}
	return identity.ID{}, len(token) > 0 && g.honours(v, token, now)
}

// member reports whether a device belongs to the zone of a listed owner.
func (g *gatekeeper) member(v visitor, now time.Time) bool {
	p := g.owners[v.owner]
	if p == nil {
		return false
	}
	d, err := identity.ParseDevice(v.device)
	return err == nil && d.ID() == v.id && p.Member(d, now) == nil
}

// honours reports whether a token is good, and the device's. One for an owner is a
// member's: those of listed owners have been let in before.
func (g *gatekeeper) honours(v visitor, token []byte, now time.Time) bool {
	t, err := wire.ParseRelayToken(token)
	switch {
	case err != nil,
		t.Subject != v.id,
		!t.PN.IsZero() && t.PN != g.self,
		now.Unix() < 0 || uint64(now.Unix()) >= t.Expires:
		return false
	}
	signed := t.Signed()
	return slices.ContainsFunc(g.keys, func(k identity.SigningKey) bool { return k.Verify(signed, t.Signature[:]) })
}

// NewToken returns a token that admits a device at a PN, or at all that trust the
// issuer if pn is zero, until a time. The serial is for the issuer's books.
func NewToken(issuer *identity.Secret, subject, pn identity.ID, expires time.Time, serial uint64) ([]byte, error) {
	switch {
	case subject.Type() != identity.TypeDevice:
		return nil, fmt.Errorf("pn: token: %v is no device", subject)
	case !pn.IsZero() && pn.Type() != identity.TypeDevice:
		return nil, fmt.Errorf("pn: token: %v is no proxy node", pn)
	case expires.Unix() <= 0:
		return nil, errors.New("pn: token: it has expired before 1970")
	}
	t := wire.RelayToken{Subject: subject, PN: pn, Expires: uint64(expires.Unix()), Serial: serial}
	copy(t.Signature[:], issuer.Sign(t.Signed()))
	return t.Append(nil), nil
}

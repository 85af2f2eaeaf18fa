package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"slices"
	"time"
)

// What a People object may hold (spec §4).
const (
	MaxPeopleSize = 64 << 10 // bytes, encoded and signed
	MaxOODs       = 16
	MaxRevoked    = 256
)

const signatureLen = ed25519.SignatureSize

// PeopleDesc is what is fixed about an owner for good, beside the key.
type PeopleDesc struct {
	Area     Area     // where the owner usually is; zero: not told
	UniqueID [16]byte // tells owners of one key apart; NewPeople replaces zero by random bytes
}

// PeopleBody is what an owner may change.
type PeopleBody struct {
	Updated    uint64 // the version: milliseconds since 1970, above all earlier versions'
	ValidUntil uint64 // milliseconds since 1970: from then on the object admits nobody to the zone
	Name       string // for people to read, at most MaxName bytes; proves nothing
	OODs       []ID   // the devices that answer for the owner, to be dialled in this order
	Revoked    []ID   // devices that are no longer of the zone, in any order
}

func (b PeopleBody) clone() PeopleBody {
	b.OODs = slices.Clone(b.OODs)
	b.Revoked = slices.Clone(b.Revoked)
	return b
}

// check reports the first field that breaks the rules of spec §4. Revoked must
// be sorted.
func (b PeopleBody) check() error {
	if err := checkTime("update time", b.Updated); err != nil {
		return err
	}
	if err := checkTime("validity", b.ValidUntil); err != nil {
		return err
	}
	if b.ValidUntil <= b.Updated {
		return fmt.Errorf("identity: valid until %d, before the update time %d: %w", b.ValidUntil, b.Updated, ErrMalformed)
	}
	if err := CheckName(b.Name); err != nil {
		return err
	}
	if err := checkDevices("OODs", b.OODs, MaxOODs); err != nil {
		return err
	}
	if err := checkDevices("revocations", b.Revoked, MaxRevoked); err != nil {
		return err
	}
	if !slices.IsSortedFunc(b.Revoked, ID.Compare) {
		return fmt.Errorf("identity: revocations are not ascending: %w", ErrNotCanonical)
	}
	for _, id := range b.OODs {
		if b.revokes(id) {
			return fmt.Errorf("identity: OOD %v is revoked: %w", id, ErrMalformed)
		}
	}
	return nil
}

func (b PeopleBody) revokes(id ID) bool {
	_, found := slices.BinarySearchFunc(b.Revoked, id, ID.Compare)
	return found
}

// checkDevices reports a list that is too long, repeats itself, or holds an id
// that is not a device's.
func checkDevices(what string, ids []ID, limit int) error {
	if err := checkList(what, ids, limit); err != nil {
		return err
	}
	for _, id := range ids {
		if !id.is(TypeDevice) {
			return fmt.Errorf("identity: %s list a %v, not a device: %w", what, id.Type(), ErrWrongType)
		}
	}
	return nil
}

// wirePeopleDesc is an owner's desc (spec §4). Field numbers are those of a
// device's desc.
type wirePeopleDesc struct {
	wireType
	SigningKey SigningKey `cbor:"2,keyasint"`
	Area       uint64     `cbor:"5,keyasint,omitzero"`
	UniqueID   [16]byte   `cbor:"6,keyasint"`
}

// wirePeopleBody is an owner's body (spec §4).
type wirePeopleBody struct {
	Updated    uint64 `cbor:"1,keyasint"`
	Name       string `cbor:"2,keyasint,omitempty"`
	ValidUntil uint64 `cbor:"3,keyasint"`
	OODs       []ID   `cbor:"4,keyasint,omitempty"`
	Revoked    []ID   `cbor:"5,keyasint,omitempty"`
}

// A People is the self-signed description of an owner of devices. It is
// immutable and safe for concurrent use.
type People struct {
	object
	sign SigningKey
	desc PeopleDesc
	body PeopleBody
}

// NewPeople makes and signs the owner that secret is the key of.
func NewPeople(secret *Secret, desc PeopleDesc, body PeopleBody) (*People, error) {
	if desc.UniqueID == [16]byte{} {
		rand.Read(desc.UniqueID[:])
	}
	p := &People{sign: secret.SigningKey(), desc: desc, body: body.clone()}
	slices.SortFunc(p.body.Revoked, ID.Compare)
	if err := p.check(); err != nil {
		return nil, err
	}
	env, err := sealObject(secret, MaxPeopleSize, wirePeopleDesc{
		wireType:   wireType{TypePeople},
		SigningKey: p.sign,
		Area:       desc.Area.pack(),
		UniqueID:   desc.UniqueID,
	}, wirePeopleBody{
		Updated:    p.body.Updated,
		Name:       p.body.Name,
		ValidUntil: p.body.ValidUntil,
		OODs:       p.body.OODs,
		Revoked:    p.body.Revoked,
	})
	if err != nil {
		return nil, fmt.Errorf("people: %w", err)
	}
	if p.object, err = env.verify(p.sign, TypePeople, desc.Area, body.Updated); err != nil {
		return nil, err
	}
	return p, nil
}

// ParsePeople parses an encoded owner and verifies all that can be known from
// it alone: size, canonical encoding, every field, the owner's signature. It
// does not look at the validity, since an expired object still tells whom to
// dial. The result shares no memory with b.
func ParsePeople(b []byte) (*People, error) {
	var desc wirePeopleDesc
	var body wirePeopleBody
	env, err := openObject(b, TypePeople, MaxPeopleSize, &desc, &body)
	if err != nil {
		return nil, err
	}
	area, err := unwireArea(desc.Area)
	if err != nil {
		return nil, err
	}
	p := &People{
		sign: desc.SigningKey,
		desc: PeopleDesc{Area: area, UniqueID: desc.UniqueID},
		body: PeopleBody{
			Updated:    body.Updated,
			ValidUntil: body.ValidUntil,
			Name:       body.Name,
			OODs:       body.OODs,
			Revoked:    body.Revoked,
		},
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.object, err = env.verify(p.sign, TypePeople, area, body.Updated); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *People) check() error {
	if p.sign == (SigningKey{}) {
		return fmt.Errorf("identity: people has an all-zero key: %w", ErrMalformed)
	}
	if err := p.desc.Area.check(); err != nil {
		return err
	}
	return p.body.check()
}

// Update returns the owner with a new body, signed by the owner's secret. It
// fails with ErrRolledBack unless body.Updated is above p's.
func (p *People) Update(secret *Secret, body PeopleBody) (*People, error) {
	if secret.SigningKey() != p.sign {
		return nil, fmt.Errorf("identity: update of %v: %w", p.id, ErrKeyMismatch)
	}
	if body.Updated <= p.updated {
		return nil, fmt.Errorf("identity: update of %v from time %d to %d: %w", p.id, p.updated, body.Updated, ErrRolledBack)
	}
	return NewPeople(secret, p.desc, body)
}

// SignMembership returns the owner's signature that makes d a member of its
// zone, for the device to Join with. The device must name p as its owner and
// not be revoked.
func (p *People) SignMembership(secret *Secret, d *Device) ([]byte, error) {
	switch {
	case secret.SigningKey() != p.sign:
		return nil, fmt.Errorf("identity: membership of %v in %v: %w", d.id, p.id, ErrKeyMismatch)
	case d.desc.Owner != p.id:
		return nil, fmt.Errorf("identity: membership of %v in %v: %w", d.id, p.id, ErrOwnerMismatch)
	case p.body.revokes(d.id):
		return nil, fmt.Errorf("identity: membership of %v in %v: %w", d.id, p.id, ErrRevoked)
	}
	return secret.Sign(membershipMessage(d)), nil
}

// membershipMessage returns what an owner signs: label and hash of the desc,
// which holds the owner's id (spec §6).
func membershipMessage(d *Device) []byte {
	return append([]byte(labelMembership), d.descHash[:]...)
}

// checkMembership reports why signature does not show that p owns d.
func (p *People) checkMembership(d *Device, signature []byte) error {
	var cause error
	switch {
	case d.desc.Owner != p.id:
		cause = ErrOwnerMismatch
	case len(signature) == 0:
		cause = ErrNoMembership
	case !p.sign.Verify(membershipMessage(d), signature):
		cause = ErrSignature
	default:
		return nil
	}
	return fmt.Errorf("identity: membership of %v in %v: %w", d.id, p.id, cause)
}

// Member reports why d is not a member of p's zone at the time now, or nil if it
// is one. It fails closed, with ErrOwnerMismatch, ErrNoMembership, ErrSignature,
// ErrExpired or ErrRevoked; p must be the newest version known. A nil p or d is
// nobody's owner or member.
func (p *People) Member(d *Device, now time.Time) error {
	if p == nil || d == nil {
		return fmt.Errorf("identity: membership without an owner or device: %w", ErrOwnerMismatch)
	}
	if key := d.verified.Load(); key == nil || *key != p.sign || d.desc.Owner != p.id {
		if err := p.checkMembership(d, d.membership); err != nil {
			return err
		}
		d.verified.Store(&p.sign)
	}
	if !now.Before(p.ValidUntil()) {
		return fmt.Errorf("identity: owner %v was valid until %v: %w", p.id, p.ValidUntil(), ErrExpired)
	}
	if p.body.revokes(d.id) {
		return fmt.Errorf("identity: device %v, owner %v: %w", d.id, p.id, ErrRevoked)
	}
	return nil
}

// NextUpdate returns the update time for a change made at now: the clock, or
// one above p's version if the clock is behind it.
func (p *People) NextUpdate(now time.Time) uint64 { return nextUpdate(p.updated, now) }

// SigningKey returns the owner's Ed25519 key.
func (p *People) SigningKey() SigningKey { return p.sign }

// Area returns the area, which is also in the id.
func (p *People) Area() Area { return p.desc.Area }

// Desc returns what is fixed about the owner.
func (p *People) Desc() PeopleDesc { return p.desc }

// Body returns a copy of what the owner may change.
func (p *People) Body() PeopleBody { return p.body.clone() }

// Name returns the name that the owner gives itself.
func (p *People) Name() string { return p.body.Name }

// OODs returns a copy of the devices that answer for the owner, in the order in
// which to dial them.
func (p *People) OODs() []ID { return slices.Clone(p.body.OODs) }

// Revoked reports whether the owner has revoked the device id.
func (p *People) Revoked(id ID) bool { return p.body.revokes(id) }

// ValidUntil returns the time from which on the object admits nobody.
func (p *People) ValidUntil() time.Time { return time.UnixMilli(int64(p.body.ValidUntil)).UTC() }

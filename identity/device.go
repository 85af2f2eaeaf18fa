package identity

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// What a Device may hold (spec §3). With its lists used as spec §7 reckons, it
// fits into a handshake packet beside everything else.
const (
	MaxDeviceSize      = 560 // bytes, encoded and signed
	MaxDeviceEndpoints = 4
	MaxDeviceSNs       = 3
	MaxDevicePNs       = 2
	MaxDeviceVersions  = 4
)

// DeviceDesc is what is fixed about a device for good, beside the keys: its id
// commits to it. To change any of it is to make a new device.
type DeviceDesc struct {
	Owner    ID       // of the People object the device belongs to; zero: none
	Area     Area     // where the device usually is; zero: not told
	UniqueID [16]byte // tells devices of one key apart; NewDevice replaces zero by random bytes
}

// DeviceBody is what a device may change about itself.
type DeviceBody struct {
	Updated   uint64           // the version: milliseconds since 1970, above all earlier versions'
	Name      string           // for people to read, at most MaxName bytes; proves nothing
	Endpoints []netip.AddrPort // where the device may be reached directly, best first
	SNs       []Ref            // the super nodes it registers with, best first
	PNs       []Ref            // the proxy nodes it offers, best first
	Versions  []uint16         // protocol versions it speaks, strictly ascending
}

// clone returns a body that shares no memory with b.
func (b DeviceBody) clone() DeviceBody {
	b.Endpoints = slices.Clone(b.Endpoints)
	b.SNs = slices.Clone(b.SNs)
	b.PNs = slices.Clone(b.PNs)
	b.Versions = slices.Clone(b.Versions)
	return b
}

// check reports the first field that breaks the rules of spec §3.
func (b DeviceBody) check() error {
	if err := checkTime("update time", b.Updated); err != nil {
		return err
	}
	if err := CheckName(b.Name); err != nil {
		return err
	}
	if err := checkEndpoints(b.Endpoints, MaxDeviceEndpoints); err != nil {
		return err
	}
	if err := checkRefs("super nodes", b.SNs, MaxDeviceSNs); err != nil {
		return err
	}
	if err := checkRefs("proxy nodes", b.PNs, MaxDevicePNs); err != nil {
		return err
	}
	if err := checkList("protocol versions", b.Versions, MaxDeviceVersions); err != nil {
		return err
	}
	if !slices.IsSorted(b.Versions) {
		return fmt.Errorf("identity: protocol versions are not ascending: %w", ErrNotCanonical)
	}
	return nil
}

// wireDeviceDesc is a device's desc (spec §3).
type wireDeviceDesc struct {
	wireType
	SigningKey SigningKey `cbor:"2,keyasint"`
	NoiseKey   NoiseKey   `cbor:"3,keyasint"`
	Owner      ID         `cbor:"4,keyasint,omitzero"`
	Area       uint64     `cbor:"5,keyasint,omitzero"`
	UniqueID   [16]byte   `cbor:"6,keyasint"`
}

// wireDeviceBody is a device's body (spec §3).
type wireDeviceBody struct {
	Updated    uint64    `cbor:"1,keyasint"`
	Name       string    `cbor:"2,keyasint,omitempty"`
	Endpoints  [][]byte  `cbor:"3,keyasint,omitempty"`
	SNs        []wireRef `cbor:"4,keyasint,omitempty"`
	PNs        []wireRef `cbor:"5,keyasint,omitempty"`
	Versions   []uint16  `cbor:"6,keyasint,omitempty"`
	Membership []byte    `cbor:"7,keyasint,omitempty"`
}

// A Device is the self-signed description of a device. It is immutable and safe
// for concurrent use.
type Device struct {
	object
	sign       SigningKey
	noise      NoiseKey
	desc       DeviceDesc
	body       DeviceBody
	membership []byte // the owner's signature over the desc; nil: none

	// verified is the owner's key under which the membership has been found to
	// verify; nil: none yet. It saves the check at every later question.
	verified atomic.Pointer[SigningKey]
}

// NewDevice makes and signs the device that secret is the key of.
func NewDevice(secret *Secret, desc DeviceDesc, body DeviceBody) (*Device, error) {
	if desc.UniqueID == [16]byte{} {
		rand.Read(desc.UniqueID[:])
	}
	return newDevice(secret, desc, body, nil)
}

func newDevice(secret *Secret, desc DeviceDesc, body DeviceBody, membership []byte) (*Device, error) {
	d := &Device{
		sign:       secret.SigningKey(),
		noise:      secret.NoiseKey(),
		desc:       desc,
		body:       body.clone(),
		membership: membership,
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	endpoints := make([][]byte, 0, len(body.Endpoints))
	for _, ap := range body.Endpoints {
		endpoints = append(endpoints, appendAddrPort(nil, ap))
	}
	env, err := sealObject(secret, MaxDeviceSize, wireDeviceDesc{
		wireType:   wireType{TypeDevice},
		SigningKey: d.sign,
		NoiseKey:   d.noise,
		Owner:      desc.Owner,
		Area:       desc.Area.pack(),
		UniqueID:   desc.UniqueID,
	}, wireDeviceBody{
		Updated:    body.Updated,
		Name:       body.Name,
		Endpoints:  endpoints,
		SNs:        wireRefs(body.SNs),
		PNs:        wireRefs(body.PNs),
		Versions:   body.Versions,
		Membership: membership,
	})
	if err != nil {
		return nil, fmt.Errorf("device: %w", err)
	}
	if d.object, err = env.verify(d.sign, TypeDevice, desc.Area, body.Updated); err != nil {
		return nil, err
	}
	return d, nil
}

// ParseDevice parses an encoded device and verifies all that can be known from
// it alone: size, canonical encoding, every field, the device's own signature.
// The caller compares the id with the one it wanted; the owner's signature is
// for People.Member to verify. The device shares no memory with b.
func ParseDevice(b []byte) (*Device, error) {
	var desc wireDeviceDesc
	var body wireDeviceBody
	env, err := openObject(b, TypeDevice, MaxDeviceSize, &desc, &body)
	if err != nil {
		return nil, err
	}
	area, err := unwireArea(desc.Area)
	if err != nil {
		return nil, err
	}
	var endpoints []netip.AddrPort
	for _, e := range body.Endpoints {
		ap, err := parseAddrPort(e)
		if err != nil {
			return nil, err
		}
		endpoints = append(endpoints, ap)
	}
	d := &Device{
		sign:  desc.SigningKey,
		noise: desc.NoiseKey,
		desc:  DeviceDesc{Owner: desc.Owner, Area: area, UniqueID: desc.UniqueID},
		body: DeviceBody{
			Updated:   body.Updated,
			Name:      body.Name,
			Endpoints: endpoints,
			SNs:       unwireRefs(body.SNs),
			PNs:       unwireRefs(body.PNs),
			Versions:  body.Versions,
		},
		membership: body.Membership,
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	if d.object, err = env.verify(d.sign, TypeDevice, area, body.Updated); err != nil {
		return nil, err
	}
	return d, nil
}

// check reports the first field that breaks the rules of spec §3.
func (d *Device) check() error {
	if d.sign == (SigningKey{}) || d.noise == (NoiseKey{}) {
		return fmt.Errorf("identity: device has an all-zero key: %w", ErrMalformed)
	}
	if o := d.desc.Owner; !o.IsZero() && !o.is(TypePeople) {
		return fmt.Errorf("identity: device's owner is a %v, not people: %w", o.Type(), ErrWrongType)
	}
	if n := len(d.membership); n != 0 && (n != signatureLen || d.desc.Owner.IsZero()) {
		return fmt.Errorf("identity: device has an owner's signature of %d bytes, owner %v: %w", n, d.desc.Owner, ErrMalformed)
	}
	if err := d.desc.Area.check(); err != nil {
		return err
	}
	return d.body.check()
}

// Update returns the device with a new body, signed by the device's secret. It
// fails with ErrRolledBack unless body.Updated is above d's, and keeps the
// owner's signature.
func (d *Device) Update(secret *Secret, body DeviceBody) (*Device, error) {
	return d.successor(secret, body, d.membership)
}

// Join returns the device as a member of owner's zone, at update time updated.
// signature is what owner's SignMembership returned for d.
func (d *Device) Join(secret *Secret, owner *People, signature []byte, updated uint64) (*Device, error) {
	if err := owner.checkMembership(d, signature); err != nil {
		return nil, err
	}
	body := d.body
	body.Updated = updated
	return d.successor(secret, body, bytes.Clone(signature))
}

func (d *Device) successor(secret *Secret, body DeviceBody, membership []byte) (*Device, error) {
	if secret.SigningKey() != d.sign {
		return nil, fmt.Errorf("identity: update of %v: %w", d.id, ErrKeyMismatch)
	}
	if body.Updated <= d.updated {
		return nil, fmt.Errorf("identity: update of %v from time %d to %d: %w", d.id, d.updated, body.Updated, ErrRolledBack)
	}
	return newDevice(secret, d.desc, body, membership)
}

// NextUpdate returns the update time for a change made at now: the clock, or
// one above d's version if the clock is behind it.
func (d *Device) NextUpdate(now time.Time) uint64 { return nextUpdate(d.updated, now) }

// SigningKey returns the device's Ed25519 key.
func (d *Device) SigningKey() SigningKey { return d.sign }

// NoiseKey returns the device's X25519 key.
func (d *Device) NoiseKey() NoiseKey { return d.noise }

// Owner returns the id of the People object that the device says it belongs to;
// zero: none. Only People.Member can tell whether the owner agrees.
func (d *Device) Owner() ID { return d.desc.Owner }

// Area returns the area, which is also in the id.
func (d *Device) Area() Area { return d.desc.Area }

// Desc returns what is fixed about the device.
func (d *Device) Desc() DeviceDesc { return d.desc }

// Body returns a copy of what the device may change.
func (d *Device) Body() DeviceBody { return d.body.clone() }

// Name returns the name that the device gives itself.
func (d *Device) Name() string { return d.body.Name }

// Endpoints returns a copy of the device's direct endpoints, best first.
func (d *Device) Endpoints() []netip.AddrPort { return slices.Clone(d.body.Endpoints) }

// SNs returns a copy of the device's super nodes, best first.
func (d *Device) SNs() []Ref { return slices.Clone(d.body.SNs) }

// PNs returns a copy of the device's proxy nodes, best first.
func (d *Device) PNs() []Ref { return slices.Clone(d.body.PNs) }

// Versions returns a copy of the protocol versions, ascending.
func (d *Device) Versions() []uint16 { return slices.Clone(d.body.Versions) }

package identity

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// The texts by which a device joins a zone whose owner's key is elsewhere (spec
// §11). People carry them from one machine to the other.
const (
	base64URL      = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	requestScheme  = "bdt-request:"
	approvalScheme = "bdt-approval:"

	// maxRequest bounds a request's text: 12 characters, and a device in base64.
	maxRequest = len(requestScheme) + (MaxDeviceSize*4+2)/3
	// maxApprovalBytes bounds what an approval holds: an owner, an id of 34 bytes, a
	// signature of 66, and the heads of list and owner.
	maxApprovalBytes = MaxPeopleSize + 34 + 66 + 6
	maxApproval      = len(approvalScheme) + (maxApprovalBytes*4+2)/3
)

// FormatRequest returns the text by which a device asks its owner to make it a
// member of the zone. It holds no secret; the device's signature shows that who
// asks holds its key.
func FormatRequest(d *Device) string {
	return requestScheme + base64.RawURLEncoding.EncodeToString(d.Bytes())
}

// ParseRequest reads what FormatRequest returns; white space in it, as of wrapped
// lines, does not matter. The device names an owner and has signed the request.
func ParseRequest(s string) (*Device, error) {
	raw, err := decodeText("request", requestScheme, s, maxRequest)
	if err != nil {
		return nil, err
	}
	d, err := ParseDevice(raw)
	if err != nil {
		return nil, err
	}
	if d.Owner().IsZero() {
		return nil, fmt.Errorf("identity: request of %v, which names no owner: %w", d.id, ErrOwnerMismatch)
	}
	return d, nil
}

// decodeText returns the bytes that follow a scheme in base64url.
func decodeText(what, scheme, s string, limit int) ([]byte, error) {
	s = strings.Join(strings.Fields(s), "")
	if len(s) > limit {
		return nil, fmt.Errorf("identity: %s of %d characters, at most %d: %w", what, len(s), limit, ErrTooLarge)
	}
	text, ok := strings.CutPrefix(s, scheme)
	if !ok {
		return nil, fmt.Errorf("identity: %s does not begin with %s: %w", what, scheme, ErrMalformed)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		// A text that was cut in the middle of a byte is made of the right characters.
		if strings.Trim(text, base64URL) == "" {
			return nil, fmt.Errorf("identity: %s: %w", what, ErrTruncated)
		}
		return nil, fmt.Errorf("identity: %s is not base64url: %w", what, ErrMalformed)
	}
	return raw, nil
}

// An Approval makes a device a member of a zone: the owner's answer to a request.
type Approval struct {
	Device     ID      // whose
	Membership []byte  // the owner's signature, for Device.Join
	Owner      *People // the newest version
}

// Approve makes a device, which names p as its owner and is not revoked, a member
// of p's zone.
func (p *People) Approve(secret *Secret, d *Device) (Approval, error) {
	signature, err := p.SignMembership(secret, d)
	if err != nil {
		return Approval{}, err
	}
	return Approval{d.ID(), signature, p}, nil
}

// wireApproval is an Approval as it travels.
type wireApproval struct {
	_          struct{} `cbor:",toarray"`
	Device     []byte
	Membership []byte
	Owner      []byte
}

// String returns the approval as text. It holds no secret.
func (a Approval) String() string {
	raw, err := cborEnc.Marshal(wireApproval{Device: a.Device[:], Membership: a.Membership, Owner: a.Owner.Bytes()})
	if err != nil {
		panic(err) // three byte strings
	}
	return approvalScheme + base64.RawURLEncoding.EncodeToString(raw)
}

// ParseApproval reads what Approval's String returns; white space in it does not
// matter. The owner has been verified; the membership is for Accept to verify.
func ParseApproval(s string) (Approval, error) {
	raw, err := decodeText("approval", approvalScheme, s, maxApproval)
	if err != nil {
		return Approval{}, err
	}
	var w wireApproval
	if err := decodeCanonical(cborDec, "approval", raw, &w); err != nil {
		return Approval{}, err
	}
	if len(w.Device) != len(ID{}) || len(w.Membership) != signatureLen {
		return Approval{}, fmt.Errorf("identity: approval with an id of %d bytes and a signature of %d: %w",
			len(w.Device), len(w.Membership), ErrMalformed)
	}
	a := Approval{Device: ID(w.Device), Membership: w.Membership}
	if a.Device.Type() != TypeDevice {
		return Approval{}, fmt.Errorf("identity: approval of %v: %w", a.Device, ErrWrongType)
	}
	if a.Owner, err = ParsePeople(w.Owner); err != nil {
		return Approval{}, err
	}
	return a, nil
}

// Accept returns the device as a member of the zone that an approval lets it in.
// It fails with ErrWrongID if the approval is another device's, and as
// People.Member does if it does not make a member of this one at the time now.
func (l *LocalDevice) Accept(a Approval, now time.Time) (*LocalDevice, error) {
	d := l.Device
	if a.Device != d.ID() {
		return nil, fmt.Errorf("identity: approval of %v, not of %v: %w", a.Device, d.ID(), ErrWrongID)
	}
	joined, err := d.Join(l.Secret, a.Owner, a.Membership, d.NextUpdate(now))
	if err != nil {
		return nil, err
	}
	if err := a.Owner.Member(joined, now); err != nil {
		return nil, err
	}
	return &LocalDevice{l.Secret, joined}, nil
}

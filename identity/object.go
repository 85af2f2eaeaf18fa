package identity

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// An Object is a named object whose signature has been verified: a *Device or a
// *People.
type Object interface {
	// ID returns the object's id.
	ID() ID
	// Updated returns the object's version: when its body was last changed, in
	// milliseconds since 1970. Of two versions the one with the higher wins.
	Updated() uint64
	// Bytes returns the signed encoding. The caller must not change it.
	Bytes() []byte
}

// ParseObject parses and verifies an encoded Device or People, whichever it is.
// Its errors are those of ParseDevice and ParsePeople.
func ParseObject(b []byte) (Object, error) {
	env, err := openEnvelope(b, MaxPeopleSize)
	if err != nil {
		return nil, err
	}
	switch t := env.typ; t {
	case TypeDevice:
		return ParseDevice(b)
	case TypePeople:
		return ParsePeople(b)
	default:
		return nil, fmt.Errorf("identity: object is a %v: %w", t, ErrWrongType)
	}
}

// CheckSuccessor reports why next must not replace held: ErrWrongID if it is
// another object, ErrRolledBack if it is older, or differs under the same
// update time. An identical copy is no error.
func CheckSuccessor[O Object](held, next O) error {
	switch {
	case held.ID() != next.ID():
		return fmt.Errorf("identity: %v offered in place of %v: %w", next.ID(), held.ID(), ErrWrongID)
	case next.Updated() < held.Updated():
		return fmt.Errorf("identity: %v of update time %d offered, %d held: %w",
			next.ID(), next.Updated(), held.Updated(), ErrRolledBack)
	case next.Updated() == held.Updated() && !bytes.Equal(next.Bytes(), held.Bytes()):
		return fmt.Errorf("identity: two versions of %v with update time %d: %w",
			next.ID(), next.Updated(), ErrRolledBack)
	}
	return nil
}

// maxTime bounds times, in milliseconds since 1970 (it lies in the year 10889),
// so that they convert to time.Time and every time encodes in 9 bytes at most.
const maxTime = 1<<48 - 1

// nextUpdate returns the update time for a change made at now to a version of
// time prev: later than prev even if the clock went backwards.
func nextUpdate(prev uint64, now time.Time) uint64 {
	return max(prev+1, uint64(max(1, now.UnixMilli())))
}

// Labels that open everything signed by an identity's key (spec §6).
const (
	labelObject     = "bdt v1 object\x00"
	labelMembership = "bdt v1 membership\x00"
)

// object is what a verified Device and People have in common.
type object struct {
	id       ID
	updated  uint64
	descHash [32]byte // SHA-256 of the desc
	raw      []byte
}

func (o *object) ID() ID          { return o.id }
func (o *object) Updated() uint64 { return o.updated }
func (o *object) Bytes() []byte   { return o.raw }

// String returns the type and the id, for logs.
func (o *object) String() string { return o.id.Type().String() + " " + o.id.String() }

// cborEnc writes the deterministic encoding of RFC 8949 §4.2.1. cborDec reads
// the subset of CBOR that it can produce, save for order and shortest form;
// those decodeCanonical checks by encoding again.
var cborEnc, cborDec = func() (cbor.EncMode, cbor.DecMode) {
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err) // the options are constants
	}
	dec, err := decOptions.DecMode()
	if err != nil {
		panic(err)
	}
	return enc, dec
}()

var decOptions = cbor.DecOptions{
	DupMapKey:         cbor.DupMapKeyEnforcedAPF,
	MaxNestedLevels:   4, // map, list, reference, address
	MaxArrayElements:  MaxRevoked,
	MaxMapPairs:       16,
	IndefLength:       cbor.IndefLengthForbidden,
	TagsMd:            cbor.TagsForbidden,
	ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
}

// cborPeek is cborDec that skips fields it does not know.
var cborPeek = func() cbor.DecMode {
	o := decOptions
	o.ExtraReturnErrors = cbor.ExtraDecErrorNone
	dec, err := o.DecMode()
	if err != nil {
		panic(err)
	}
	return dec
}()

// decodeCanonical decodes b into v, and refuses b unless it is the one
// deterministic encoding of v. what names the part of the object in errors.
func decodeCanonical(dec cbor.DecMode, what string, b []byte, v any) error {
	var trailing *cbor.ExtraneousDataError
	var elements *cbor.MaxArrayElementsError
	err := dec.Unmarshal(b, v)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("identity: %s: %w", what, ErrTruncated)
	case errors.As(err, &trailing):
		return fmt.Errorf("identity: %s has bytes after its end: %w", what, ErrNotCanonical)
	case errors.As(err, &elements):
		return fmt.Errorf("identity: %s: list of more than %d: %w", what, MaxRevoked, ErrTooLarge)
	default:
		return fmt.Errorf("identity: %s: %w: %v", what, ErrMalformed, err)
	}
	again, err := cborEnc.Marshal(v)
	if err != nil {
		return fmt.Errorf("identity: %s: %w: %v", what, ErrMalformed, err)
	}
	if !bytes.Equal(again, b) {
		return fmt.Errorf("identity: %s: %w", what, ErrNotCanonical)
	}
	return nil
}

// wireObject is a named object as it travels: [desc, body, signature]. Desc and
// body are byte strings that hold CBOR, so that what is hashed and signed is
// never encoded again on the way (spec §2).
type wireObject struct {
	_    struct{} `cbor:",toarray"`
	Desc []byte
	Body []byte
	Sig  []byte
}

// wireType is the field that every desc starts with.
type wireType struct {
	Type Type `cbor:"1,keyasint"`
}

// An envelope is an object whose outer structure has been checked, and nothing
// else.
type envelope struct {
	wireObject
	typ Type
	raw []byte // the caller's
}

// openEnvelope splits an object of at most limit bytes and peeks at its type.
func openEnvelope(b []byte, limit int) (envelope, error) {
	env := envelope{raw: b}
	if len(b) > limit {
		return env, fmt.Errorf("identity: object of %d bytes, at most %d: %w", len(b), limit, ErrTooLarge)
	}
	if err := decodeCanonical(cborDec, "object", b, &env.wireObject); err != nil {
		return env, err
	}
	var t wireType
	if err := cborPeek.Unmarshal(env.Desc, &t); err != nil {
		return env, fmt.Errorf("identity: desc: %w: %v", ErrMalformed, err)
	}
	env.typ = t.Type
	return env, nil
}

// openObject is openEnvelope for an object of type want, and decodes desc and
// body into the wire structures given. Neither values nor the signature are
// checked yet.
func openObject(b []byte, want Type, limit int, desc, body any) (envelope, error) {
	env, err := openEnvelope(b, limit)
	if err != nil {
		return env, fmt.Errorf("%v: %w", want, err)
	}
	if env.typ != want {
		return env, fmt.Errorf("identity: object is a %v, not a %v: %w", env.typ, want, ErrWrongType)
	}
	if err := decodeCanonical(cborDec, want.String()+" desc", env.Desc, desc); err != nil {
		return env, err
	}
	return env, decodeCanonical(cborDec, want.String()+" body", env.Body, body)
}

// sealObject encodes desc and body, which have been checked, and signs them.
func sealObject(secret *Secret, limit int, desc, body any) (envelope, error) {
	var env envelope
	var err error
	if env.Desc, err = cborEnc.Marshal(desc); err != nil {
		return env, fmt.Errorf("identity: encode desc: %w", err)
	}
	if env.Body, err = cborEnc.Marshal(body); err != nil {
		return env, fmt.Errorf("identity: encode body: %w", err)
	}
	env.Sig = secret.Sign(env.signed())
	if env.raw, err = cborEnc.Marshal(env.wireObject); err != nil {
		return env, fmt.Errorf("identity: encode object: %w", err)
	}
	if len(env.raw) > limit {
		return env, fmt.Errorf("identity: object of %d bytes, at most %d: %w", len(env.raw), limit, ErrTooLarge)
	}
	return env, nil
}

// signed returns what the object's signature covers: label, hash of the desc,
// body (spec §6).
func (e *envelope) signed() []byte {
	sum := sha256.Sum256(e.Desc)
	b := append([]byte(labelObject), sum[:]...)
	return append(b, e.Body...)
}

// verify checks the signature and returns the object's common part, which
// shares no memory with the envelope.
func (e *envelope) verify(key SigningKey, t Type, area Area, updated uint64) (object, error) {
	if !key.Verify(e.signed(), e.Sig) {
		return object{}, fmt.Errorf("identity: %v: %w", t, ErrSignature)
	}
	sum := sha256.Sum256(e.Desc)
	return object{
		id:       makeID(t, area.pack(), sum),
		updated:  updated,
		descHash: sum,
		raw:      bytes.Clone(e.raw),
	}, nil
}

// MaxName is the longest name of a device or person, in bytes.
const MaxName = 32

// CheckName reports a name that is too long or cannot be printed as it is: it
// reaches terminals and logs of people who did not choose it.
func CheckName(name string) error {
	if len(name) > MaxName {
		return fmt.Errorf("identity: name of %d bytes, at most %d: %w", len(name), MaxName, ErrTooLarge)
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("identity: name is not UTF-8: %w", ErrMalformed)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("identity: name %q holds an unprintable character: %w", name, ErrMalformed)
		}
	}
	return nil
}

// checkTime reports a time that is zero or out of range. what names the field.
func checkTime(what string, ms uint64) error {
	if ms == 0 || ms > maxTime {
		return fmt.Errorf("identity: %s %d is not in 1 to 2^48-1: %w", what, ms, ErrMalformed)
	}
	return nil
}

// unwireArea turns the area field of a desc into an Area.
func unwireArea(v uint64) (Area, error) {
	if v > areaMask {
		return Area{}, fmt.Errorf("identity: area of more than 34 bits: %w", ErrMalformed)
	}
	return unpackArea(v), nil
}

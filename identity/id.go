package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/mr-tron/base58"
)

// A Type says what kind of object an id names: 4 bits of the id (spec §1).
type Type uint8

// The object types. Numbers are never reused.
const (
	TypeDevice Type = 1
	TypePeople Type = 2
	TypeChunk  Type = 7
	TypeFile   Type = 8
	TypeDir    Type = 9
)

// String returns the type's name.
func (t Type) String() string {
	switch t {
	case TypeDevice:
		return "device"
	case TypePeople:
		return "people"
	case TypeChunk:
		return "chunk"
	case TypeFile:
		return "file"
	case TypeDir:
		return "dir"
	}
	return "type " + strconv.Itoa(int(t))
}

// IsContent reports whether objects of type t are content to fetch (chunk,
// file, dir) rather than somebody to dial.
func (t Type) IsContent() bool {
	return t == TypeChunk || t == TypeFile || t == TypeDir
}

// An Area says roughly where an object lives: 34 bits of its id (spec §1). The
// zero Area is unset. It is a hint for choosing near servers, proves nothing,
// and sits in the high bits so that near ids are close in XOR distance.
type Area struct {
	Country uint16 // 9 bits
	Carrier uint8  // 4 bits
	City    uint16 // 13 bits
	Inner   uint8  // 8 bits
}

// IsZero reports whether the area is unset.
func (a Area) IsZero() bool { return a == Area{} }

// String returns the area as country.carrier.city.inner.
func (a Area) String() string {
	return fmt.Sprintf("%d.%d.%d.%d", a.Country, a.Carrier, a.City, a.Inner)
}

// check reports fields that exceed their bits.
func (a Area) check() error {
	if unpackArea(a.pack()) != a {
		return fmt.Errorf("identity: area %v exceeds 511.15.8191.255: %w", a, ErrMalformed)
	}
	return nil
}

// pack returns the 34 bits. Bits beyond a field's width are cut off; check
// tells when there are any.
func (a Area) pack() uint64 {
	return uint64(a.Country&0x1ff)<<25 | uint64(a.Carrier&0xf)<<21 |
		uint64(a.City&0x1fff)<<8 | uint64(a.Inner)
}

// unpackArea is the inverse of pack. Bits above the 34th are ignored.
func unpackArea(v uint64) Area {
	return Area{
		Country: uint16(v >> 25 & 0x1ff),
		Carrier: uint8(v >> 21 & 0xf),
		City:    uint16(v >> 8 & 0x1fff),
		Inner:   uint8(v),
	}
}

const (
	categoryStandard = 1 // the only category in use; 2 bits

	areaMask = 1<<34 - 1

	// MaxChunkLen is the largest chunk an id can name, in bytes: its length
	// takes the place of the 34 area bits.
	MaxChunkLen = areaMask

	// idTextLen is the length of every standard id in base58. Its top bits are
	// 01, so its value lies in [2^254, 2^255), between 58^43 and 58^44.
	idTextLen = 44
)

// An ID names an object and commits to its content: 40 bits of header, then
// bytes 5 to 31 of a SHA-256 (spec §1). It is comparable and safe as a map key.
// The zero ID names nothing.
type ID [32]byte

// makeID joins the header, whose low 34 bits are given, and the hash.
func makeID(t Type, low34 uint64, sum [32]byte) ID {
	head := uint64(categoryStandard)<<38 | uint64(t&0xf)<<34 | low34
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], head)
	id := ID(sum)
	copy(id[:5], b[3:])
	return id
}

// NewID returns the id of the named object with the given desc. It fails if a
// field of the area exceeds its width.
func NewID(t Type, area Area, desc []byte) (ID, error) {
	if err := area.check(); err != nil {
		return ID{}, err
	}
	return makeID(t, area.pack(), sha256.Sum256(desc)), nil
}

// ChunkID returns the id of a chunk with the given content. It is the zero ID
// if content is longer than MaxChunkLen.
func ChunkID(content []byte) ID {
	return ChunkIDFromSum(sha256.Sum256(content), int64(len(content)))
}

// ChunkIDFromSum returns the id of a chunk of length n, in bytes, with the
// given SHA-256. It is the zero ID if no chunk can have that length.
func ChunkIDFromSum(sum [32]byte, n int64) ID {
	if n < 0 || n > MaxChunkLen {
		return ID{}
	}
	return makeID(TypeChunk, uint64(n), sum)
}

// ChunkLen returns the length in bytes that a chunk id states; ok is false if
// id is not a chunk's.
func ChunkLen(id ID) (n int64, ok bool) {
	if id.Type() != TypeChunk {
		return 0, false
	}
	return int64(id.head() & areaMask), true
}

// ParseID parses the base58 form of an id. The type may be one that this
// version does not know.
func ParseID(s string) (ID, error) {
	if len(s) != idTextLen {
		return ID{}, fmt.Errorf("identity: id of %d characters, not %d: %w", len(s), idTextLen, ErrMalformed)
	}
	b, err := base58.Decode(s)
	if err != nil {
		return ID{}, fmt.Errorf("identity: id %q is not base58: %w", s, ErrMalformed)
	}
	if len(b) != len(ID{}) || b[0]>>6 != categoryStandard {
		return ID{}, fmt.Errorf("identity: %q is base58 but not an id: %w", s, ErrMalformed)
	}
	return ID(b), nil
}

// head returns the 40-bit header.
func (id ID) head() uint64 {
	return uint64(id[0])<<32 | uint64(binary.BigEndian.Uint32(id[1:5]))
}

// Category returns the two topmost bits: 1 for every id but the zero one.
func (id ID) Category() uint8 { return id[0] >> 6 }

// Type returns the type of the object that id names.
func (id ID) Type() Type { return Type(id[0] >> 2 & 0xf) }

// Area returns the area of the object that id names. A chunk's id has none.
func (id ID) Area() Area {
	if id.Type() == TypeChunk {
		return Area{}
	}
	return unpackArea(id.head() & areaMask)
}

// is reports whether id is a valid id of type t.
func (id ID) is(t Type) bool { return id.Category() == categoryStandard && id.Type() == t }

// IsZero reports whether id names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// Compare orders ids as byte strings: negative if id is the lower.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// String returns the base58 form, or "none" for the zero ID.
func (id ID) String() string {
	if id.IsZero() {
		return "none"
	}
	return base58.Encode(id[:])
}

// Short returns the last 8 characters of the base58 form, for logs: all ids of
// one type and area share their first characters, and the last 8 hold 46 bits
// of the hash.
func (id ID) Short() string {
	s := id.String()
	return s[max(0, len(s)-8):]
}

// MarshalText returns the base58 form, empty for the zero ID.
func (id ID) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return []byte{}, nil
	}
	return []byte(id.String()), nil
}

// UnmarshalText parses what MarshalText returns.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = ID{}
		return nil
	}
	parsed, err := ParseID(string(b))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

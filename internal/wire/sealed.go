package wire

import "encoding/binary"

// SealedHeader is the start of a Sealed packet, and its associated data: its
// first SealedHeaderLen bytes (spec §2). Ciphertext and tag follow.
type SealedHeader struct {
	Epoch    uint16 // of the key (docs/spec/handshake.md §9)
	Receiver uint32 // receiver index at the other end
	Counter  uint64 // the nonce; never repeats
}

// Append appends the header to b.
func (m *SealedHeader) Append(b []byte) []byte {
	b = append(b, byte(TypeSealed), Version)
	b = appendUint16(b, m.Epoch)
	b = appendUint32(b, m.Receiver)
	return appendUint64(b, m.Counter)
}

// ParseSealedHeader parses the header of b, a whole Sealed packet: with
// ciphertext and tag, SealedOverhead bytes at least. It is on the path of every
// sealed packet, and its errors are those of [ControlType].
func ParseSealedHeader(b []byte) (SealedHeader, error) {
	t, err := ControlType(b)
	if err != nil {
		return SealedHeader{}, err
	}
	if t != TypeSealed {
		return SealedHeader{}, ErrType
	}
	return SealedHeader{
		Epoch:    binary.BigEndian.Uint16(b[2:]),
		Receiver: binary.BigEndian.Uint32(b[4:]),
		Counter:  binary.BigEndian.Uint64(b[8:]),
	}, nil
}

package wire

import "github.com/bdtnet/bdt/identity"

// Describe asks for the signed descriptor of an identity. It is padded to be no
// shorter than the answer, since nobody has proved anything yet (spec §2).
type Describe struct {
	Nonce [8]byte // returned in the answer
	ID    identity.ID
}

// Append appends the packet, DescribeLen bytes, to b.
func (m *Describe) Append(b []byte) []byte {
	start := len(b)
	b = appendHeader(b, TypeDescribe)
	b = append(b, m.Nonce[:]...)
	b = append(b, m.ID[:]...)
	return append(b, make([]byte, start+DescribeLen-len(b))...)
}

// ParseDescribe parses a packet of DescribeLen bytes or more. What the padding
// holds does not matter.
func ParseDescribe(b []byte) (Describe, error) {
	var m Describe
	r := readControl(b, TypeDescribe)
	copy(m.Nonce[:], r.take(8))
	m.ID = r.id()
	r.skip()
	return end(&r, m)
}

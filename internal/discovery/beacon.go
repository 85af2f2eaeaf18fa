package discovery

import (
	"crypto/rand"
	"crypto/subtle"
	"net/netip"

	"golang.org/x/crypto/blake2s"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// Where beacons are sent (spec §1).
var (
	Group4 = netip.MustParseAddrPort("239.255.66.68:26684")
	Group6 = netip.MustParseAddrPort("[ff12::4244:5401]:26684")
)

// label keeps the key of tags apart from others that are derived from an id.
const label = "bdt lan"

// A tagKey is BLAKE2s-256 of the label and an id (spec §2). It is no secret of the
// device: whoever knows the id can compute it.
type tagKey [32]byte

func newTagKey(id identity.ID) tagKey {
	return blake2s.Sum256(append([]byte(label), id[:]...))
}

// Where the tag of a beacon stands: behind the header and the nonce (wire.md §2).
const (
	tagAt  = 4 + 16
	tagEnd = tagAt + 16
)

// tag returns the tag of a beacon: BLAKE2s-128 of the packet with a tag of zeros.
func (k *tagKey) tag(b []byte) (t [16]byte) {
	h, err := blake2s.New128(k[:])
	if err != nil {
		panic(err) // only for a key longer than 32 bytes
	}
	var zeros [16]byte
	h.Write(b[:tagAt])
	h.Write(zeros[:])
	h.Write(b[tagEnd:])
	h.Sum(t[:0])
	return t
}

// made reports whether a beacon, which has been parsed, was made by somebody who
// knows the id.
func (k *tagKey) made(b []byte) bool {
	t := k.tag(b)
	return subtle.ConstantTimeCompare(t[:], b[tagAt:tagEnd]) == 1
}

// query returns a Query for the device whose key k is.
func (k *tagKey) query(addrs []netip.AddrPort) []byte {
	m := wire.Query{Addrs: addrs}
	rand.Read(m.Nonce[:]) // never fails
	b := m.Append(nil)
	m.Tag = k.tag(b)
	copy(b[tagAt:], m.Tag[:])
	return b
}

// announce returns an Announce of the device whose key k is.
func (k *tagKey) announce(addrs []netip.AddrPort) []byte {
	m := wire.Announce{Addrs: addrs}
	rand.Read(m.Nonce[:]) // never fails
	b := m.Append(nil)
	m.Tag = k.tag(b)
	copy(b[tagAt:], m.Tag[:])
	return b
}

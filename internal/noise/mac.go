package noise

import (
	"crypto/subtle"
	"hash"

	"golang.org/x/crypto/blake2s"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// Labels that keep the keys derived from an id apart (spec §2).
const (
	labelMAC1   = "bdt mac1"
	labelCookie = "bdt cookie"
)

const macLen = 16 // bytes of each mac, and of a cookie

// A macKey is BLAKE2s-256 of a label and an id (spec §2). It is no secret:
// whoever knows the id can compute it.
type macKey [32]byte

func newMACKey(label string, id identity.ID) macKey {
	return blake2s.Sum256(append([]byte(label), id[:]...))
}

// mac returns the BLAKE2s-128 of b, keyed with key (spec §2).
func mac(key, b []byte) (m [macLen]byte) {
	h, err := blake2s.New128(key)
	if err != nil {
		panic(err) // only for a key longer than 32 bytes
	}
	h.Write(b)
	h.Sum(m[:0])
	return m
}

// newHash returns BLAKE2s-256 for HKDF.
func newHash() hash.Hash {
	h, err := blake2s.New256(nil)
	if err != nil {
		panic(err) // only for a key longer than 32 bytes
	}
	return h
}

// An Initiation or Response of n bytes holds mac1 at n-32 and mac2 at n-16.
func mac1Offset(pkt []byte) int { return len(pkt) - wire.MACsLen }
func mac2Offset(pkt []byte) int { return len(pkt) - macLen }

// putMAC1 fills in mac1 of a packet to the receiver that key is of.
func putMAC1(pkt []byte, key macKey) {
	at := mac1Offset(pkt)
	m := mac(key[:], pkt[:at])
	copy(pkt[at:], m[:])
}

// putMAC2 fills in mac2 under a cookie.
func putMAC2(pkt []byte, cookie [macLen]byte) {
	at := mac2Offset(pkt)
	m := mac(cookie[:], pkt[:at])
	copy(pkt[at:], m[:])
}

// hasMAC1 reports whether mac1 of an Initiation or Response is right.
func hasMAC1(pkt []byte, key macKey) bool {
	at := mac1Offset(pkt)
	m := mac(key[:], pkt[:at])
	return subtle.ConstantTimeCompare(m[:], pkt[at:at+macLen]) == 1
}

// hasMAC2 reports whether mac2 of an Initiation is right.
func hasMAC2(pkt []byte, cookie [macLen]byte) bool {
	at := mac2Offset(pkt)
	m := mac(cookie[:], pkt[:at])
	return subtle.ConstantTimeCompare(m[:], pkt[at:]) == 1
}

// A Hash identifies an initiation on whatever route it comes: BLAKE2s-256 of the
// packet without its macs (spec §4).
type Hash [32]byte

// hashInitiation returns the hash of a well-formed initiation.
func hashInitiation(pkt []byte) Hash {
	return blake2s.Sum256(pkt[:mac1Offset(pkt)])
}

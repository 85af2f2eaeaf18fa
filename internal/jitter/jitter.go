// Package jitter is the random part of a wait, and other random numbers that decide
// when and where packets are sent. They come from crypto/rand, not because they are to
// be secret, but because a simulation can give that a seed: then they repeat.
package jitter

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
)

// N returns a random number in [0, n), such as a part of a time.Duration. It panics if n
// is not positive.
func N[T ~int | ~int64](n T) T {
	if n <= 0 {
		panic("jitter: n is not positive")
	}
	// The bias is below n / 2^64.
	hi, _ := bits.Mul64(Uint64(), uint64(n))
	return T(hi)
}

// Uint64 returns 64 random bits.
func Uint64() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// Package jitter is the random part of a wait, and other random numbers that decide
// when and where packets are sent. They repeat in a simulation that gives crypto/rand a
// seed: they come from there, or from who waits and when.
package jitter

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"time"
)

// Of returns the part of d, in [0, d), by which who, in all that names it, is to wait
// longer from now on. It is drawn from nothing but these: others, and goroutines that
// draw at the same instant, make no difference, and at another time it is another.
// d is positive.
func Of(d time.Duration, now time.Time, who ...[]byte) time.Duration {
	h := sha256.New()
	for _, b := range who {
		h.Write(b)
	}
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano())))
	return scale(binary.LittleEndian.Uint64(h.Sum(nil)), d)
}

// N returns a random number in [0, n), such as a part of a time.Duration. It panics if n
// is not positive.
func N[T ~int | ~int64](n T) T {
	return scale(Uint64(), n)
}

// scale maps 64 random bits to [0, n). The bias is below n / 2^64.
func scale[T ~int | ~int64](random uint64, n T) T {
	if n <= 0 {
		panic("jitter: n is not positive")
	}
	hi, _ := bits.Mul64(random, uint64(n))
	return T(hi)
}

// Uint64 returns 64 random bits.
func Uint64() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

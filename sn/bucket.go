package sn

import "time"

// A bucket is a token bucket in one number: the time, since the server's start,
// at which it will be full again. (That is the virtual scheduling form of the
// generic cell rate algorithm, ITU-T I.371.) The zero bucket is full.
type bucket time.Duration

// take takes a token from the bucket of rate r at time now, and reports whether
// there was one.
func (b *bucket) take(r Rate, now time.Duration) bool {
	if r.PerSecond < 0 {
		return true
	}
	token := time.Second / time.Duration(r.PerSecond)
	full := max(time.Duration(*b), now) + token
	if full-now > token*time.Duration(r.Burst) {
		return false
	}
	*b = bucket(full)
	return true
}

// full reports whether the bucket is as good as a new one.
func (b bucket) full(now time.Duration) bool { return time.Duration(b) <= now }

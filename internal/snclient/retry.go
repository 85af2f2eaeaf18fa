package snclient

import "time"

// A retry is the schedule of a packet that is sent until it is answered: at
// once, after first, and then after delays that double up to limit; for total
// in all. It reads no clock. The zero time stands for never.
type retry struct {
	first, limit, total time.Duration

	next  time.Time // when to send
	end   time.Time // when to give up
	delay time.Duration
	sent  int // packets since the start, or since there was a reason to hurry
}

// start begins anew, with the first packet due at now.
func (r *retry) start(now time.Time) {
	r.next, r.end, r.delay, r.sent = now, now.Add(r.total), r.first, 0
}

// stop ends it: the answer has come, or is no longer wanted.
func (r *retry) stop() { r.next, r.end = time.Time{}, time.Time{} }

// active reports whether it was started and has neither ended nor expired.
func (r *retry) active() bool { return !r.end.IsZero() }

// send reports whether a packet is due, and schedules the next.
func (r *retry) send(now time.Time) bool {
	if !r.active() || now.Before(r.next) || !now.Before(r.end) {
		return false
	}
	r.next = now.Add(r.delay)
	r.delay = min(2*r.delay, r.limit)
	r.sent++
	return true
}

// hurry makes a packet due at once, without changing the schedule after it. It is no
// repeat for want of an answer.
func (r *retry) hurry(now time.Time) {
	if r.active() {
		r.next, r.sent = now, 0
	}
}

// expired reports whether its time is up without an answer, and stops it then.
func (r *retry) expired(now time.Time) bool {
	if !r.active() || now.Before(r.end) {
		return false
	}
	r.stop()
	return true
}

// due returns when send or expired will be true next.
func (r *retry) due() time.Time { return earliest(r.next, r.end) }

// earliest returns the first of the given times, of which zero ones are never.
func earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

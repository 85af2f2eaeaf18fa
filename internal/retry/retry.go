// Package retry is the schedule of a packet that is sent until it is answered.
package retry

import "time"

// A Schedule is the schedule of a packet that is sent until it is answered: at
// once, after first, and then after delays that double up to limit; for total
// in all. It reads no clock. The zero time stands for never.
type Schedule struct {
	First, Limit, Total time.Duration

	next  time.Time // when to send
	end   time.Time // when to give up
	delay time.Duration
	Sent  int // packets since the start, or since there was a reason to hurry
}

// Start begins anew, with the first packet due at now.
func (r *Schedule) Start(now time.Time) {
	r.next, r.end, r.delay, r.Sent = now, now.Add(r.Total), r.First, 0
}

// Stop ends it: the answer has come, or is no longer wanted.
func (r *Schedule) Stop() { r.next, r.end = time.Time{}, time.Time{} }

// Active reports whether it was started and has neither ended nor expired.
func (r *Schedule) Active() bool { return !r.end.IsZero() }

// Send reports whether a packet is due, and schedules the next.
func (r *Schedule) Send(now time.Time) bool {
	if !r.Active() || now.Before(r.next) || !now.Before(r.end) {
		return false
	}
	r.next = now.Add(r.delay)
	r.delay = min(2*r.delay, r.Limit)
	r.Sent++
	return true
}

// Hurry makes a packet due at once, without changing the schedule after it. It is no
// repeat for want of an answer.
func (r *Schedule) Hurry(now time.Time) {
	if r.Active() {
		r.next, r.Sent = now, 0
	}
}

// Expired reports whether its time is up without an answer, and stops it then.
func (r *Schedule) Expired(now time.Time) bool {
	if !r.Active() || now.Before(r.end) {
		return false
	}
	r.Stop()
	return true
}

// Due returns when Send or Expired will be true next.
func (r *Schedule) Due() time.Time { return Earliest(r.next, r.end) }

// Earliest returns the first of the given times, of which zero ones are never.
func Earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

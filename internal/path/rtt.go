package path

import "time"

// rtt estimates the round-trip time of a path (RFC 9002 §5; a reply is never delayed,
// so there is no ack delay to take off).
type rtt struct {
	latest, min, smoothed, variance time.Duration
	known                           bool
}

func (r *rtt) add(sample time.Duration) {
	r.latest = sample
	if !r.known {
		r.known = true
		r.min, r.smoothed, r.variance = sample, sample, sample/2
		return
	}
	r.min = min(r.min, sample)
	r.variance = (3*r.variance + (r.smoothed - sample).Abs()) / 4
	r.smoothed = (7*r.smoothed + sample) / 8
}

// The waits of spec §6. With f(RTT) the sum silence + verdict, and half a RTT of
// packets that were still on their way when the path was cut,
//
//	RTT ≤ 320 ms: RTT/2 + 400 ms + max(1.25 RTT, RTT + 30 ms) ≤ 960 ms
//	RTT ≥ 320 ms: RTT/2 + 1.25 RTT + 1.25 RTT = 3 RTT
//
// stay within max(3 RTT, 1 s).

// silence is how long data may go unanswered before the path is suspect.
func (r *rtt) silence() time.Duration {
	d := max(r.smoothed+4*r.variance, 250*time.Millisecond)
	return min(d, max(r.smoothed*5/4, 400*time.Millisecond))
}

// verdict is how long a suspect path has to answer before another takes over. It is
// long enough for the answers to two probes: the first, and one a repeat later.
func (r *rtt) verdict() time.Duration {
	return max(r.smoothed*5/4, r.smoothed+30*time.Millisecond, 100*time.Millisecond)
}

// late is when a probe of a path that is in doubt is taken for lost, as far as sending
// some data again is concerned.
func (r *rtt) late() time.Duration { return max(r.smoothed*5/4, r.smoothed+5*time.Millisecond) }

// repeat is the time between the first two probes of a suspect path.
func (r *rtt) repeat() time.Duration { return max(r.smoothed/5, 25*time.Millisecond) }

// death is how long a suspect path has to answer if no other does.
func (r *rtt) death() time.Duration { return max(3*r.smoothed, time.Second) }

// step is the time between the further ones.
func (r *rtt) step() time.Duration { return max(r.smoothed/2, 50*time.Millisecond) }

// miss is when an answer to a keepalive probe is missing.
func (r *rtt) miss() time.Duration { return max(r.smoothed+4*r.variance, missMin) }

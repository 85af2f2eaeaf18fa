package pnclient

import (
	"sync"
	"time"
)

// How many Binds are sent: somewhat fewer than the 20 a second, 50 at once, that a PN takes of a
// session (spec §5), as packets bunch on their way. What it finds too many it refuses for good.
const (
	paceCost  = time.Second / 16
	paceBurst = 32
)

// A pacer is a token bucket of Binds: the time at which it is full. The zero pacer is full. It may
// be used concurrently.
type pacer struct {
	mu   sync.Mutex
	full time.Time
}

// take takes a token, and reports whether there was one.
func (p *pacer) take(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.nextLocked().After(now) {
		return false
	}
	if p.full.Before(now) {
		p.full = now
	}
	p.full = p.full.Add(paceCost)
	return true
}

// next returns from when on there is a token.
func (p *pacer) next() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nextLocked()
}

func (p *pacer) nextLocked() time.Time { return p.full.Add(-(paceBurst - 1) * paceCost) }

// reset fills it: the PN has a new session for us.
func (p *pacer) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full = time.Time{}
}

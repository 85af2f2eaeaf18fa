package main

import (
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/daemon"
)

const (
	// drainLimit bounds the wait for what was written to be acknowledged.
	drainLimit = 5 * time.Second
	// drainQuiet, beyond 3 round trips, is how long a session must have sent nothing
	// to be taken to have nothing outstanding: it would have sent that again by then
	// (RFC 9002 §6.2.1: a round trip, four times its variation, and 25 ms).
	drainQuiet = 150 * time.Millisecond
	drainEvery = 10 * time.Millisecond
)

// drain waits until a device of this process has delivered what was written to its
// streams: closing it closes the sessions, and what is on the way then is lost. A
// device that another process runs goes on by itself.
func drain(d daemon.Device) {
	if h, ok := d.(*here); ok {
		drainSessions(h.Stack().Peers, drainLimit)
	}
}

// drainSessions waits until no session has sent anything for a while, or for limit.
func drainSessions(peers func() []bdt.PeerStatus, limit time.Duration) {
	start := time.Now()
	sent, since, need := uint64(0), start, drainQuiet
	for {
		var now uint64
		need = drainQuiet
		connected := false
		for _, p := range peers() {
			if p.State == "connected" {
				connected = true
				now += p.BytesSent
				need = max(need, drainQuiet+3*p.SessionRTT)
			}
		}
		if now != sent {
			sent, since = now, time.Now()
		}
		if !connected || time.Since(since) >= need || time.Since(start) >= limit {
			return
		}
		time.Sleep(drainEvery)
	}
}

package main

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/bdt"
)

// A session is drained when it has been quiet for long enough, is over, or time is up.
func TestDrain(t *testing.T) {
	for _, tc := range []struct {
		name string
		peer func(since time.Duration) bdt.PeerStatus
		want time.Duration
	}{
		{"nothing to do", func(time.Duration) bdt.PeerStatus { return bdt.PeerStatus{State: "idle"} }, 0},
		{"quiet", func(time.Duration) bdt.PeerStatus { return bdt.PeerStatus{State: "connected"} }, drainQuiet},
		{"far", func(time.Duration) bdt.PeerStatus {
			return bdt.PeerStatus{State: "connected", SessionRTT: 100 * time.Millisecond}
		}, drainQuiet + 300*time.Millisecond},
		{"sends for a second", func(since time.Duration) bdt.PeerStatus {
			return bdt.PeerStatus{State: "connected", BytesSent: uint64(min(since, time.Second))}
		}, time.Second + drainQuiet},
		{"sends for ever", func(since time.Duration) bdt.PeerStatus {
			return bdt.PeerStatus{State: "connected", BytesSent: uint64(since)}
		}, drainLimit},
		{"the peer ends it", func(since time.Duration) bdt.PeerStatus {
			if since > time.Second {
				return bdt.PeerStatus{State: "idle"}
			}
			return bdt.PeerStatus{State: "connected", BytesSent: uint64(since)}
		}, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				drainSessions(func() []bdt.PeerStatus { return []bdt.PeerStatus{tc.peer(time.Since(start))} }, drainLimit)
				if got := time.Since(start); got < tc.want || got > tc.want+2*drainEvery {
					t.Errorf("waited %v, want %v", got, tc.want)
				}
			})
		})
	}
}

package bdt

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/bdtnet/bdt/internal/peer"
)

const (
	// shutdownQuiet, beyond 3 round trips, is how long a session must have sent
	// nothing to be taken to have nothing outstanding: it would have sent that again
	// by then, and once more (RFC 9002 §6.2.1: a round trip, four times its
	// variation, and 25 ms; then twice that).
	shutdownQuiet = 150 * time.Millisecond
	// shutdownPoll is how often the sessions are looked at.
	shutdownPoll = 10 * time.Millisecond
)

// Shutdown closes the stack as [Stack.Close] does, but first lets arrive what was
// written: it closes the listeners, waits until no session has sent anything for
// longer than it would take to repeat what is lost, and then closes. Streams go on
// meanwhile, and a peer can keep its session busy for as long as it likes: ctx should
// end. Its error is then returned, and the stack is closed all the same.
//
// What has arrived may be read at the other end for 5 s more. The engine does not tell
// what has been acknowledged: on a path that loses several repeats of a packet in a
// row the end of a stream can still be lost. An application that must know has the
// peer answer.
func (s *Stack) Shutdown(ctx context.Context) error {
	s.closeListeners()
	err := s.waitQuiet(ctx)
	s.close.Do(func() { s.shutDown((*peer.Peer).Leave) })
	if err != nil {
		return &OpError{Op: "shut down", Err: err}
	}
	return nil
}

// closeListeners closes all listeners that there are now.
func (s *Stack) closeListeners() {
	s.mu.Lock()
	listeners := slices.Collect(maps.Values(s.listeners))
	datagrams := slices.Collect(maps.Values(s.datagrams))
	s.mu.Unlock()
	for _, l := range listeners {
		l.Close()
	}
	for _, l := range datagrams {
		l.Close()
	}
}

// waitQuiet waits until every session is over or has been quiet for long enough.
func (s *Stack) waitQuiet(ctx context.Context) error {
	ticker := time.NewTicker(shutdownPoll)
	defer ticker.Stop()
	sent, since := uint64(0), time.Now()
	for {
		now, quiet := s.outgoing()
		if now != sent {
			sent, since = now, time.Now()
		}
		if quiet == 0 || time.Since(since) >= quiet {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done(): // somebody else has closed the stack
			return nil
		}
	}
}

// outgoing returns how much the sessions have sent, and for how long they have to be
// quiet; 0 if there are none.
func (s *Stack) outgoing() (sent uint64, quiet time.Duration) {
	s.mu.Lock()
	sessions := slices.Collect(maps.Keys(s.sessions))
	s.mu.Unlock()
	for _, session := range sessions {
		st := session.Stats()
		sent += st.BytesSent
		quiet = max(quiet, shutdownQuiet+3*st.SmoothedRTT)
	}
	return sent, quiet
}

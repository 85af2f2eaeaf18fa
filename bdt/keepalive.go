package bdt

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/internal/jitter"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/stun"
)

const (
	// startKeepAlive is the time between keepalives until more is known; NATs that keep a
	// UDP mapping for 30 s are common.
	startKeepAlive = 25 * time.Second
	// minKeepAlive and maxKeepAlive bound what is learned.
	minKeepAlive = 10 * time.Second
	maxKeepAlive = 120 * time.Second
	// leastKeepAlive is the least that may be configured.
	leastKeepAlive = time.Second
	// learnDelay is how long a network has to have been there, and up to twice that,
	// before it is asked how long it keeps mappings; and learnEvery how old an answer may be.
	learnDelay = 10 * time.Second
	learnEvery = 24 * time.Hour
	// learnAgain is the same after a mapping was seen to change.
	learnAgain = 10 * time.Minute
	// trialRetry is the wait for an answer in a trial, and trialTries how often is asked.
	trialRetry = 700 * time.Millisecond
	trialTries = 3
)

// trials are the times for which mappings are left alone to see whether the NAT keeps
// them. Of the longest that it does four fifths are used.
var trials = [...]time.Duration{
	15 * time.Second, 20 * time.Second, 30 * time.Second, 45 * time.Second,
	60 * time.Second, 90 * time.Second, 120 * time.Second, 150 * time.Second,
}

// A learner finds out how often something must be sent to keep the NAT's mappings
// (docs/spec/path.md §9).
type learner struct {
	stack   *Stack
	learned atomic.Int64 // nanoseconds; 0: nothing
	again   chan struct{}

	mu      sync.Mutex
	cancel  context.CancelFunc // of the trials under way
	due     time.Time          // when the next begin
	changed time.Time          // when the network did
}

func (l *learner) init(s *Stack) {
	l.stack, l.again, l.due = s, make(chan struct{}, 1), s.soon()
}

// soon returns a time at which the network, if it stays, may be asked. Devices that
// came together do not ask together.
func (s *Stack) soon() time.Time {
	now, id := time.Now(), s.ID()
	return now.Add(learnDelay + jitter.Of(learnDelay, now, id[:]))
}

// KeepAlive returns the time between the packets that keep this device's mappings at its
// NAT: as configured, or as learned.
func (s *Stack) KeepAlive() time.Duration {
	if d := s.keepAlive(); d > 0 {
		return d
	}
	return startKeepAlive
}

// keepAlive is KeepAlive, 0 if nothing is known.
func (s *Stack) keepAlive() time.Duration {
	if s.cfg.KeepAlive > 0 {
		return s.cfg.KeepAlive
	}
	return time.Duration(s.learner.learned.Load())
}

// KeepAlive implements peer.Host.
func (h host) KeepAlive() time.Duration { return h.Stack.KeepAlive() }

// run learns until the stack is closed.
func (l *learner) run() {
	s := l.stack
	for s.ctx.Err() == nil {
		l.mu.Lock()
		wait := time.Until(l.due)
		l.mu.Unlock()
		select {
		case <-time.After(wait):
		case <-l.again:
			continue // due has changed
		case <-s.ctx.Done():
			return
		}
		if !s.Online() {
			l.postpone(l.stack.soon())
			continue
		}
		ctx, cancel := context.WithCancel(s.ctx)
		l.mu.Lock()
		l.cancel, l.due = cancel, time.Now().Add(learnEvery)
		l.mu.Unlock()
		l.learn(ctx)
		cancel()
	}
}

// postpone has the next trials begin at another time.
func (l *learner) postpone(to time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due = to
	nudge(l.again)
}

// networkChanged forgets what was learned of another network.
func (l *learner) networkChanged() {
	if l.stack.cfg.KeepAlive > 0 {
		return
	}
	l.set(0)
	l.mu.Lock()
	l.changed = time.Now()
	if l.cancel != nil {
		l.cancel()
	}
	l.mu.Unlock()
	l.postpone(l.stack.soon())
}

// mappingMoved takes word that a mapping has changed though the network has not. If the NAT
// forgot it for want of packets, there should be more.
func (l *learner) mappingMoved() {
	l.mu.Lock()
	expected := time.Since(l.changed) < learnDelay
	l.mu.Unlock()
	if expected || l.stack.cfg.KeepAlive > 0 {
		return
	}
	l.set(max(minKeepAlive, l.stack.KeepAlive()/2))
	l.postpone(time.Now().Add(learnAgain))
}

// set changes the interval and tells the peers; the others ask.
func (l *learner) set(d time.Duration) {
	if old := l.learned.Swap(int64(d)); old == int64(d) {
		return
	}
	s := l.stack
	s.log.Debug("keepalive interval", "every", s.KeepAlive())
	for _, p := range s.allPeers() {
		p.KeepAliveChanged()
	}
}

// learn tries how long mappings live, all times at once, and takes the longest up to the
// first at which one is gone.
func (l *learner) learn(ctx context.Context) {
	sock, server := l.pick(ctx)
	if sock == nil {
		return // no SN answers to another port: changes of mappings are all that tells
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	var alive [len(trials)]chan bool
	for i, idle := range trials {
		alive[i] = make(chan bool, 1)
		running.Go(func() { alive[i] <- l.trial(ctx, sock, server, idle) })
	}
	longest := time.Duration(0)
	for i, idle := range trials {
		kept := <-alive[i]
		if ctx.Err() != nil {
			return
		}
		if !kept {
			if l.trial(ctx, sock, server, 0) && ctx.Err() == nil { // else the SN has not answered
				l.set(max(minKeepAlive, longest*4/5))
			}
			return
		}
		if longest = idle; longest*4/5 > l.stack.KeepAlive() {
			l.set(min(longest*4/5, maxKeepAlive))
		}
	}
}

// pick returns a socket of the stack and the address of an SN that answers to
// another port of the device's; nil if there are none.
func (l *learner) pick(ctx context.Context) (*socket.Socket, netip.AddrPort) {
	for _, server := range l.stack.mapper.servers(ctx) {
		for _, sock := range l.stack.sockets {
			if sock.LocalAddr().Addr().Is4() == server.Addr().Is4() && l.trial(ctx, sock, server, 0) {
				return sock, server
			}
		}
	}
	return nil, netip.AddrPort{}
}

// trial opens a mapping of a fresh socket at a server, leaves it alone for a time, and
// reports whether the server still reaches the socket by it: another socket asks for
// that (RFC 5780 §4.6).
func (l *learner) trial(ctx context.Context, other *socket.Socket, server netip.AddrPort, idle time.Duration) bool {
	h, m := host{l.stack}, &l.stack.mapper
	sock, release, err := h.openFresh(server)
	if err != nil {
		return false
	}
	defer release()
	asking, cancel := context.WithTimeout(ctx, trialTries*trialRetry)
	mapped, err := m.probeAt(asking, sock, []netip.AddrPort{server})
	cancel()
	if err != nil {
		return false
	}
	select {
	case <-time.After(idle):
	case <-ctx.Done():
		return false
	}
	answer, stop := m.expect(sock)
	defer stop()
	for range trialTries {
		id := m.expectID(question{sock, server})
		_ = other.Send(server, stun.AppendQuery(nil, id, stun.Query{ResponsePort: mapped.Port()}))
		select {
		case <-answer:
			return true
		case <-time.After(trialRetry):
		case <-ctx.Done():
			return false
		}
	}
	return false
}

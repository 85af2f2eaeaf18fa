package peer

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/wire"
)

// A route is where engine packets go now. It is immutable.
type route struct {
	link Link
	addr netip.AddrPort
}

// A lane is the data plane of one session: between the session engine's port
// and whatever path is current. Its methods run on engine and socket
// goroutines and take no lock.
type lane struct {
	port  session.Port
	route atomic.Pointer[route] // nil until a path may carry data

	// Times of the last packet in either direction, in nanoseconds of the
	// lane's own clock (see now). The owner polls them while idle is false.
	sent, received atomic.Int64
	open           atomic.Bool // the session is: see Deliver
	idle           atomic.Bool // nobody polls: the next packet sent calls wake
	ended          atomic.Bool // no route may lead here any more
	wake           func()      // posts to the owner; does not block
	hinted         func(wire.Hint) bool
	epoch          time.Time             // zero of the clock, with its monotonic reading
	tooLong        atomic.Pointer[route] // where the local network refused packets for their length; nil: nowhere, or the owner knows
	dropped        atomic.Uint64         // packets written while there was no route, or that the link refused
}

func newLane(wake func(), hinted func(wire.Hint) bool, now time.Time) *lane {
	l := &lane{wake: wake, hinted: hinted, epoch: now}
	l.idle.Store(true)
	return l
}

// HandleHint takes a hint that came from a place whose packets come here: see
// [Peer.HandleHint].
func (l *lane) HandleHint(m wire.Hint) bool { return l.hinted(m) }

func (l *lane) now() int64 { return int64(time.Since(l.epoch)) + 1 }

// at turns one of the lane's times into a time; zero for never.
func (l *lane) at(t int64) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return l.epoch.Add(time.Duration(t - 1))
}

// begin has engine packets go to src if there is no route yet. The engine may
// answer the packet behind the one that opened before the owner has seen either.
func (l *lane) begin(src source) {
	if l.route.Load() == nil {
		l.route.CompareAndSwap(nil, &route{src.link, src.addr})
	}
}

// WritePackets implements session.Carrier.
func (l *lane) WritePackets(b []byte, segmentSize int, ecn uint8) {
	r := l.route.Load()
	if r == nil {
		l.dropped.Add(1)
		return
	}
	if err := r.link.SendRun(r.addr, b, segmentSize, ecn); err != nil {
		l.dropped.Add(1)
		if errors.Is(err, syscall.EMSGSIZE) {
			l.tooLong.Store(r)
		}
	}
	l.sent.Store(l.now())
	if l.idle.Load() && l.idle.CompareAndSwap(true, false) {
		l.wake()
	}
}

// Deliver implements the socket's sink: packets that came from a routed source.
//
// What begins a session is not for one that is open. When the peer has lost it, the
// first packet of the next one may come ahead of the word of that; the engine would
// refuse it, and the peer give up what it had just begun.
func (l *lane) Deliver(b []byte, segmentSize int, ecn uint8) {
	if l.open.Load() && session.Begins(b, segmentSize) {
		return
	}
	l.received.Store(l.now())
	l.port.Deliver(b, segmentSize, ecn)
}

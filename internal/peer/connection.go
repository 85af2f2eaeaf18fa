package peer

import (
	"context"
	"fmt"
	"time"

	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/session"
)

const (
	// sessionStart bounds the engine's own handshake. It begins when a path has
	// carried a packet, so it takes a few round trips.
	sessionStart = 10 * time.Second
	// leaveGrace is for how long what a peer sent may be read after it has left.
	leaveGrace = 5 * time.Second
	// leaveCopies of the word that we leave are sent: nobody would repeat it.
	leaveCopies = 3
)

// start has the engine open the session, once.
func (p *Peer) start(now time.Time, c *connection) {
	if c.started || c.ended {
		return
	}
	c.started = true
	p.workers.Go(func() {
		ctx, cancel := context.WithTimeout(p.ctx, sessionStart)
		defer cancel()
		open := c.lane.port.Accept
		if c.client {
			open = c.lane.port.Dial
		}
		s, err := open(ctx)
		if !p.ask(p.ctx, func(now time.Time) { p.onStarted(now, c, s, err) }) && s != nil {
			s.Close(0, "closed")
		}
	})
}

// onStarted takes the engine's session, which has authenticated the peer a
// second time and may be ahead of the packet that confirms the keys.
func (p *Peer) onStarted(now time.Time, c *connection, s session.Session, err error) {
	if ch := p.tentative; err == nil && ch != nil && ch.conn == c {
		p.confirm(now, ch)
	}
	if p.current == nil || p.current.conn != c {
		if s != nil {
			s.Close(0, "superseded")
		}
		p.endConnection(c, errSessionOver)
		return
	}
	if err != nil {
		p.note(now, "the session did not start: "+err.Error())
		p.dropCurrent(now, fmt.Errorf("starting the session: %w", err))
		return
	}
	c.session = s
	c.lane.open.Store(true)
	p.live.Store(c)
	p.note(now, "session open")
	p.betterTries = 0
	if !p.relayed() {
		p.unmet = 0
	}
	p.finishAttempt(now)
	p.cfg.Host.SessionStarted(p, c.device, s)
	p.workers.Go(func() {
		select {
		case <-s.Done():
			p.ask(p.ctx, func(now time.Time) { p.onEnded(now, c) })
		case <-p.ctx.Done():
		}
	})
}

// onEnded notices that the engine's session is over.
func (p *Peer) onEnded(now time.Time, c *connection) {
	if p.current != nil && p.current.conn == c {
		p.dropCurrent(now, c.session.Err())
	}
}

// dropCurrent ends the current session and its keys.
func (p *Peer) dropCurrent(now time.Time, cause error) {
	ch := p.current
	if ch == nil {
		return
	}
	p.current = nil
	p.exchange.Drop()
	p.endConnection(ch.conn, cause)
	p.syncChannels()
	p.setStage(now)
	p.callAgain(now)
}

// setStage tells the paths what there is to send.
func (p *Peer) setStage(now time.Time) {
	switch {
	case p.current != nil:
		p.paths.SetStage(now, path.Sealed)
	case p.tentative != nil:
		p.paths.SetStage(now, path.Answering)
	case p.exchange.Pending():
		p.paths.SetStage(now, path.Calling)
	default:
		p.paths.SetStage(now, path.Waiting)
	}
}

// endConnection ends a session. Its streams fail with cause.
func (p *Peer) endConnection(c *connection, cause error) {
	if c.ended {
		return
	}
	c.ended = true
	p.live.CompareAndSwap(c, nil)
	if e := p.expected.Load(); e != nil {
		e.early.forget(c.lane)
	}
	c.lane.ended.Store(true)
	p.routes.remove(c.lane)
	if c.session != nil {
		p.cfg.Host.SessionEnded(p, c.session, cause)
		if !c.silent {
			c.session.Close(0, "")
		}
	}
	c.lane.port.Close()
}

// syncChannels drops the channels whose keys the exchange has let go.
func (p *Peer) syncChannels() {
	for index, ch := range p.channels.all() {
		if p.exchange.Association(index) == ch.assoc {
			continue
		}
		p.channels.remove(index)
		if ch == p.tentative {
			p.tentative, p.response = nil, nil
		}
		if p.current == nil || p.current.conn != ch.conn {
			p.endConnection(ch.conn, ErrUnreachable)
		}
	}
}

// expire lets go of what has had its time.
func (p *Peer) expire(now time.Time) {
	e := p.exchange.Expire(now)
	p.syncChannels()
	if e.Pending {
		p.dropEarly()
	}
	if e.Pending || e.Tentative {
		p.setStage(now)
	}
}

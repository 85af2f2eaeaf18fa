package session

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"
)

// maxHandshakes is how many incoming handshakes a port has under way. One is
// the peer's; the others leave it a chance when somebody on the path injects
// first packets, which anybody can make.
const maxHandshakes = 4

// A portState is where a port is in its one session.
type portState uint8

const (
	// portIdle: nothing was asked of the port, and connections are welcome.
	// Dial leads to portDialing, Accept to portAccepting, a connection to
	// portHeld, Close to portClosed.
	portIdle portState = iota
	// portDialing: Dial is running. Leads to portOpen, portFailed, portClosed.
	portDialing
	// portAccepting: Accept is waiting. Leads to portOpen, portFailed, portClosed.
	portAccepting
	// portHeld: a session waits for Accept. Leads to portOpen, portClosed.
	portHeld
	// portOpen: Dial or Accept has returned a session. Leads to portClosed.
	portOpen
	// portFailed: Dial or Accept has returned an error. Leads to portClosed.
	portFailed
	// portClosed is the last.
	portClosed
)

// quicPort implements Port.
type quicPort struct {
	engine  *quicEngine
	carrier Carrier
	secrets Secrets
	addr    net.UDPAddr // the peer's, as quic-go sees it; its pointer is the port's name
	recent  recentPackets
	queue   portQueue     // the engine's inbox guards it
	dropped atomic.Uint64 // packets that the queue had no room for, or were too long

	mu         sync.Mutex
	state      portState
	handshakes int                // incoming, under way
	lastErr    error              // of the last incoming handshake that failed
	session    *quicSession       // in portHeld, portOpen, and portClosed after these
	settled    chan struct{}      // made in portAccepting, closed on leaving it
	cancel     context.CancelFunc // of Dial, in portDialing
}

func (p *quicPort) Deliver(b []byte, segmentSize int, ecn uint8) {
	if len(b) == 0 {
		return
	}
	if segmentSize <= 0 || segmentSize > len(b) {
		segmentSize = len(b)
	}
	if len(b) > maxRun || !p.engine.conn.inbox.put(p, b, segmentSize, ecn) {
		p.dropped.Add(uint64((len(b) + segmentSize - 1) / segmentSize))
	}
}

// write sends a run that quic-go made.
func (p *quicPort) write(b []byte, segment int, ecn uint8) {
	if segment >= len(b) {
		segment = 0
	}
	p.recent.add(b, segment, ecn)
	p.carrier.WritePackets(b, segment, ecn)
}

func (p *quicPort) PathChanged() {
	p.recent.replay(func(b []byte, ecn uint8) { p.carrier.WritePackets(b, 0, ecn) })
}

// setStateLocked moves to s, and wakes Accept when it is what was waited for.
func (p *quicPort) setStateLocked(s portState) {
	if p.state == portAccepting {
		close(p.settled)
	}
	p.state = s
	if s == portAccepting {
		p.settled = make(chan struct{})
	}
}

// startLocked moves from portIdle to s, for Dial or Accept.
func (p *quicPort) startLocked(s portState) error {
	switch p.state {
	case portIdle:
		p.setStateLocked(s)
		return nil
	case portClosed:
		return ErrPortClosed
	default:
		return ErrPortUsed
	}
}

func (p *quicPort) Dial(ctx context.Context) (Session, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.mu.Lock()
	err := p.startLocked(portDialing)
	if err == nil {
		p.cancel = cancel
	}
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}

	conn, err := p.engine.transport.Dial(ctx, &p.addr, p.engine.tls.config(p.secrets), p.engine.config)

	session, err := p.dialled(conn, quicDialError(ctx, err))
	if session == nil && conn != nil {
		conn.CloseWithError(MaxCode, detachedReason)
	}
	return session, err
}

// dialled ends portDialing with what came of it.
func (p *quicPort) dialled(conn *quic.Conn, err error) (Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancel = nil
	switch {
	case p.state == portClosed:
		return nil, ErrPortClosed
	case err != nil:
		p.setStateLocked(portFailed)
		return nil, fmt.Errorf("session: dialling: %w", err)
	}
	p.session = newQUICSession(conn, p)
	p.setStateLocked(portOpen)
	return p.session, nil
}

func (p *quicPort) Accept(ctx context.Context) (Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == portHeld {
		p.setStateLocked(portOpen)
		return p.session, nil
	}
	if err := p.startLocked(portAccepting); err != nil {
		return nil, err
	}
	settled := p.settled
	p.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-settled:
	}
	p.mu.Lock()
	switch p.state {
	case portOpen:
		return p.session, nil
	case portClosed:
		return nil, ErrPortClosed
	}
	p.setStateLocked(portFailed)
	if p.lastErr != nil {
		return nil, fmt.Errorf("session: accepting: %w; last handshake: %w", ctx.Err(), p.lastErr)
	}
	return nil, fmt.Errorf("session: accepting: %w", ctx.Err())
}

// admit reports whether an incoming connection may begin its handshake, and
// counts it until handshakeEnded.
func (p *quicPort) admit() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if (p.state != portIdle && p.state != portAccepting) || p.handshakes == maxHandshakes {
		return false
	}
	p.handshakes++
	return true
}

// handshakeEnded takes back an admit. The cause is nil if the handshake went
// well.
func (p *quicPort) handshakeEnded(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handshakes--
	if cause != nil {
		p.lastErr = quicError(cause)
	}
}

// arrive takes an incoming connection whose handshake is complete, or reports
// false when the port has no use for it.
func (p *quicPort) arrive(conn *quic.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.state {
	case portIdle:
		p.session = newQUICSession(conn, p)
		p.setStateLocked(portHeld)
	case portAccepting:
		p.session = newQUICSession(conn, p)
		p.setStateLocked(portOpen)
	default:
		return false
	}
	return true
}

// Close must not be called from the carrier's WritePackets.
func (p *quicPort) Close() error {
	p.mu.Lock()
	if p.state == portClosed {
		p.mu.Unlock()
		return nil
	}
	p.setStateLocked(portClosed)
	session, cancel := p.session, p.cancel
	p.mu.Unlock()

	p.engine.ports.Delete(&p.addr) // from here on, what quic-go writes goes nowhere
	p.engine.conn.inbox.closePort(p)
	if cancel != nil {
		cancel()
	}
	if session != nil {
		session.conn.CloseWithError(MaxCode, detachedReason)
	}
	return nil
}

// end closes the port after telling the peer.
func (p *quicPort) end(reason string) {
	p.mu.Lock()
	session := p.session
	p.mu.Unlock()
	if session != nil {
		session.Close(0, reason)
	}
	p.Close()
}

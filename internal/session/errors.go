package session

import (
	"errors"
	"fmt"
	"net"
)

// Causes of failure that carry no data. The ones about closing match
// net.ErrClosed.
var (
	// ErrNoDatagrams says that the engine, or the peer's, has no datagrams.
	ErrNoDatagrams = errors.New("session: datagrams are not supported")
	// ErrPeerKey says that the key shown in the engine's handshake is not the
	// one that the Noise handshake proved. The dialling end learns of the
	// answering end's verdict only after Dial, as the session's end.
	ErrPeerKey = errors.New("session: peer's key is not the one expected")
	// ErrBinding says that the two ends attached with different bindings:
	// what arrived belongs to another session.
	ErrBinding = errors.New("session: handshake is bound to another session")
	// ErrRefused says that the peer has no port waiting for this session.
	ErrRefused = errors.New("session: refused by the peer")
	// ErrHandshakeTimeout says that the peer did not answer the engine's
	// handshake in time.
	ErrHandshakeTimeout = errors.New("session: handshake timed out")
	// ErrIdleTimeout says that nothing came from the peer for the whole idle
	// timeout of the engine.
	ErrIdleTimeout = errors.New("session: idle for too long")
	// ErrProtocol says that one end broke the engine's protocol.
	ErrProtocol = errors.New("session: protocol error")
	// ErrPortUsed says that Dial or Accept was called on a port before.
	ErrPortUsed = errors.New("session: port is in use")
	// ErrPortClosed says that the port under the session was closed locally.
	ErrPortClosed = fmt.Errorf("session: port: %w", net.ErrClosed)
	// ErrEngineClosed says that the engine was closed.
	ErrEngineClosed = fmt.Errorf("session: engine: %w", net.ErrClosed)
)

// MaxCode is the largest code of a close or a reset; a larger one is sent as
// MaxCode. It is what a QUIC variable-length integer holds (RFC 9000 §16).
const MaxCode = 1<<62 - 1

// A StreamError says that one direction of a stream was reset.
type StreamError struct {
	Code   uint64
	Remote bool // the peer did it
}

func (e *StreamError) Error() string {
	return fmt.Sprintf("session: stream reset by %s with code %d", end(e.Remote), e.Code)
}

// A CloseError says that one end closed the session. A local one matches
// net.ErrClosed.
type CloseError struct {
	Code   uint64
	Reason string
	Remote bool // the peer did it
}

func (e *CloseError) Error() string {
	s := fmt.Sprintf("session: closed by %s with code %d", end(e.Remote), e.Code)
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// Unwrap returns net.ErrClosed if it was this end that closed.
func (e *CloseError) Unwrap() error {
	if e.Remote {
		return nil
	}
	return net.ErrClosed
}

// A DatagramTooLargeError says that a datagram does not fit one packet.
type DatagramTooLargeError struct {
	Max int // bytes that fit
}

func (e *DatagramTooLargeError) Error() string {
	return fmt.Sprintf("session: datagram is longer than %d bytes", e.Max)
}

func end(remote bool) string {
	if remote {
		return "the peer"
	}
	return "this end"
}

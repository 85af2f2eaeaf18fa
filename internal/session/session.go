// Package session is the association of two devices as its users see it:
// streams, datagrams and a graceful close, over an engine that was agreed on
// in the handshake. It is the sole importer of quic-go.
//
// An [Engine] makes sessions over a [Carrier], which is where packets go and
// come from. The carrier's paths change underneath; the session outlives them.
// Package sessiontest is what any engine has to pass.
package session

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"net"
	"time"
)

// A Carrier takes an engine's outgoing packets to one peer, over whatever
// path is current.
type Carrier interface {
	// WritePackets sends a run of packets of segmentSize bytes each (the last
	// may be shorter; 0 means b is one packet) with the given ECN bits
	// (RFC 3168 §5). It is called from several goroutines, must not block, and
	// does not retain b. It reports nothing: a path that fails is the path
	// layer's business, and a lost packet is the engine's.
	WritePackets(b []byte, segmentSize int, ecn uint8)
}

// Secrets are what the handshake gives an engine. They are equal at both
// ends except for the keys' roles.
type Secrets struct {
	// Binding is the handshake's transcript hash. It is unique to the
	// session, and known to its two ends alone.
	Binding [32]byte
	// Peer is the peer's signing key, proven by the handshake.
	Peer ed25519.PublicKey
}

// An Engine makes sessions. All methods may be called concurrently.
type Engine interface {
	// Name is the engine's name in configuration and reports.
	Name() string
	// Capabilities tells what its sessions can do.
	Capabilities() Capabilities
	// Attach makes a port for one session over c. It costs no goroutine and
	// sends nothing until Dial or Accept is called on it.
	Attach(c Carrier, s Secrets) (Port, error)
	// Close ends all sessions and waits for the engine's goroutines.
	Close() error
}

// A Port is one session's attachment to its carrier, before and while the
// session lives.
type Port interface {
	// Deliver hands in a run of packets of segmentSize bytes (0: b is one
	// packet) that came from the peer, with the ECN bits they carried. It may
	// be called from several goroutines, and neither blocks nor retains b:
	// what does not fit the queue is dropped and counted.
	Deliver(b []byte, segmentSize int, ecn uint8)
	// Dial opens the session as the initiating end. Call Dial or Accept, once;
	// ctx is for opening alone. A failure is ErrPeerKey, ErrBinding,
	// ErrRefused, ErrHandshakeTimeout, ErrProtocol, ErrPortUsed, ErrPortClosed
	// or ctx's.
	Dial(ctx context.Context) (Session, error)
	// Accept opens the session as the answering end. Packets that were
	// delivered before are not lost. A handshake that fails does not end it,
	// for anybody on the path can cause that; when ctx ends, the error is ctx's
	// and that of the last handshake.
	Accept(ctx context.Context) (Session, error)
	// PathChanged says that the carrier has moved to another path. The engine
	// sends again what may have been lost with the old one.
	PathChanged()
	// Close detaches the port. A session on it ends with ErrPortClosed, and for
	// the peer it is as if the network had vanished; use Session.Close to tell
	// the peer. It must not be called from the carrier's WritePackets.
	Close() error
}

// Capabilities say what an engine's sessions can do; the conformance suite is
// keyed by them.
type Capabilities struct {
	Datagrams   bool // SendDatagram and ReceiveDatagram work
	PathChanges bool // the session survives a change of path
	LossyPath   bool // the carrier may lose, reorder and duplicate
}

// A Session is an authenticated association with one peer. All methods may be
// called concurrently.
type Session interface {
	// OpenStream opens a bidirectional stream. It blocks while the peer's
	// stream limit is reached. The peer learns of the stream with its first
	// byte.
	OpenStream(ctx context.Context) (Stream, error)
	// AcceptStream returns the next stream that the peer opened.
	AcceptStream(ctx context.Context) (Stream, error)
	// SendDatagram sends b unreliably and does not retain it. It waits while
	// congestion control holds back those before. A b longer than
	// MaxDatagramSize is refused with a *DatagramTooLargeError, and any with
	// ErrNoDatagrams where there are none.
	SendDatagram(b []byte) error
	// ReceiveDatagram returns the next datagram; the caller owns it. When the
	// receiver falls behind, datagrams are dropped.
	ReceiveDatagram(ctx context.Context) ([]byte, error)
	// MaxDatagramSize is the most bytes that SendDatagram takes now.
	MaxDatagramSize() int
	// Close ends the session with a code, of at most MaxCode, and a reason, of
	// which some hundred bytes are sent. The peer sees a *CloseError, unless
	// the one packet that says so is lost and nothing follows it. Streams at
	// both ends fail, and what was not delivered is not.
	Close(code uint64, reason string) error
	// Done is closed when the session has ended, for whatever cause.
	Done() <-chan struct{}
	// Err returns nil while the session lives and then its cause.
	Err() error
	// Stats is a snapshot for reports.
	Stats() Stats
}

// Stats is a snapshot of a session.
type Stats struct {
	Engine      string
	SmoothedRTT time.Duration
	BytesSent   uint64
	BytesRecv   uint64
	PacketsLost uint64 // sent ones that the engine takes for lost
	// PacketsDropped counts delivered packets that the engine had no room for.
	PacketsDropped uint64
}

// A Stream is a bidirectional, ordered, reliable stream of bytes.
//
// Errors: reading past the peer's CloseWrite gives io.EOF; a stream that
// either end reset gives a *StreamError; a deadline gives
// os.ErrDeadlineExceeded; the session's end gives its cause; use after Close
// gives net.ErrClosed.
type Stream interface {
	// Close closes the stream in both directions: what was written is
	// delivered, what was not read is refused with code 0. A Read or Write
	// that waits returns net.ErrClosed. LocalAddr and RemoteAddr are
	// placeholders that the layer above replaces.
	net.Conn
	// CloseWrite says that no more will be written; writing fails with
	// net.ErrClosed. The peer reads io.EOF after the last byte.
	CloseWrite() error
	// CancelRead refuses what the peer still sends; its writes fail with code,
	// of at most MaxCode.
	CancelRead(code uint64)
	// CancelWrite abandons what was written but not delivered; the peer's
	// reads fail with code, of at most MaxCode.
	CancelWrite(code uint64)
	// ID is unique in the session and equal at both ends.
	ID() uint64
	// Context is done when writing has ended or the session has.
	Context() context.Context
}

// Identity is the private side of the local device, as engines need it.
type Identity struct {
	// Signer signs with the device's Ed25519 key.
	Signer crypto.Signer
}

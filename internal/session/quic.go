package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// QUICConfig configures the quic engine. Except for Identity, a zero field
// means its default; a negative one is refused.
type QUICConfig struct {
	// Identity is the local device. Its signer must hold an Ed25519 key.
	Identity Identity
	// Logger takes debug messages about refused connections. Nil discards.
	Logger *slog.Logger
	// HandshakeTimeout ends a handshake in which nothing arrives for so long
	// (and any handshake after twice as long). Default 10 s.
	HandshakeTimeout time.Duration
	// MaxStreams is how many streams a peer may have open at a time in one
	// session. Default 65,536.
	MaxStreams int
	// StreamWindow is how many bytes of one stream a peer may have sent and
	// we not read. It bounds a stream's throughput to StreamWindow / RTT:
	// the default of 16 MiB gives 1.3 Gbit/s at 100 ms. More would be of no
	// use, as quic-go has at most 10,000 packets (12 MB) in flight.
	StreamWindow int
	// SessionWindow is the same for all streams of a session together, and so
	// what a peer can make a session hold: the bytes themselves, or if they come in
	// pieces of 128 bytes out of order a buffer of 1,452 for each. Default 32 MiB: two
	// streams at full speed, or many that are stalled at their initial MiB.
	SessionWindow int
	// IncomingWindows is what the windows of all sessions that peers have dialled
	// come to; beyond it each has 128 KiB. Default 512 MiB.
	IncomingWindows int
	// QueueBytes is the memory for packets that were delivered, of all
	// sessions together, and not yet processed. Default 8 MiB: bursts of a
	// hundred full runs. At least minQueueBytes.
	QueueBytes int
}

// minQueueBytes lets two ports have a full run each while a third gets one.
const minQueueBytes = 4 << 16

const (
	// quicPacketSize is the size of every full packet, the smallest that QUIC
	// allows (RFC 9000 §14) and so right for every path. Discovery is off: on
	// a path with less room it would strand the session silently.
	quicPacketSize = 1200
	// quicIdleTimeout is for sessions that everybody forgot. Liveness is the
	// path layer's business.
	quicIdleTimeout = 24 * time.Hour
	// quicConnectionIDLength keeps random ids from colliding. Shorter ones
	// hang connections at a few thousand (measured at 4 bytes).
	quicConnectionIDLength = 8
	// initialStreamWindow is what a stream nobody reads costs. It is not in
	// the way of slow start, which begins at 32 packets and at most doubles
	// in an RTT, as does the window while its bytes are read.
	initialStreamWindow = 1 << 20
)

// quicEngine is the engine named quic: quic-go, with TLS 1.3 certificates
// pinned to the keys that the Noise handshake proved.
//
// One transport serves all ports. Goroutines: an accept for each incoming
// handshake, and quic-go's, which are four for the transport and two for each
// session. Close waits for them.
type quicEngine struct {
	log       *slog.Logger
	config    *quic.Config
	tls       *quicTLS
	conn      *virtualConn
	transport *quic.Transport
	listener  *quic.Listener
	windows   windows
	ports     sync.Map // *net.UDPAddr, by identity, to *quicPort
	lastPort  atomic.Uint64
	wg        sync.WaitGroup

	mu     sync.Mutex
	closed bool // no port is added any more
}

// NewQUIC makes the quic engine. Close it when done.
func NewQUIC(c QUICConfig) (Engine, error) {
	e, err := newQUIC(c, openPacketConn)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// newQUIC makes an engine on the packet connection that open makes of its
// virtualConn.
func newQUIC(c QUICConfig, open func(*virtualConn) (net.PacketConn, func())) (*quicEngine, error) {
	if min(int64(c.HandshakeTimeout), int64(c.MaxStreams), int64(c.StreamWindow), int64(c.SessionWindow), int64(c.IncomingWindows), int64(c.QueueBytes)) < 0 {
		return nil, errors.New("session: a negative limit in QUICConfig")
	}
	if c.QueueBytes > 0 && c.QueueBytes < minQueueBytes {
		return nil, fmt.Errorf("session: QUICConfig.QueueBytes is %d, need %d", c.QueueBytes, minQueueBytes)
	}
	keys, err := newQUICTLS(c.Identity)
	if err != nil {
		return nil, err
	}
	e := &quicEngine{log: c.Logger, tls: keys, config: quicConfig(c)}
	e.windows.left = orDefault(c.IncomingWindows, 512<<20)
	incoming := e.config.Clone()
	incoming.GetConfigForClient = e.configFor
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.conn = &virtualConn{inbox: newInbox(orDefault(c.QueueBytes, 8<<20)), portOf: e.portOf}
	conn, done := open(e.conn)
	defer done()
	e.transport = &quic.Transport{
		Conn:                             conn,
		ConnectionIDLength:               quicConnectionIDLength,
		DisableVersionNegotiationPackets: true,
		ConnContext:                      e.admit,
	}
	if e.listener, err = e.transport.Listen(e.tls.server(e.portOf), incoming); err != nil {
		return nil, fmt.Errorf("session: starting quic: %w", err)
	}
	return e, nil
}

// quicConfig is c in quic-go's terms.
func quicConfig(c QUICConfig) *quic.Config {
	stream := orDefault(c.StreamWindow, 16<<20)
	session := orDefault(c.SessionWindow, 32<<20)
	q := &quic.Config{
		Versions:                []quic.Version{quic.Version1},
		InitialPacketSize:       quicPacketSize,
		DisablePathMTUDiscovery: true,
		HandshakeIdleTimeout:    orDefault(c.HandshakeTimeout, 10*time.Second),
		MaxIdleTimeout:          quicIdleTimeout,
		EnableDatagrams:         true,
		MaxIncomingStreams:      int64(orDefault(c.MaxStreams, 1<<16)),
		MaxIncomingUniStreams:   -1,
	}
	setWindows(q, stream, session)
	return q
}

func orDefault[T comparable](v, byDefault T) T {
	var zero T
	if v == zero {
		return byDefault
	}
	return v
}

func (e *quicEngine) Name() string { return "quic" }

func (e *quicEngine) Capabilities() Capabilities {
	return Capabilities{Datagrams: true, PathChanges: true, LossyPath: true}
}

func (e *quicEngine) Attach(c Carrier, s Secrets) (Port, error) {
	if c == nil {
		return nil, errors.New("session: Attach without a carrier")
	}
	if err := checkPeerKey(s.Peer); err != nil {
		return nil, err
	}
	p := &quicPort{engine: e, carrier: c, secrets: s}
	p.addr = net.UDPAddr{
		IP:   virtualIP,
		Port: virtualPort,
		Zone: strconv.FormatUint(e.lastPort.Add(1), 10),
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, ErrEngineClosed
	}
	e.ports.Store(&p.addr, p)
	return p, nil
}

// portOf returns the attached port with this very address, or nil.
func (e *quicEngine) portOf(addr *net.UDPAddr) *quicPort {
	if p, ok := e.ports.Load(addr); ok {
		return p.(*quicPort)
	}
	return nil
}

// A quicHandshake is an incoming connection whose handshake is under way. It
// travels in the connection's context.
type quicHandshake struct {
	port     *quicPort
	accepted context.CancelFunc // ends the accept that was started for it
}

// handshakeKey is the key of a *quicHandshake.
type handshakeKey struct{}

// admit decides about a new incoming connection, before any cryptography;
// an error refuses it. It is quic-go's ConnContext.
func (e *quicEngine) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	addr, _ := info.RemoteAddr.(*net.UDPAddr)
	p := e.portOf(addr)
	e.keepWindow(ctx)
	if p == nil || !p.admit() {
		if e.log.Enabled(ctx, slog.LevelDebug) {
			e.log.Debug("session refused", "port", info.RemoteAddr)
		}
		return nil, ErrRefused
	}
	waiting, accepted := context.WithCancel(ctx) // ctx ends with the connection
	e.wg.Go(func() {
		e.accept(waiting)
		p.handshakeEnded(context.Cause(ctx))
	})
	return context.WithValue(ctx, handshakeKey{}, &quicHandshake{p, accepted}), nil
}

// accept hands connections that have completed their handshake, whichever
// those are, to their ports, until ctx is done or the listener closed.
//
// There is one goroutine here for each handshake under way: quic-go queues 32
// connections for Accept and kills what comes beyond, and more handshakes than
// that may end at once.
func (e *quicEngine) accept(ctx context.Context) {
	for {
		conn, err := e.listener.Accept(ctx)
		if err != nil {
			return
		}
		h := conn.Context().Value(handshakeKey{}).(*quicHandshake)
		h.accepted()
		if !h.port.arrive(conn) {
			conn.CloseWithError(0, "port is in use")
		}
	}
}

// Close ends the sessions as Session.Close does.
func (e *quicEngine) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()

	e.listener.Close() // refuses handshakes under way
	e.ports.Range(func(_, p any) bool {
		p.(*quicPort).end("engine closed")
		return true
	})
	e.wg.Wait()
	err := e.transport.Close()
	e.conn.Close()
	return err
}

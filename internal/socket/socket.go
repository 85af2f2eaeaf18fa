// Package socket is the shared UDP socket: the one through which a stack sends
// and receives everything on one local address, told apart by the first byte
// (RFC 9443).
//
// A [Socket] reads batches and coalesced runs on one goroutine, and hands
// control packets and STUN to its [Handler], and QUIC packets and relayed ones to the
// [Sink] that is routed for their source, in the order of arrival. Writing is concurrent.
package socket

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/bdtnet/bdt/underlay"
)

const (
	// defaultBatch is how many entries one read may fill. With GRO an entry is
	// a run of up to 64 KiB, so a few go a long way; scattered packets gain
	// little from batches above 16.
	defaultBatch = 16

	// The size of one entry's buffer in bytes. A coalesced run is as long as
	// the largest IP packet. A single packet crossed some Ethernet: of more
	// than that, the head arrives and fails to authenticate.
	runBuffer    = 64 << 10
	packetBuffer = 2 << 10
)

// A Handler receives what is not QUIC. It is called on the reader goroutine,
// in the order of arrival relative to all other deliveries of the socket: what
// a control packet sets up (a route, for instance) applies to the packet after
// it. It must not block and must not call Close.
type Handler interface {
	// HandleControl receives one control datagram. b is only valid during the
	// call.
	HandleControl(s *Socket, b []byte, from netip.AddrPort)
	// HandleSTUN receives one datagram that begins like a STUN message
	// (RFC 8489 section 5) and has at least a header. b is only valid during
	// the call.
	HandleSTUN(s *Socket, b []byte, from netip.AddrPort)
}

// A Sink receives the QUIC packets, or the relayed ones, that came from a routed source. It is
// called on the reader goroutine and must not block. Its dynamic type must be
// comparable, as pointers are.
type Sink interface {
	// Deliver receives a run of packets of segmentSize bytes each, the last of
	// which may be shorter (0: b is one packet), and the two ECN bits they all
	// carried. b is only valid during the call.
	Deliver(b []byte, segmentSize int, ecn uint8)
}

// Config says what socket to open.
type Config struct {
	Network underlay.Network // nil: the operating system's
	Local   netip.AddrPort   // to bind, as for [underlay.Network.ListenUDP]
	Handler Handler          // required
	Batch   int              // entries one read may fill, with GRO 64 KiB of memory each; 0: 16
	Logger  *slog.Logger     // nil: discard
}

// A Socket is an open shared socket. All methods may be called concurrently.
type Socket struct {
	conn    underlay.UDPConn
	gso     bool // conn takes runs
	handler Handler
	log     *slog.Logger

	routes   routes // of QUIC packets
	relays   routes // of relayed packets, by the PN's address
	counters counters

	done      chan struct{} // closed when the reader has returned
	closeOnce sync.Once
	closeErr  error
}

// Open opens a socket and starts its reader, which runs until [Socket.Close]
// or until the socket fails.
func Open(cfg Config) (*Socket, error) {
	if cfg.Handler == nil {
		return nil, errors.New("socket: open: no handler")
	}
	if cfg.Network == nil {
		cfg.Network = underlay.OS()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Batch <= 0 {
		cfg.Batch = defaultBatch
	}
	conn, err := cfg.Network.ListenUDP(cfg.Local)
	if err != nil {
		return nil, fmt.Errorf("socket: open %v: %w", cfg.Local, err)
	}
	s := &Socket{
		conn:    conn,
		gso:     conn.Features().GSO,
		handler: cfg.Handler,
		log:     cfg.Logger,
		done:    make(chan struct{}),
	}
	s.routes.init()
	s.relays.init()
	go s.read(cfg.Batch)
	return s, nil
}

// LocalAddr returns the bound address and port.
func (s *Socket) LocalAddr() netip.AddrPort { return s.conn.LocalAddr() }

// Features tells what offloads the socket has.
func (s *Socket) Features() underlay.Features { return s.conn.Features() }

// Done is closed when nothing will be received any more: after Close, or when
// the network took the socket away, which is logged. The owner still has to
// call Close.
func (s *Socket) Done() <-chan struct{} { return s.done }

// Close closes the socket and waits for its reader, after which no handler and
// no sink is called. Writers get an error that wraps net.ErrClosed.
func (s *Socket) Close() error {
	s.closeOnce.Do(func() { s.closeErr = s.conn.Close() })
	<-s.done
	return s.closeErr
}

// ReplaceRoute has the QUIC packets from a source delivered to sink, if they are
// delivered to old. No packet finds neither.
func (s *Socket) ReplaceRoute(from netip.AddrPort, old, sink Sink) { s.routes.replace(from, old, sink) }

// AddRoute is SetRoute where no other sink has the source yet. It reports
// whether the route is there.
func (s *Socket) AddRoute(from netip.AddrPort, sink Sink) bool { return s.routes.add(from, sink) }

// SetRoute directs the QUIC packets that come from an address to sink, in
// place of any earlier one.
func (s *Socket) SetRoute(from netip.AddrPort, sink Sink) { s.routes.set(from, sink) }

// Route returns the sink of the QUIC packets that come from an address, nil if
// there is none.
func (s *Socket) Route(from netip.AddrPort) Sink { return s.routes.get(from) }

// DeleteRoute removes the route of an address if it still leads to sink. Unless
// called on the reader goroutine, a delivery that has begun may still be
// under way when it returns.
func (s *Socket) DeleteRoute(from netip.AddrPort, sink Sink) { s.routes.delete(from, sink) }

// SetRelay directs the relayed packets (docs/spec/relay.md §4) that come from an
// address to sink, in place of any earlier one.
func (s *Socket) SetRelay(from netip.AddrPort, sink Sink) { s.relays.set(from, sink) }

// DeleteRelay is [Socket.DeleteRoute] for what SetRelay has directed.
func (s *Socket) DeleteRelay(from netip.AddrPort, sink Sink) { s.relays.delete(from, sink) }

// Stats returns the counters at this moment. They are read one by one: sums
// over them may be off by what happens meanwhile.
func (s *Socket) Stats() Stats { return s.counters.snapshot() }

// read is the reader goroutine. It owns the receive buffers, and lends them to
// the handler and the sinks.
func (s *Socket) read(batch int) {
	defer close(s.done)
	size := packetBuffer
	if s.conn.Features().GRO {
		size = runBuffer
	}
	backing := make([]byte, batch*size)
	ds := make([]underlay.Datagram, batch)
	d := demux{s: s}
	for {
		for i := range ds {
			ds[i].Data = backing[i*size : (i+1)*size : (i+1)*size]
		}
		n, err := s.conn.ReadBatch(ds)
		for i := range n {
			d.entry(&ds[i])
		}
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.log.Warn("socket failed", "local", s.LocalAddr(), "err", err)
			}
			return
		}
	}
}

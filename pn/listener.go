package pn

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/bdtnet/bdt/underlay"
)

// A listener is one address that the server is reached at, with a socket for each of its
// workers.
type listener struct {
	index   int // among the server's listeners
	addr    netip.AddrPort
	conns   []underlay.UDPConn
	workers []*worker
}

// listen opens the sockets.
func (s *Server) listen() error {
	addrs := s.cfg.Listen
	optional := len(addrs) == 0
	if optional {
		addrs = []netip.AddrPort{
			netip.AddrPortFrom(netip.IPv6Unspecified(), DefaultPort),
			netip.AddrPortFrom(netip.IPv4Unspecified(), DefaultPort),
		}
	}
	var errs []error
	for _, a := range addrs {
		conns, err := s.listenAt(a)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.listeners = append(s.listeners, &listener{index: len(s.listeners), addr: conns[0].LocalAddr(), conns: conns})
	}
	if len(errs) > 0 && !(optional && len(s.listeners) > 0) {
		return errors.Join(errs...)
	}
	return nil
}

func (s *Server) listenAt(a netip.AddrPort) ([]underlay.UDPConn, error) {
	if g, ok := s.cfg.Network.(underlay.Grouper); ok && s.cfg.Sockets > 1 {
		return g.ListenUDPGroup(a, s.cfg.Sockets)
	}
	c, err := s.cfg.Network.ListenUDP(a)
	if err != nil {
		return nil, err
	}
	return []underlay.UDPConn{c}, nil
}

// close closes the sockets.
func (l *listener) close() error {
	var errs []error
	for _, c := range l.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// singles recycles what a single packet is handed to the network in: behind an
// interface it would be allocated for each.
var singles = sync.Pool{New: func() any { return new([1]underlay.Datagram) }}

// send sends one packet. It may be called concurrently.
func (l *listener) send(to netip.AddrPort, b []byte) error {
	d := singles.Get().(*[1]underlay.Datagram)
	defer singles.Put(d)
	d[0] = underlay.Datagram{Data: b, Addr: to}
	_, err := l.conns[0].WriteBatch(d[:])
	d[0] = underlay.Datagram{}
	return err
}

// outboxSize is how many runs are written at once.
const outboxSize = 64

// An outbox is what is about to be written by one listener's socket.
type outbox struct {
	conn underlay.UDPConn
	n    int
	runs [outboxSize]underlay.Datagram
}

// flush writes what is in the outbox, and counts it. A run that fails does not keep the
// others from being sent.
func (o *outbox) flush(t *tally) {
	for rest := o.runs[:o.n]; len(rest) > 0; {
		sent, err := o.conn.WriteBatch(rest)
		for i := range rest[:sent] {
			t.packets[fateForwarded] += packetsIn(len(rest[i].Data), rest[i].SegmentSize)
			t.bytes += uint64(len(rest[i].Data))
		}
		if err == nil {
			break
		}
		if rest = rest[sent:]; len(rest) == 0 {
			break
		}
		t.packets[fateSend] += packetsIn(len(rest[0].Data), rest[0].SegmentSize)
		rest = rest[1:]
	}
	o.n = 0
}

// packetsIn returns how many packets there are in n bytes of a run.
func packetsIn(n, size int) uint64 {
	if size <= 0 {
		return 1
	}
	return uint64((n + size - 1) / size)
}

// startWorkers starts the workers of all listeners: from now on packets are handled.
func (s *Server) startWorkers() {
	for _, l := range s.listeners {
		for i, c := range l.conns {
			w := &worker{s: s, l: l, conn: c, out: make([]outbox, len(s.listeners))}
			for j, other := range s.listeners {
				w.out[j].conn = other.conns[i%len(other.conns)]
			}
			w.out[l.index].conn = c
			l.workers = append(l.workers, w)
		}
	}
	for _, l := range s.listeners {
		for _, w := range l.workers {
			s.running.Go(w.run)
		}
	}
}

// failed logs that a socket is gone, unless the server has closed it.
func (w *worker) failed(err error) {
	if !errors.Is(err, net.ErrClosed) {
		w.s.cfg.Logger.Warn("socket failed", "local", w.l.addr, "err", fmt.Errorf("pn: %w", err))
	}
}

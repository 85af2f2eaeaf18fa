package socket

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/bdtnet/bdt/underlay"
)

const (
	// writeBatch is how many entries go to the network at once.
	writeBatch = underlay.MaxSegments
	// maxRun is the most bytes in one written run. The kernel builds a run as
	// one UDP datagram, which holds at most 65,507 bytes over IPv4.
	maxRun = 65000
)

var (
	// ErrDestination is wrapped by the errors of sends to an address that
	// cannot be one peer's: invalid, unspecified, multicast, broadcast, an
	// IPv4-mapped IPv6 address, or port 0.
	ErrDestination = errors.New("not a unicast destination")

	errEmpty = errors.New("nothing to send")
)

// batches recycles the arrays that writes hand to the network: behind an
// interface they would be allocated for each.
var batches = sync.Pool{New: func() any { return new([writeBatch]underlay.Datagram) }}

// Send sends one control or STUN datagram. It does not retain b.
func (s *Socket) Send(to netip.AddrPort, b []byte) error {
	return s.SendHopLimit(to, b, 0)
}

// SendHopLimit is Send with a TTL or hop limit, 0 for the default. Where the
// socket lacks Features.HopLimit the default is used.
func (s *Socket) SendHopLimit(to netip.AddrPort, b []byte, hopLimit uint8) error {
	if err := checkSend(to, b); err != nil {
		return s.refuse(to, err)
	}
	ds := batches.Get().(*[writeBatch]underlay.Datagram)
	ds[0] = underlay.Datagram{Data: b, Addr: to, HopLimit: hopLimit}
	return s.flush(ds, 1)
}

// SendRun sends a run of packets of segmentSize bytes each, the last of which
// may be shorter (0: b is one packet), marked with two ECN bits. It neither
// retains b nor allocates. Runs of any length are accepted and cut into what
// the network takes at once. An error is the first of those that individual
// packets met; the others were sent.
func (s *Socket) SendRun(to netip.AddrPort, b []byte, segmentSize int, ecn uint8) error {
	if err := checkSend(to, b); err != nil {
		return s.refuse(to, err)
	}
	if segmentSize <= 0 || segmentSize > len(b) {
		segmentSize = len(b)
	}
	size := segmentSize // of an entry, in bytes
	if s.gso {
		size *= max(1, min(underlay.MaxSegments, maxRun/segmentSize))
	}
	var first error
	for len(b) > 0 {
		ds := batches.Get().(*[writeBatch]underlay.Datagram)
		n := 0
		for n < len(ds) && len(b) > 0 {
			k := min(size, len(b))
			ds[n] = underlay.Datagram{Data: b[:k], Addr: to, ECN: ecn}
			if k > segmentSize {
				ds[n].SegmentSize = segmentSize
			}
			b = b[k:]
			n++
		}
		if err := s.flush(ds, n); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// flush writes the first n entries, counts them, and gives the array back. An
// entry that fails does not keep the others from being sent; the first error
// is returned.
func (s *Socket) flush(ds *[writeBatch]underlay.Datagram, n int) error {
	var first error
	for rest := ds[:n]; len(rest) > 0; {
		sent, err := s.conn.WriteBatch(rest)
		for i := range rest[:sent] {
			s.countSent(&rest[i])
		}
		if err == nil {
			break
		}
		rest = rest[sent:]
		if first == nil {
			first = fmt.Errorf("socket: send to %v: %w", rest[0].Addr, err)
		}
		s.counters.sendErrors.Add(1)
		rest = rest[1:]
	}
	clear(ds[:n]) // do not keep the callers' buffers alive
	batches.Put(ds)
	return first
}

func (s *Socket) countSent(d *underlay.Datagram) {
	count := 1
	if d.SegmentSize > 0 {
		count = (len(d.Data) + d.SegmentSize - 1) / d.SegmentSize
	}
	s.counters.sent[classify(d.Data)].add(uint64(count), len(d.Data))
}

// refuse counts and returns the error of a send that was not tried.
func (s *Socket) refuse(to netip.AddrPort, err error) error {
	s.counters.sendErrors.Add(1)
	return fmt.Errorf("socket: send to %v: %w", to, err)
}

func checkSend(to netip.AddrPort, b []byte) error {
	a := to.Addr()
	switch {
	case !a.IsValid(), a.IsUnspecified(), a.IsMulticast(), a.Is4In6(), to.Port() == 0,
		a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return ErrDestination
	case len(b) == 0:
		return errEmpty
	}
	return nil
}

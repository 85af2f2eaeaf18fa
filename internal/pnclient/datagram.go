package pnclient

import (
	"fmt"
	"sync"

	"github.com/bdtnet/bdt/internal/wire"
)

// Overhead is what a relay adds to each packet, in bytes.
const Overhead = wire.RelayedHeaderLen

// maxSend is the most bytes that are sent at once: 64 packets, or a run of the largest IP
// packet.
const maxSend = 64 << 10

var runs = sync.Pool{New: func() any {
	b := make([]byte, 0, maxSend)
	return &b
}}

// SendRun sends p, a run of packets of segmentSize bytes each, the last of which may be
// shorter (0: p is one packet), marked with two ECN bits, to the peer. It neither retains p nor
// allocates. Before the binding is ready the PN drops them. ErrOffline and ErrClosed say that
// nothing was sent; other errors are those of Config.SendRun.
func (b *Binding) SendRun(p []byte, segmentSize int, ecn uint8) error {
	l := b.c.link.Load()
	select {
	case <-b.done:
		return ErrClosed
	default:
	}
	if l == nil {
		return ErrOffline
	}
	if segmentSize <= 0 || segmentSize > len(p) {
		segmentSize = len(p)
	}
	step := segmentSize + Overhead
	if len(p) == 0 || step > maxSend {
		return fmt.Errorf("pnclient: %d bytes: %w", len(p), ErrTooLarge)
	}
	buf := runs.Get().(*[]byte)
	defer runs.Put(buf)
	for len(p) > 0 {
		out := (*buf)[:0]
		for len(p) > 0 && len(out)+step <= maxSend {
			n := min(segmentSize, len(p))
			out = append(wire.AppendRelayedHeader(out, b.o.Tag), p[:n]...)
			p = p[n:]
		}
		if err := b.c.cfg.SendRun(l.to, out, step, ecn); err != nil {
			return err
		}
	}
	return nil
}

// Deliver takes relayed packets that came from the PN, as a [socket.Sink]: it hands those
// of each binding to its sink, a run at a time. It moves the packets within b.
func (c *Client) Deliver(b []byte, segmentSize int, ecn uint8) {
	if segmentSize <= 0 || segmentSize > len(b) {
		segmentSize = len(b)
	}
	bindings := *c.bindings.Load()
	for len(b) > 0 {
		n := min(segmentSize, len(b))
		m, err := wire.ParseRelayed(b[:n])
		if err != nil {
			b = b[n:]
			continue
		}
		end := n - Overhead // of what is put together at the front of b
		copy(b, m.Packet)
		for n < len(b) {
			k := min(segmentSize, len(b)-n)
			next, err := wire.ParseRelayed(b[n : n+k])
			if err != nil || next.Tag != m.Tag {
				break
			}
			end += copy(b[end:], next.Packet)
			n += k
		}
		if x := bindings[m.Tag]; x != nil {
			x.deliver(b[:end:end], segmentSize-Overhead, ecn)
		}
		b = b[n:]
	}
}

// deliver hands a run over.
func (b *Binding) deliver(run []byte, segmentSize int, ecn uint8) {
	if segmentSize >= len(run) {
		segmentSize = 0
	}
	b.o.Sink.Deliver(run, segmentSize, ecn)
}

package session

import (
	"encoding/binary"
	"net"
	"time"

	"github.com/quic-go/quic-go"
)

// virtualIP and virtualPort are the address that quic-go believes both ends
// of every session to have. It is an IPv6 unique local address (RFC 4193) so
// that it is plainly no one's.
//
// All ports share it and differ in the zone alone, which quic-go hands back
// but does not compare. So a packet that arrives over another port than its
// session's, say copied there by somebody on the path, moves nothing: were
// the addresses different, quic-go would take it for a migration (RFC 9000
// §9) and follow. Only the path layer moves paths.
var virtualIP = net.ParseIP("fdbd:7000::1")

const virtualPort = 443

// A virtualConn is the packet connection that quic-go works on: writes go to
// the carrier of the port whose address they name, reads come from the inbox.
// It never reports a path's error, for one is enough to end a session.
//
// openPacketConn wraps it, where the platform allows, with the methods that
// let quic-go write runs, mark ECN and read batches.
type virtualConn struct {
	inbox *inbox
	// portOf returns the port with this very address, or nil.
	portOf func(*net.UDPAddr) *quicPort
	// reading is the run being read, owned by quic-go's one reader.
	reading *run
}

// nextPacket returns the next packet and where it came from, waiting for it
// if wait is set; b is valid until the next call. With no packet, b is nil.
func (c *virtualConn) nextPacket(wait bool) (b []byte, from *quicPort, ecn uint8, err error) {
	for {
		r := c.reading
		if r == nil {
			if r, err = c.inbox.take(wait); r == nil {
				return nil, nil, 0, err
			}
			c.reading = r
		}
		if len(r.rest) == 0 {
			c.reading = nil
			r.release()
			continue
		}
		if b = r.cut(); len(b) > maxPacket {
			r.port.dropped.Add(1)
			continue
		}
		return b, r.port, r.ecn, nil
	}
}

// isInitial reports whether a packet starts with an Initial of QUIC version 1
// (RFC 9000 §17.2.2).
func isInitial(b []byte) bool {
	return len(b) >= 5 && b[0]&0xf0 == 0xc0 && binary.BigEndian.Uint32(b[1:]) == uint32(quic.Version1)
}

// Begins reports whether a run, given as to [Port.Deliver], holds a packet that
// may be the first of a session.
func Begins(run []byte, segmentSize int) bool {
	if segmentSize <= 0 {
		segmentSize = len(run)
	}
	for len(run) > 0 {
		n := min(segmentSize, len(run))
		if isInitial(run[:n]) {
			return true
		}
		run = run[n:]
	}
	return false
}

// write sends a run to the port that addr names, or nowhere.
func (c *virtualConn) write(b []byte, segment int, ecn uint8, addr net.Addr) {
	if ua, ok := addr.(*net.UDPAddr); ok {
		if p := c.portOf(ua); p != nil {
			p.write(b, segment, ecn)
		}
	}
}

func (c *virtualConn) ReadFrom(b []byte) (int, net.Addr, error) {
	packet, p, _, err := c.nextPacket(true)
	if err != nil {
		return 0, nil, err
	}
	return copy(b, packet), &p.addr, nil
}

func (c *virtualConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	c.write(b, 0, 0, addr)
	return len(b), nil
}

func (c *virtualConn) Close() error {
	c.inbox.close()
	return nil
}

func (c *virtualConn) LocalAddr() net.Addr {
	return &net.UDPAddr{IP: virtualIP, Port: virtualPort}
}

func (c *virtualConn) SetReadDeadline(t time.Time) error {
	c.inbox.setDeadline(t)
	return nil
}

func (c *virtualConn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c *virtualConn) SetWriteDeadline(time.Time) error { return nil } // writes do not block

// The inbox's size is the engine's business.
func (c *virtualConn) SetReadBuffer(int) error  { return nil }
func (c *virtualConn) SetWriteBuffer(int) error { return nil }

package underlay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// plainConn is a UDPConn with one system call a packet and no offloads.
//
// It does not learn the destination address of what arrives on an unspecified
// address (Datagram.Local is then zero), and lets the kernel choose the source.
type plainConn struct {
	c     *net.UDPConn
	local netip.AddrPort
}

// listenPlain opens a plain socket. It is the implementation of listenUDP
// where there is no better one.
func listenPlain(laddr netip.AddrPort) (UDPConn, error) {
	c, err := listenNet(laddr, nil)
	if err != nil {
		return nil, err
	}
	c.SetReadBuffer(socketBuffer) // more is better, the default is enough
	c.SetWriteBuffer(socketBuffer)
	return &plainConn{c: c, local: localAddr(c)}, nil
}

func (p *plainConn) LocalAddr() netip.AddrPort { return p.local }
func (p *plainConn) Features() Features        { return Features{} }
func (p *plainConn) Close() error              { return p.c.Close() }

// ReadBatch implements [UDPConn]; it fills one entry.
func (p *plainConn) ReadBatch(ds []Datagram) (int, error) {
	if len(ds) == 0 {
		return 0, nil
	}
	d := &ds[0]
	var err error
	for range maxReadErrors {
		var n int
		var from netip.AddrPort
		n, from, err = p.c.ReadFromUDPAddrPort(d.Data)
		if err == nil {
			*d = Datagram{Data: d.Data[:n], Addr: unmap(from)}
			if !p.local.Addr().IsUnspecified() {
				d.Local = p.local.Addr()
			}
			return 1, nil
		}
		if errors.Is(err, net.ErrClosed) {
			break
		}
	}
	return 0, fmt.Errorf("underlay: %w", err) // names operation and address
}

// WriteBatch implements [UDPConn].
func (p *plainConn) WriteBatch(ds []Datagram) (int, error) {
	for i := range ds {
		d := &ds[i]
		if err := checkEntry(d, p.local.Addr(), 1); err != nil {
			return i, err
		}
		if _, err := p.c.WriteToUDPAddrPort(d.Data, d.Addr); err != nil {
			return i, writeError(d, err)
		}
	}
	return len(ds), nil
}

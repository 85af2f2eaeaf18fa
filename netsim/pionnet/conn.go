package pionnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/pion/transport/v5"

	"github.com/bdtnet/bdt/netsim"
)

// A udpConn adds what *net.UDPConn has beside.
type udpConn struct{ *netsim.PacketConn }

func (c *udpConn) ReadFromUDP(b []byte) (int, *net.UDPAddr, error) {
	n, from, err := c.ReadFrom(b)
	addr, _ := from.(*net.UDPAddr)
	return n, addr, err
}

// ReadMsgUDP is ReadFromUDP: there are no control messages.
func (c *udpConn) ReadMsgUDP(b, _ []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	n, addr, err = c.ReadFromUDP(b)
	return n, 0, 0, addr, err
}

func (c *udpConn) WriteToUDP(b []byte, addr *net.UDPAddr) (int, error) { return c.WriteTo(b, addr) }

// WriteMsgUDP sends to addr, or where the socket is connected to if that is nil. It
// takes no control messages.
func (c *udpConn) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	switch {
	case len(oob) > 0:
		return 0, 0, &net.OpError{Op: "write", Net: "udp", Source: c.LocalAddr(), Err: errors.ErrUnsupported}
	case addr == nil:
		n, err = c.Write(b)
	default:
		n, err = c.WriteTo(b, addr)
	}
	return n, 0, err
}

// A tcpConn adds what *net.TCPConn has beside.
type tcpConn struct{ *netsim.TCPConn }

func (c *tcpConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c.TCPConn}, r)
}

// A listener is what [netsim.Host.Listen] returns.
type listener interface {
	net.Listener
	SetDeadline(time.Time) error
}

type tcpListener struct{ listener }

func (l *tcpListener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err // not a nil *tcpConn
	}
	return c, nil
}

func (l *tcpListener) AcceptTCP() (transport.TCPConn, error) {
	c, err := l.listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tcpConn{c.(*netsim.TCPConn)}, nil
}

type dialer struct {
	net *Net
	cfg net.Dialer
}

func (d *dialer) Dial(network, address string) (net.Conn, error) {
	ctx := context.Background()
	if d.cfg.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.cfg.Timeout)
		defer cancel()
	}
	if !d.cfg.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, d.cfg.Deadline)
		defer cancel()
	}
	var local netip.AddrPort
	switch a := d.cfg.LocalAddr.(type) {
	case nil:
	case *net.UDPAddr:
		local = udpAddrPort(a)
	case *net.TCPAddr:
		local = tcpAddrPort(a)
	default:
		return nil, &net.OpError{Op: "dial", Net: network, Source: a, Err: &net.AddrError{Err: "mismatched local address type", Addr: a.String()}}
	}
	return d.net.dial(ctx, network, local, address)
}

type listenConfig struct{ net *Net }

func (c listenConfig) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l, err := c.net.host.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return &tcpListener{l.(listener)}, nil
}

func (c listenConfig) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.net.ListenPacket(network, address)
}

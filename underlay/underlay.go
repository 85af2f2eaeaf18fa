// Package underlay is the network below: the small interface through which
// everything in this module touches sockets, interfaces and names, and its
// implementation over the operating system.
//
// A [Network] is one host's view of its network. [OS] returns the machine's
// own; a netsim host is another. The stack above never imports package net
// for I/O, so it runs unmodified on both.
package underlay

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// A Network is one host's view of the network it is attached to.
// All methods may be called concurrently.
type Network interface {
	// ListenUDP opens a UDP socket bound to laddr. An unspecified address
	// binds every address of that family and no other (an IPv6 socket never
	// carries IPv4); port 0 asks for a free port.
	ListenUDP(laddr netip.AddrPort) (UDPConn, error)

	// Interfaces returns the host's interfaces with their current addresses.
	Interfaces() ([]Interface, error)

	// Watch tells of changes of interfaces, addresses and routes. After one the
	// channel holds a value, a single one for all that came since the last was
	// taken. There may be a value without a change that Interfaces shows. When ctx
	// has ended and nothing goes on any more for its sake the channel is closed.
	Watch(ctx context.Context) (<-chan struct{}, error)

	// LookupNetIP resolves a host name. Literal addresses resolve to
	// themselves. IPv4 addresses are returned in their 4-byte form.
	LookupNetIP(ctx context.Context, host string) ([]netip.Addr, error)
}

// Resolve returns the addresses of a HOST:PORT as a network has them, at most limit, each once.
// The network resolves literals, too: it may have another name for them.
func Resolve(ctx context.Context, n Network, hostPort string, limit int) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, fmt.Errorf("underlay: resolve: %w", err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("underlay: resolve %s: port: %w", hostPort, err)
	}
	ips, err := n.LookupNetIP(ctx, host)
	if err != nil {
		return nil, err
	}
	var addrs []netip.AddrPort
	for _, ip := range ips {
		a := netip.AddrPortFrom(ip.Unmap(), uint16(port))
		if len(addrs) < limit && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	return addrs, nil
}

// A Multicaster is a Network that can also send to all on a segment. Networks
// need not be one; [OS] is.
type Multicaster interface {
	// ListenMulticast opens a socket that has joined a group on one interface,
	// named as by Interfaces: it receives what is sent there to the group's address
	// and port, by others and by this machine itself, itself included. Any number
	// of sockets may join one group. What it sends to the group leaves by that
	// interface and stays on the segment (hop limit 1). LocalAddr is the group,
	// without a zone; Datagram.Local is not told. The group of an IPv6 socket is
	// written without a zone, too, and link-local sources have one.
	ListenMulticast(ifname string, group netip.AddrPort) (UDPConn, error)
}

// A Grouper is a Network that can divide what arrives at one address among several
// sockets, so that several processors can read it. Networks need not be one; [OS] is.
type Grouper interface {
	// ListenUDPGroup opens up to n sockets bound to laddr, all at one port, and at least
	// one. What comes from one address and port is all read by one of them, as long as
	// all are open; any of them may send to anybody. It fails if the address is in use.
	ListenUDPGroup(laddr netip.AddrPort, n int) ([]UDPConn, error)
}

// An Interface is a network interface and its addresses at one moment.
type Interface struct {
	Name     string
	Index    int
	MTU      int            // bytes of IP packet
	Up       bool           // administratively, and as far as the host knows it has a carrier
	Loopback bool           //
	Prefixes []netip.Prefix // each address with the length of its on-link prefix
}

// A UDPConn is an open UDP socket.
//
// One goroutine may read while others write; WriteBatch may be called
// concurrently. Close unblocks ReadBatch, which then returns an error that
// wraps net.ErrClosed.
type UDPConn interface {
	// LocalAddr returns the bound address and port.
	LocalAddr() netip.AddrPort

	// Features tells what this socket can do. It never changes.
	Features() Features

	// ReadBatch blocks until at least one datagram has arrived, fills ds from
	// the start, and returns how many entries it filled. On entry each Data is
	// a buffer to fill; on return Data is resliced to what arrived. With
	// Features.GRO a buffer of less than 64 KiB may lose data.
	// Errors that concern one datagram or one destination (an ICMP error the
	// kernel reports late) are not returned; an error means the socket is done.
	ReadBatch(ds []Datagram) (int, error)

	// WriteBatch sends the entries of ds in order and returns how many it
	// sent. An error concerns entry n; the caller may go on with ds[n+1:].
	// It does not retain ds or any Data. It does not wait for long: a full
	// socket buffer may block it briefly or drop, as UDP may.
	WriteBatch(ds []Datagram) (n int, err error)

	// Close closes the socket.
	Close() error
}

// Features are the offloads a socket has.
type Features struct {
	GSO      bool // WriteBatch accepts SegmentSize with several segments
	GRO      bool // ReadBatch may return several segments in one entry
	HopLimit bool // WriteBatch honours HopLimit
	ECN      bool // ECN bits are read and written
}

// MaxSegments is the most segments that one written entry may hold.
const MaxSegments = 64

// A Datagram is one entry of a batch: one datagram, or a run of datagrams of
// SegmentSize bytes each (the last may be shorter) to or from one address.
type Datagram struct {
	Data        []byte
	Addr        netip.AddrPort // remote; never an IPv4-mapped IPv6 address
	Local       netip.Addr     // read: the destination address; write: the source to use, or zero for the routed one
	SegmentSize int            // 0: Data is one datagram
	ECN         uint8          // the two ECN bits of RFC 3168
	HopLimit    uint8          // write only: TTL or hop limit, 0 for the default
}

// Package underlaytest is the conformance suite of underlay.Network: what every
// implementation of it must do, whether the kernel's or a simulation's.
package underlaytest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

// patience is how long a test waits for what must happen. It bounds the time
// of a failing test only; a passing one never waits for it.
const patience = 10 * time.Second

// Hosts are two hosts between which nothing is lost, reordered or filtered.
// They may be the same host.
type Hosts struct {
	A, B   underlay.Network
	A4, B4 netip.Addr // their IPv4 addresses
	A6, B6 netip.Addr // their IPv6 addresses, or zero: no IPv6
}

func (h Hosts) hasIPv6() bool { return h.A6.IsValid() && h.B6.IsValid() }

// TestNetwork runs the suite. For each test it calls run, which sets up fresh
// hosts, calls body once with them and the t that body is to use, and tears
// them down. Body uses neither t.Run nor the wall clock, so run may wrap it in
// a bubble of testing/synctest.
func TestNetwork(t *testing.T, run func(t *testing.T, body func(t *testing.T, h Hosts))) {
	for _, c := range []struct {
		name string
		body func(*testing.T, Hosts)
	}{
		{"Interfaces", testInterfaces},
		{"Lookup", testLookup},
		{"Watch", testWatch},
	} {
		t.Run(c.name, func(t *testing.T) { run(t, c.body) })
	}
	for _, c := range []struct {
		name string
		body func(*testing.T, pair)
	}{
		{"Echo", testEcho},
		{"LocalAddr", testLocalAddr},
		{"PortInUse", testPortInUse},
		{"FamiliesApart", testFamiliesApart},
		{"Order", testOrder},
		{"Boundaries", testBoundaries},
		{"Runs", testRuns},
		{"RunTooLong", testRunTooLong},
		{"NothingToDo", testNothingToDo},
		{"BatchError", testBatchError},
		{"WrongFamily", testWrongFamily},
		{"Unreachable", testUnreachable},
		{"Destination", testDestination},
		{"HopLimit", testHopLimit},
		{"ECN", testECN},
		{"NotRetained", testNotRetained},
		{"ConcurrentWrites", testConcurrentWrites},
		{"CloseUnblocks", testCloseUnblocks},
		{"Closed", testClosed},
	} {
		t.Run(c.name+"/IPv4", func(t *testing.T) {
			run(t, func(t *testing.T, h Hosts) {
				c.body(t, pair{h.A, h.B, h.A4, h.B4, netip.IPv4Unspecified(), h.hasIPv6()})
			})
		})
		t.Run(c.name+"/IPv6", func(t *testing.T) {
			run(t, func(t *testing.T, h Hosts) {
				if !h.hasIPv6() {
					t.Skip("no IPv6")
				}
				c.body(t, pair{h.A, h.B, h.A6, h.B6, netip.IPv6Unspecified(), true})
			})
		})
	}
}

// A pair is two hosts as one address family sees them.
type pair struct {
	a, b         underlay.Network
	addrA, addrB netip.Addr
	unspecified  netip.Addr
	dual         bool // the hosts have both families
}

// open opens a socket that is closed with the test.
func open(t *testing.T, n underlay.Network, addr netip.Addr) underlay.UDPConn {
	t.Helper()
	c, err := n.ListenUDP(netip.AddrPortFrom(addr, 0))
	if err != nil {
		t.Fatalf("ListenUDP(%v): %v", addr, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// sockets opens a socket on each host.
func (p pair) sockets(t *testing.T) (a, b underlay.UDPConn) {
	t.Helper()
	return open(t, p.a, p.addrA), open(t, p.b, p.addrB)
}

// write sends all of ds and fails the test if it cannot.
func write(t *testing.T, c underlay.UDPConn, ds ...underlay.Datagram) {
	t.Helper()
	n, err := c.WriteBatch(ds)
	if n != len(ds) || err != nil {
		t.Fatalf("WriteBatch sent %d of %d: %v", n, len(ds), err)
	}
}

// A packet is one datagram as it was received, taken out of its run.
type packet struct {
	underlay.Datagram
}

// read receives n packets, in the order of arrival.
func read(t *testing.T, c underlay.UDPConn, n int) []packet {
	t.Helper()
	watchdog := time.AfterFunc(patience, func() { c.Close() })
	defer watchdog.Stop()
	var out []packet
	ds := make([]underlay.Datagram, 4)
	for len(out) < n {
		for i := range ds {
			ds[i].Data = make([]byte, 64<<10)
		}
		got, err := c.ReadBatch(ds)
		if err != nil {
			t.Fatalf("ReadBatch after %d of %d packets: %v", len(out), n, err)
		}
		if got < 1 || got > len(ds) {
			t.Fatalf("ReadBatch of %d entries returned %d", len(ds), got)
		}
		for _, d := range ds[:got] {
			out = append(out, split(d)...)
		}
	}
	if len(out) > n {
		t.Fatalf("received %d packets, want %d", len(out), n)
	}
	return out
}

// split takes a received entry apart.
func split(d underlay.Datagram) []packet {
	var out []packet
	for d.SegmentSize > 0 && len(d.Data) > d.SegmentSize {
		one := d
		one.Data, one.SegmentSize = d.Data[:d.SegmentSize], 0
		out = append(out, packet{one})
		d.Data = d.Data[d.SegmentSize:]
	}
	d.SegmentSize = 0
	return append(out, packet{d})
}

// payload makes n bytes that tell the packets of a test apart.
func payload(id, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(id*31 + i*7)
	}
	if n >= 4 {
		binary.BigEndian.PutUint32(b, uint32(id))
	}
	return b
}

// equal fails the test unless the packets' payloads are those, in that order.
func equal(t *testing.T, got []packet, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i].Data, want[i]) {
			t.Fatalf("packet %d: %d bytes %x…, want %d bytes %x…", i,
				len(got[i].Data), head(got[i].Data), len(want[i]), head(want[i]))
		}
	}
}

func head(b []byte) []byte { return b[:min(len(b), 8)] }

// exchange proves that b can hear a.
func exchange(t *testing.T, a, b underlay.UDPConn) {
	t.Helper()
	msg := []byte("still there")
	write(t, a, underlay.Datagram{Data: msg, Addr: b.LocalAddr()})
	equal(t, read(t, b, 1), [][]byte{msg})
}

// tooLong is more than a UDP datagram can hold over either family.
var tooLong = make([]byte, 70000)

// refused fails the test unless WriteBatch reports an error for the only
// entry.
func refused(t *testing.T, c underlay.UDPConn, what string, d underlay.Datagram) {
	t.Helper()
	if n, err := c.WriteBatch([]underlay.Datagram{d}); n != 0 || err == nil {
		t.Errorf("%s: WriteBatch = %d, %v; want 0 and an error", what, n, err)
	}
}

func closedError(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("%s: %v, want net.ErrClosed", what, err)
	}
}

// testConcurrentWrites has several goroutines write to one socket.
func testConcurrentWrites(t *testing.T, p pair) {
	const writers, batches, entries = 4, 10, 5
	a, b := p.sockets(t)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range batches {
				ds := make([]underlay.Datagram, entries)
				for j := range ds {
					id := (w*batches+i)*entries + j
					ds[j] = underlay.Datagram{Data: payload(id, 100), Addr: b.LocalAddr()}
				}
				if n, err := a.WriteBatch(ds); n != entries || err != nil {
					t.Errorf("WriteBatch = %d, %v", n, err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, pk := range read(t, b, writers*batches*entries) {
		seen[string(pk.Data)] = true
	}
	for id := range writers * batches * entries {
		if !seen[string(payload(id, 100))] {
			t.Fatalf("packet %d was lost or changed", id)
		}
	}
}

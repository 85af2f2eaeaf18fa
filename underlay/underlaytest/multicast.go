package underlaytest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

// A Segment is two hosts on one segment, on which nothing is lost or filtered.
// They may be the same host.
type Segment struct {
	A, B     underlay.Network // Multicasters
	IfA, IfB string           // the interfaces there
	IPv6     bool             // there is IPv6 on them; IPv4 there always is
}

// TestMulticaster runs the suite of [underlay.Multicaster], as TestNetwork does its
// own. Run may skip the test if the machine has no segment.
func TestMulticaster(t *testing.T, run func(t *testing.T, body func(t *testing.T, s Segment))) {
	// Random: a neighbour may run the suite, too.
	low, port := byte(rand.N(255)), uint16(17000+rand.N(8000))
	for _, group := range []netip.AddrPort{
		netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 255, 77, low}), port),
		netip.AddrPortFrom(netip.AddrFrom16([16]byte{0xff, 0x12, 14: 77, 15: low}), port),
	} {
		family := "IPv4"
		if group.Addr().Is6() {
			family = "IPv6"
		}
		for _, c := range []struct {
			name string
			body func(*testing.T, Segment, netip.AddrPort)
		}{
			{"Group", testGroup},
			{"OtherGroups", testOtherGroups},
			{"GroupErrors", testGroupErrors},
			{"GroupClose", testGroupClose},
		} {
			t.Run(c.name+"/"+family, func(t *testing.T) {
				run(t, func(t *testing.T, s Segment) {
					if group.Addr().Is6() && !s.IPv6 {
						t.Skip("no IPv6")
					}
					c.body(t, s, group)
				})
			})
		}
	}
}

// join opens a member that is closed with the test.
func join(t *testing.T, n underlay.Network, ifname string, group netip.AddrPort) underlay.UDPConn {
	t.Helper()
	c, err := n.(underlay.Multicaster).ListenMulticast(ifname, group)
	if err != nil {
		t.Fatalf("ListenMulticast(%s, %v): %v", ifname, group, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// testGroup has members on both hosts, two of them on one: all hear all.
func testGroup(t *testing.T, s Segment, group netip.AddrPort) {
	a, b, b2 := join(t, s.A, s.IfA, group), join(t, s.B, s.IfB, group), join(t, s.B, s.IfB, group)
	for _, c := range []underlay.UDPConn{a, b, b2} {
		if c.LocalAddr() != group {
			t.Errorf("LocalAddr is %v, want the group %v", c.LocalAddr(), group)
		}
	}
	for i, from := range []underlay.UDPConn{a, b} {
		msg := payload(i, 100)
		write(t, from, underlay.Datagram{Data: msg, Addr: group})
		for _, c := range []underlay.UDPConn{a, b, b2} {
			in := read(t, c, 1)
			equal(t, in, [][]byte{msg})
			if src := in[0].Addr; src.Addr().IsMulticast() || src.Addr().Is4() != group.Addr().Is4() || src.Port() != group.Port() {
				t.Errorf("the source is %v", src)
			}
		}
	}
}

// testOtherGroups: a member hears its own group at its own port only, and a
// source can be answered.
func testOtherGroups(t *testing.T, s Segment, group netip.AddrPort) {
	other := netip.AddrPortFrom(group.Addr().Next(), group.Port())
	port := netip.AddrPortFrom(group.Addr(), group.Port()+100)
	a, b := join(t, s.A, s.IfA, group), join(t, s.B, s.IfB, group)
	for _, g := range []netip.AddrPort{other, port} {
		write(t, join(t, s.A, s.IfA, g), underlay.Datagram{Data: []byte("elsewhere"), Addr: g})
	}
	write(t, a, underlay.Datagram{Data: []byte("here"), Addr: group})
	equal(t, read(t, b, 1), [][]byte{[]byte("here")})

	src := read(t, a, 1)[0].Addr.Addr()
	local, err := s.A.ListenUDP(netip.AddrPortFrom(unspecified(src), 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { local.Close() })
	back, err := s.B.ListenUDP(netip.AddrPortFrom(unspecified(src), 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { back.Close() })
	write(t, back, underlay.Datagram{Data: []byte("answer"), Addr: netip.AddrPortFrom(src, local.LocalAddr().Port())})
	equal(t, read(t, local, 1), [][]byte{[]byte("answer")})
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func testGroupErrors(t *testing.T, s Segment, group netip.AddrPort) {
	m := s.A.(underlay.Multicaster)
	for _, c := range []struct {
		ifname string
		group  netip.AddrPort
	}{
		{"no such interface", group},
		{s.IfA, netip.AddrPort{}},
		{s.IfA, netip.AddrPortFrom(group.Addr(), 0)},
		{s.IfA, netip.MustParseAddrPort("192.0.2.1:9")},
	} {
		if conn, err := m.ListenMulticast(c.ifname, c.group); err == nil {
			conn.Close()
			t.Errorf("joined %v on %q", c.group, c.ifname)
		}
	}
	a := join(t, s.A, s.IfA, group)
	refused(t, a, "no address", underlay.Datagram{Data: []byte("x")})
	refused(t, a, "too long", underlay.Datagram{Data: tooLong, Addr: group})
	if n, err := a.ReadBatch(nil); n != 0 || err != nil {
		t.Errorf("ReadBatch of nothing = %d, %v", n, err)
	}
}

// testGroupClose closes a member that is being read; others go on.
func testGroupClose(t *testing.T, s Segment, group netip.AddrPort) {
	a, b := join(t, s.A, s.IfA, group), join(t, s.B, s.IfB, group)
	reading, done := make(chan struct{}), make(chan error)
	go func() {
		ds := []underlay.Datagram{{Data: make([]byte, 2048)}}
		close(reading)
		_, err := a.ReadBatch(ds)
		done <- err
	}()
	<-reading
	a.Close()
	closedError(t, "ReadBatch", <-done)
	if _, err := a.WriteBatch([]underlay.Datagram{{Data: []byte("x"), Addr: group}}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("WriteBatch: %v", err)
	}
	watchdog := time.AfterFunc(patience, func() { b.Close() })
	defer watchdog.Stop()
	write(t, b, underlay.Datagram{Data: []byte("to myself"), Addr: group})
	ds := []underlay.Datagram{{Data: make([]byte, 2048)}}
	if n, err := b.ReadBatch(ds); n != 1 || err != nil || !bytes.Equal(ds[0].Data, []byte("to myself")) {
		t.Errorf("ReadBatch = %d, %v: %q", n, err, ds[0].Data)
	}
}

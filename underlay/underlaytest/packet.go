package underlaytest

import (
	"net/netip"
	"testing"

	"github.com/bdtnet/bdt/underlay"
)

// testEcho sends there and back, to where it came from.
func testEcho(t *testing.T, p pair) {
	a, b := p.sockets(t)
	write(t, a, underlay.Datagram{Data: []byte("ping"), Addr: b.LocalAddr()})
	in := read(t, b, 1)
	equal(t, in, [][]byte{[]byte("ping")})
	if in[0].Addr != a.LocalAddr() {
		t.Fatalf("came from %v, want %v", in[0].Addr, a.LocalAddr())
	}
	write(t, b, underlay.Datagram{Data: []byte("pong"), Addr: in[0].Addr})
	equal(t, read(t, a, 1), [][]byte{[]byte("pong")})
}

// testOrder sends batches longer than what one read takes.
func testOrder(t *testing.T, p pair) {
	a, b := p.sockets(t)
	var want [][]byte
	for batch := range 3 {
		var ds []underlay.Datagram
		for i := range 70 { // more than one system call takes
			want = append(want, payload(batch*70+i, 64))
			ds = append(ds, underlay.Datagram{Data: want[len(want)-1], Addr: b.LocalAddr()})
		}
		write(t, a, ds...)
	}
	equal(t, read(t, b, len(want)), want)
}

// testBoundaries sends packets that a careless coalescing would merge.
func testBoundaries(t *testing.T, p pair) {
	a, b := p.sockets(t)
	var want [][]byte
	var ds []underlay.Datagram
	for i, size := range []int{100, 100, 50, 100, 100, 100, 1, 0, 1, 1200, 1200, 1199, 1200, 1201, 0} {
		want = append(want, payload(i, size))
		ds = append(ds, underlay.Datagram{Data: want[i], Addr: b.LocalAddr()})
	}
	write(t, a, ds...)
	equal(t, read(t, b, len(want)), want)
}

// testRuns writes runs, whose packets arrive one by one or coalesced.
func testRuns(t *testing.T, p pair) {
	a, b := p.sockets(t)
	if !a.Features().GSO {
		t.Skip("no GSO")
	}
	for _, c := range []struct{ size, total int }{
		{1200, 1200},
		{1200, 1201},
		{1200, 10*1200 + 7},
		{1000, underlay.MaxSegments * 1000},
		{9, underlay.MaxSegments*9 - 8},
		{1300, 46 * 1300},
		{300, 200}, // a segment size beyond the data: one packet
	} {
		data := payload(c.total, c.total)
		var want [][]byte
		for rest := data; len(rest) > 0; {
			n := min(c.size, len(rest))
			want = append(want, rest[:n])
			rest = rest[n:]
		}
		// A plain packet behind it: runs and packets mix in a batch.
		after := payload(1, 33)
		write(t, a,
			underlay.Datagram{Data: data, Addr: b.LocalAddr(), SegmentSize: c.size},
			underlay.Datagram{Data: after, Addr: b.LocalAddr()})
		equal(t, read(t, b, len(want)+1), append(want, after))
	}
}

// testRunTooLong writes what no socket sends at once.
func testRunTooLong(t *testing.T, p pair) {
	a, b := p.sockets(t)
	refused(t, a, "one segment too many", underlay.Datagram{
		Data: make([]byte, underlay.MaxSegments*10+1), Addr: b.LocalAddr(), SegmentSize: 10,
	})
	refused(t, a, "too many bytes", underlay.Datagram{
		Data: tooLong, Addr: b.LocalAddr(), SegmentSize: 1200,
	})
	exchange(t, a, b)
}

func testNothingToDo(t *testing.T, p pair) {
	a, b := p.sockets(t)
	if n, err := a.WriteBatch(nil); n != 0 || err != nil {
		t.Errorf("WriteBatch of nothing = %d, %v", n, err)
	}
	if n, err := a.ReadBatch(nil); n != 0 || err != nil {
		t.Errorf("ReadBatch of nothing = %d, %v", n, err)
	}
	exchange(t, a, b)
}

// testBatchError has a bad entry among good ones: it alone is not sent.
func testBatchError(t *testing.T, p pair) {
	a, b := p.sockets(t)
	ds := []underlay.Datagram{
		{Data: []byte("one"), Addr: b.LocalAddr()},
		{Data: tooLong, Addr: b.LocalAddr()},
		{Data: []byte("two"), Addr: b.LocalAddr()},
	}
	n, err := a.WriteBatch(ds)
	if n != 1 || err == nil {
		t.Fatalf("WriteBatch = %d, %v; want 1 and an error", n, err)
	}
	write(t, a, ds[n+1:]...)
	equal(t, read(t, b, 2), [][]byte{[]byte("one"), []byte("two")})
}

// testWrongFamily writes to, and from, addresses the socket cannot have.
func testWrongFamily(t *testing.T, p pair) {
	a, b := p.sockets(t)
	other := netip.IPv6LinkLocalAllNodes()
	if p.addrA.Is6() {
		other = netip.AddrFrom4([4]byte{192, 0, 2, 1})
	}
	refused(t, a, "no address", underlay.Datagram{Data: []byte("x")})
	refused(t, a, "other source family", underlay.Datagram{Data: []byte("x"), Addr: b.LocalAddr(), Local: other})
	refused(t, a, "other family", underlay.Datagram{Data: []byte("x"), Addr: netip.AddrPortFrom(other, 9)})
	exchange(t, a, b)
}

// testUnreachable writes to a port that nobody holds. What comes back, if
// anything, must not reach the reader or keep the socket from going on.
func testUnreachable(t *testing.T, p pair) {
	a, b := p.sockets(t)
	gone := open(t, p.b, p.addrB)
	gone.Close()
	for range 3 {
		// An error here is allowed, and concerns this packet alone.
		a.WriteBatch([]underlay.Datagram{{Data: []byte("anybody?"), Addr: gone.LocalAddr()}})
	}
	exchange(t, a, b)
	exchange(t, b, a)
}

// testDestination receives on all addresses, learns which was meant, and
// answers from it.
func testDestination(t *testing.T, p pair) {
	a, b := open(t, p.a, p.addrA), open(t, p.b, p.unspecified)
	to := netip.AddrPortFrom(p.addrB, b.LocalAddr().Port())
	write(t, a, underlay.Datagram{Data: []byte("ping"), Addr: to})
	in := read(t, b, 1)[0]
	if in.Local.IsValid() && in.Local != p.addrB { // zero: the platform does not tell
		t.Errorf("destination %v, want %v", in.Local, p.addrB)
	}
	write(t, b, underlay.Datagram{Data: []byte("pong"), Addr: in.Addr, Local: in.Local})
	if back := read(t, a, 1)[0]; back.Addr != to {
		t.Errorf("the answer came from %v, want %v", back.Addr, to)
	} else if back.Local != p.addrA {
		t.Errorf("destination on a bound socket %v, want %v", back.Local, p.addrA)
	}
}

// testHopLimit asks for a hop limit that is enough, for packets and for runs.
func testHopLimit(t *testing.T, p pair) {
	a, b := p.sockets(t)
	write(t, a,
		underlay.Datagram{Data: []byte("near"), Addr: b.LocalAddr(), HopLimit: 64},
		underlay.Datagram{Data: []byte("far"), Addr: b.LocalAddr(), HopLimit: 255})
	equal(t, read(t, b, 2), [][]byte{[]byte("near"), []byte("far")})
}

// testECN sends every codepoint, in runs where it can.
func testECN(t *testing.T, p pair) {
	a, b := p.sockets(t)
	if !a.Features().ECN || !b.Features().ECN {
		t.Skip("no ECN")
	}
	for ecn := range uint8(4) {
		packets := 1
		d := underlay.Datagram{Data: payload(int(ecn), 300), Addr: b.LocalAddr(), ECN: ecn}
		if a.Features().GSO {
			packets, d.SegmentSize = 3, 100
		}
		write(t, a, d)
		for _, pk := range read(t, b, packets) {
			if pk.ECN != ecn {
				t.Errorf("ECN %d arrived as %d", ecn, pk.ECN)
			}
		}
	}
}

// testNotRetained overwrites what was written as soon as it may.
func testNotRetained(t *testing.T, p pair) {
	a, b := p.sockets(t)
	want := [][]byte{payload(1, 500), payload(2, 600)}
	ds := make([]underlay.Datagram, 2)
	for i := range ds {
		ds[i] = underlay.Datagram{Data: append([]byte(nil), want[i]...), Addr: b.LocalAddr()}
	}
	bufs := [][]byte{ds[0].Data, ds[1].Data}
	write(t, a, ds...)
	for i := range ds {
		clear(bufs[i])
		ds[i] = underlay.Datagram{}
	}
	equal(t, read(t, b, 2), want)
}

// testCloseUnblocks closes a socket that is being read, and once more.
func testCloseUnblocks(t *testing.T, p pair) {
	a, _ := p.sockets(t)
	reading, done := make(chan struct{}), make(chan error)
	go func() {
		ds := []underlay.Datagram{{Data: make([]byte, 64<<10)}}
		close(reading)
		_, err := a.ReadBatch(ds)
		done <- err
	}()
	<-reading
	a.Close()
	closedError(t, "ReadBatch", <-done)
	a.Close() // may return an error, but neither blocks nor panics
}

// testClosed uses a closed socket.
func testClosed(t *testing.T, p pair) {
	a, b := p.sockets(t)
	if err := a.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	_, err := a.ReadBatch([]underlay.Datagram{{Data: make([]byte, 64<<10)}})
	closedError(t, "ReadBatch", err)
	_, err = a.WriteBatch([]underlay.Datagram{{Data: []byte("x"), Addr: b.LocalAddr()}})
	closedError(t, "WriteBatch", err)
}

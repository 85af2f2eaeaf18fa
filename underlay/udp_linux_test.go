package underlay

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func listenLoopback(t testing.TB, addr string) *linuxConn {
	t.Helper()
	c, err := listenUDP(netip.MustParseAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*linuxConn)
}

// readAll receives until it has n packets, and returns how many entries they
// came in.
func readAll(t *testing.T, c *linuxConn, n int) (entries int, data []byte) {
	t.Helper()
	watchdog := time.AfterFunc(10*time.Second, func() { c.Close() })
	defer watchdog.Stop()
	ds := make([]Datagram, 1)
	for packets := 0; packets < n; entries++ {
		ds[0].Data = make([]byte, 64<<10)
		if _, err := c.ReadBatch(ds); err != nil {
			t.Fatal(err)
		}
		packets += segments(&ds[0])
		data = append(data, ds[0].Data...)
	}
	return entries, data
}

// The kernel coalesces what was sent as a run: the loopback device does not
// even take it apart.
func TestRunsStayWhole(t *testing.T) {
	a, b := listenLoopback(t, "127.0.0.1:0"), listenLoopback(t, "127.0.0.1:0")
	if !a.features.GSO || !b.features.GRO {
		t.Skip("kernel without GSO or GRO")
	}
	run := bytes.Repeat([]byte("0123456789"), 40)
	if _, err := a.WriteBatch([]Datagram{{Data: run, Addr: b.local, SegmentSize: 100}}); err != nil {
		t.Fatal(err)
	}
	if entries, got := readAll(t, b, 4); entries != 1 || !bytes.Equal(got, run) {
		t.Errorf("run of 4 arrived in %d entries, intact %v", entries, bytes.Equal(got, run))
	}
}

// A real EINVAL: the kernel refuses runs without checksums, and only runs.
func TestRunRefusedByKernel(t *testing.T) {
	a, b := listenLoopback(t, "127.0.0.1:0"), listenLoopback(t, "127.0.0.1:0")
	a.raw.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
			t.Fatal(err)
		}
	})
	checkRefused(t, a, b)
	if a.gsoOff.Load() {
		t.Error("EINVAL, which has many causes, turned runs off")
	}
}

// EIO, which takes IPsec or an old device, comes from a stand-in.
func TestRunRefusedByDevice(t *testing.T) {
	a, b := listenLoopback(t, "127.0.0.1:0"), listenLoopback(t, "127.0.0.1:0")
	refusals := 0
	a.sendmmsg = func(fd uintptr, msgs []unix.Mmsghdr) (int, syscall.Errno) {
		for i := range msgs {
			if msgs[i].Hdr.Controllen == 0 {
				continue
			}
			if i == 0 {
				refusals++
				return 0, unix.EIO
			}
			return sendmmsg(fd, msgs[:i])
		}
		return sendmmsg(fd, msgs)
	}
	checkRefused(t, a, b)
	checkRefused(t, a, b)
	if refusals != 1 {
		t.Errorf("%d runs were tried after the first was refused", refusals-1)
	}
}

// checkRefused sends a batch with runs in it, which must arrive although the
// path takes none.
func checkRefused(t *testing.T, a, b *linuxConn) {
	t.Helper()
	first, run, last := []byte("first"), bytes.Repeat([]byte("ab"), 25), []byte("last")
	n, err := a.WriteBatch([]Datagram{
		{Data: first, Addr: b.local},
		{Data: run, Addr: b.local, SegmentSize: 20},
		{Data: run, Addr: b.local, SegmentSize: 20},
		{Data: last, Addr: b.local},
	})
	if n != 4 || err != nil {
		t.Fatalf("WriteBatch = %d, %v", n, err)
	}
	want := bytes.Join([][]byte{first, run, run, last}, nil)
	if _, got := readAll(t, b, 1+3+3+1); !bytes.Equal(got, want) {
		t.Errorf("received %q", got)
	}
}

// A split run whose packets fail too reports the packet's error.
func TestSplitRunFails(t *testing.T) {
	a := listenLoopback(t, "127.0.0.1:0")
	a.sendmmsg = func(_ uintptr, msgs []unix.Mmsghdr) (int, syscall.Errno) {
		if msgs[0].Hdr.Controllen != 0 {
			return 0, unix.EINVAL
		}
		return 0, unix.ENETUNREACH
	}
	n, err := a.WriteBatch([]Datagram{{Data: make([]byte, 50), Addr: a.local, SegmentSize: 20}})
	if n != 0 || !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("WriteBatch = %d, %v", n, err)
	}
}

// The kernel may take part of a batch, or be full for a while.
func TestPartialAndFull(t *testing.T) {
	a, b := listenLoopback(t, "127.0.0.1:0"), listenLoopback(t, "127.0.0.1:0")
	a.gsoOff.Store(true)
	calls := 0
	a.sendmmsg = func(fd uintptr, msgs []unix.Mmsghdr) (int, syscall.Errno) {
		if calls++; calls%2 == 1 {
			return -1, unix.EAGAIN
		}
		return sendmmsg(fd, msgs[:(len(msgs)+1)/2])
	}
	run := bytes.Repeat([]byte("0123456789"), 30)
	var ds []Datagram
	var want []byte
	for range 4 {
		ds = append(ds, Datagram{Data: run, Addr: b.local, SegmentSize: 50}, Datagram{Data: run[:7], Addr: b.local})
		want = append(append(want, run...), run[:7]...)
	}
	if n, err := a.WriteBatch(ds); n != len(ds) || err != nil {
		t.Fatalf("WriteBatch = %d, %v", n, err)
	}
	if _, got := readAll(t, b, 4*(6+1)); !bytes.Equal(got, want) {
		t.Error("what arrived is not what was sent")
	}
}

// Errors that the kernel keeps for the reader (with IP_RECVERR it reports
// ICMP errors so) are not the reader's.
func TestLateErrorsAreSkipped(t *testing.T) {
	a, b := listenLoopback(t, "127.0.0.1:0"), listenLoopback(t, "127.0.0.1:0")
	gone := listenLoopback(t, "127.0.0.1:0")
	gone.Close()
	a.raw.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := a.WriteBatch([]Datagram{{Data: []byte("x"), Addr: gone.local}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.WriteBatch([]Datagram{{Data: []byte("y"), Addr: a.local}}); err != nil {
		t.Fatal(err)
	}
	if _, got := readAll(t, a, 1); string(got) != "y" {
		t.Errorf("received %q", got)
	}
}

// A descriptor that yields nothing but errors ends the loop.
func TestDeadSocketEndsReading(t *testing.T) {
	a := listenLoopback(t, "127.0.0.1:0")
	calls := 0
	a.reader.recv = func(uintptr) bool {
		calls++
		a.reader.n, a.reader.errno = 0, unix.ENOMEM
		return true
	}
	if _, err := a.ReadBatch([]Datagram{{Data: make([]byte, 10)}}); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("ReadBatch: %v", err)
	}
	if calls != maxReadErrors {
		t.Errorf("%d reads", calls)
	}
}

// What is longer than the buffer is cut off, and the next datagram is whole.
func TestShortBuffer(t *testing.T) {
	a := listenLoopback(t, "127.0.0.1:0")
	if _, err := a.WriteBatch([]Datagram{{Data: []byte("abcdef"), Addr: a.local}, {Data: []byte("gh"), Addr: a.local}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"abc", "gh"} {
		ds := []Datagram{{Data: make([]byte, 3)}}
		if _, err := a.ReadBatch(ds); err != nil || string(ds[0].Data) != want {
			t.Errorf("read %q, %v; want %q", ds[0].Data, err, want)
		}
	}
}

// The socket says no to broadcasts, and does not let the kernel fragment.
func TestOptions(t *testing.T) {
	for addr, want := range map[string][3]int{
		"127.0.0.1:0": {unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE},
		"[::1]:0":     {unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE},
	} {
		raw, err := listenLoopback(t, addr).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) {
			if v, err := unix.GetsockoptInt(int(fd), want[0], want[1]); v != want[2] || err != nil {
				t.Errorf("%s: MTU discovery %d, %v", addr, v, err)
			}
			if v, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST); v != 0 || err != nil {
				t.Errorf("%s: SO_BROADCAST %d, %v", addr, v, err)
			}
		})
	}
	a := listenLoopback(t, "127.0.0.1:0")
	n, err := a.WriteBatch([]Datagram{{Data: []byte("x"), Addr: netip.MustParseAddrPort("127.255.255.255:9")}})
	if n != 0 || !errors.Is(err, unix.EACCES) {
		t.Errorf("broadcast: %d, %v", n, err)
	}
}

// The hop limit is per packet: the socket's own stays what it was. The
// receiving kernel tells what it saw.
func TestHopLimitOnTheWire(t *testing.T) {
	for _, c := range []struct {
		addr             string
		level, opt, cmsg int
	}{
		{"127.0.0.1:0", unix.IPPROTO_IP, unix.IP_RECVTTL, unix.IP_TTL},
		{"[::1]:0", unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, unix.IPV6_HOPLIMIT},
	} {
		a, b := listenLoopback(t, c.addr), listenLoopback(t, c.addr)
		b.raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), c.level, c.opt, 1) })
		for _, want := range []uint8{3, 0, 7} {
			if _, err := a.WriteBatch([]Datagram{{Data: []byte("x"), Addr: b.local, HopLimit: want}}); err != nil {
				t.Fatal(err)
			}
			if _, err := b.ReadBatch([]Datagram{{Data: make([]byte, 10)}}); err != nil {
				t.Fatal(err)
			}
			got := -1
			ctl := b.reader.ctls[0].bytes()[:b.reader.msgs[0].Hdr.Controllen]
			for len(ctl) > 0 {
				h, data, rest, err := unix.ParseOneSocketControlMessage(ctl)
				if err != nil {
					t.Fatal(err)
				}
				if int(h.Level) == c.level && int(h.Type) == c.cmsg {
					got = int(data[0])
				}
				ctl = rest
			}
			if want == 0 {
				want = 64 // net.ipv4.ip_default_ttl
			}
			if got != int(want) {
				t.Errorf("%s: hop limit %d, want %d", c.addr, got, want)
			}
		}
	}
}

// A source address that is chosen is used; one that is not ours is refused.
func TestSourceSelection(t *testing.T) {
	a, b := listenLoopback(t, "0.0.0.0:0"), listenLoopback(t, "127.0.0.1:0")
	src := netip.MustParseAddr("127.0.0.42")
	if _, err := a.WriteBatch([]Datagram{{Data: []byte("x"), Addr: b.local, Local: src}}); err != nil {
		t.Fatal(err)
	}
	ds := []Datagram{{Data: make([]byte, 10)}}
	if _, err := b.ReadBatch(ds); err != nil || ds[0].Addr != netip.AddrPortFrom(src, a.local.Port()) {
		t.Errorf("came from %v, %v", ds[0].Addr, err)
	}
	foreign := Datagram{Data: []byte("x"), Addr: b.local, Local: netip.MustParseAddr("192.0.2.1")}
	if n, err := a.WriteBatch([]Datagram{foreign}); n != 0 || err == nil {
		t.Errorf("foreign source: %d, %v", n, err)
	}
}

func TestCloseWhileWriting(t *testing.T) {
	a, b := listenLoopback(t, "127.0.0.1:0"), listenLoopback(t, "127.0.0.1:0")
	done := make(chan error)
	for range 3 {
		go func() {
			ds := []Datagram{{Data: []byte("x"), Addr: b.local}, {Data: []byte("y"), Addr: b.local}}
			for {
				if _, err := a.WriteBatch(ds); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	a.Close()
	for range 3 {
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteBatch: %v", err)
		}
	}
}

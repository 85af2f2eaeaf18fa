package socket

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/bdtnet/bdt/underlay"
	"golang.org/x/sys/unix"
)

// BenchmarkLoopback moves QUIC-shaped packets of 1350 bytes from one socket to
// another, in the ways that platforms differ in. One iteration sends a run of
// 46 packets. Sender and receiver share the machine, hence CPU seconds per
// gigabyte received beside the rates.
func BenchmarkLoopback(b *testing.B) {
	for _, m := range []struct {
		name string
		net  knobs
	}{
		{"packet", knobs{single: true}},
		{"batch", knobs{}},
		{"GSO", knobs{gso: true}},
		{"GSO+GRO", knobs{gso: true, gro: true}},
	} {
		b.Run(m.name, func(b *testing.B) { benchmarkLoopback(b, m.net) })
	}
}

func benchmarkLoopback(b *testing.B, net knobs) {
	const size, segments = 1350, 46
	net.Network = underlay.OS()
	tx := open(b, Config{Network: net, Local: loopback, Handler: newJournal()})
	rx := open(b, Config{Network: net, Local: loopback, Handler: newJournal()})
	if f := rx.Features(); net.gso && !f.GSO || net.gro && !f.GRO {
		b.Skip("not on this kernel")
	}
	var sink countingSink
	rx.SetRoute(tx.LocalAddr(), &sink)
	run := pk(0x40, size*segments)

	b.ReportAllocs()
	cpu, start := cpuTime(b), time.Now()
	for b.Loop() {
		if err := tx.SendRun(rx.LocalAddr(), run, size, 0); err != nil {
			b.Fatal(err)
		}
	}
	elapsed, n, used := time.Since(start), float64(sink.count()), cpuTime(b)-cpu
	b.ReportMetric(n/elapsed.Seconds(), "packets/s")
	b.ReportMetric(n*size*8/1e9/elapsed.Seconds(), "Gbit/s")
	b.ReportMetric(used.Seconds()/(n*size/1e9), "cpu-s/GB")
	b.ReportMetric(100*(1-n/float64(b.N*segments)), "%lost")
}

// cpuTime returns the processor time of this process, user and system.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// knobs is a network whose sockets lack what is not switched on.
type knobs struct {
	underlay.Network
	gso, gro bool
	single   bool // one packet a system call
}

func (k knobs) ListenUDP(laddr netip.AddrPort) (underlay.UDPConn, error) {
	c, err := k.Network.ListenUDP(laddr)
	if err == nil && !k.gro {
		raw, _ := c.(syscall.Conn).SyscallConn()
		raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 0) })
	}
	return knobsConn{c, k}, err
}

type knobsConn struct {
	underlay.UDPConn
	knobs knobs
}

func (c knobsConn) Features() underlay.Features {
	f := c.UDPConn.Features()
	f.GSO, f.GRO = f.GSO && c.knobs.gso, f.GRO && c.knobs.gro
	return f
}

func (c knobsConn) ReadBatch(ds []underlay.Datagram) (int, error) {
	if c.knobs.single {
		ds = ds[:1]
	}
	return c.UDPConn.ReadBatch(ds)
}

func (c knobsConn) WriteBatch(ds []underlay.Datagram) (int, error) {
	if !c.knobs.single {
		return c.UDPConn.WriteBatch(ds)
	}
	for i := range ds {
		if _, err := c.UDPConn.WriteBatch(ds[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(ds), nil
}

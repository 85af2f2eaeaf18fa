package pn_test

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/pn"
	"github.com/bdtnet/bdt/underlay"
)

func init() {
	children["relay"] = relayChild
	children["bare"] = bareChild
}

// A child is a process that a benchmark measures: a PN, or a bare forwarder. Generator and
// sinks are not in it, so that its processor time is that of forwarding.
type child struct {
	b    *testing.B
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	line string // what it has said first
}

// startChild starts a child, which says where it is.
func startChild(b *testing.B, kind string, env ...string) *child {
	b.Helper()
	c := &child{b: b, cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(append(os.Environ(), childVariable+"="+kind), env...)
	c.cmd.Stderr = os.Stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.in.Close()
		c.cmd.Wait()
	})
	c.line = c.read()
	return c
}

func (c *child) read() string {
	c.b.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		c.b.Fatalf("child: %v", err)
	}
	return strings.TrimSpace(line)
}

// A usage is what a child has done so far.
type usage struct {
	cpu            time.Duration
	packets, bytes uint64
	memory         uint64 // resident, in bytes
}

// usage asks the child.
func (c *child) usage() (u usage) {
	c.b.Helper()
	c.tell("usage")
	if _, err := fmt.Sscan(c.read(), &u.cpu, &u.packets, &u.bytes, &u.memory); err != nil {
		c.b.Fatal(err)
	}
	return u
}

func (c *child) tell(line string) {
	c.b.Helper()
	if _, err := fmt.Fprintln(c.in, line); err != nil {
		c.b.Fatal(err)
	}
}

func (u usage) minus(v usage) usage {
	return usage{u.cpu - v.cpu, u.packets - v.packets, u.bytes - v.bytes, u.memory}
}

// answer has a child answer until its parent is done: count tells what it has forwarded.
func answer(first string, count func() (packets, bytes uint64), other func(line string)) {
	fmt.Println(first)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if in.Text() != "usage" {
			other(in.Text())
			continue
		}
		var r syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &r)
		packets, bytes := count()
		fmt.Println(r.Utime.Nano()+r.Stime.Nano(), packets, bytes, resident())
	}
}

// resident returns the resident memory of this process.
func resident() uint64 {
	var size, pages uint64
	b, _ := os.ReadFile("/proc/self/statm")
	fmt.Sscan(string(b), &size, &pages)
	return pages * uint64(os.Getpagesize())
}

// serverDevice is who the PN of a child is.
func serverDevice() *identity.LocalDevice {
	secret := identity.SecretFromSeed([32]byte{200})
	d, err := identity.NewDevice(secret, identity.DeviceDesc{}, identity.DeviceBody{Updated: 1})
	if err != nil {
		panic(err)
	}
	return &identity.LocalDevice{Secret: secret, Device: d}
}

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

// relayChild is a PN with one socket.
func relayChild() {
	s, err := pn.Open(pn.Config{
		Local:     serverDevice(),
		Listen:    []netip.AddrPort{anyPort},
		Sockets:   1,
		Admission: pn.Admission{Open: true},
		Limits:    pn.Limits{Pair: -1, Payer: -1, Handshakes: 1 << 20, PerSession: 1 << 20},
	})
	if err != nil {
		panic(err)
	}
	answer(s.Ref().String(), func() (uint64, uint64) {
		st := s.Stats()
		return st.Packets, st.Bytes
	}, func(line string) { panic(line) })
	s.Close()
}

// bareChild forwards what comes from one address to another, as it is told: the same
// system calls, and a look into a map.
func bareChild() {
	conn, err := underlay.OS().ListenUDP(anyPort)
	if err != nil {
		panic(err)
	}
	var packets, bytes atomic.Uint64
	var to atomic.Pointer[map[netip.AddrPort]netip.AddrPort]
	to.Store(&map[netip.AddrPort]netip.AddrPort{})
	go func() {
		const batch, size = 64, 64<<10 + 3*64
		backing := make([]byte, batch*size)
		ds, out := make([]underlay.Datagram, batch), make([]underlay.Datagram, 0, batch)
		for {
			for i := range ds {
				ds[i] = underlay.Datagram{Data: backing[i*size : (i+1)*size]}
			}
			n, err := conn.ReadBatch(ds)
			if err != nil {
				return
			}
			m := *to.Load()
			out = out[:0]
			count, total := 0, 0
			for i := range ds[:n] {
				d := &ds[i]
				if a, ok := m[d.Addr]; ok {
					out = append(out, underlay.Datagram{Data: d.Data, Addr: a, SegmentSize: d.SegmentSize, ECN: d.ECN})
					total += len(d.Data)
					if count++; d.SegmentSize > 0 {
						count += (len(d.Data) - 1) / d.SegmentSize
					}
				}
			}
			for rest := out; len(rest) > 0; {
				k, err := conn.WriteBatch(rest)
				if err == nil {
					break
				}
				rest = rest[min(k+1, len(rest)):]
			}
			packets.Add(uint64(count))
			bytes.Add(uint64(total))
		}
	}()
	answer(conn.LocalAddr().String(), func() (uint64, uint64) { return packets.Load(), bytes.Load() }, func(line string) {
		from, dest, _ := strings.Cut(line, " ")
		next := map[netip.AddrPort]netip.AddrPort{netip.MustParseAddrPort(from): netip.MustParseAddrPort(dest)}
		for k, v := range *to.Load() {
			next[k] = v
		}
		to.Store(&next)
	})
	conn.Close()
}

package netsim

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A line is two hosts, a and b, joined by one link.
type line struct {
	*Network
	a, b *Host
	link *Link
}

// drawLine joins two hosts.
func drawLine(n *Network, cfg LinkConfig) *line {
	l := &line{Network: n, a: n.Host("a"), b: n.Host("b")}
	l.link = Must(n.Connect(l.a, l.b, cfg, "198.51.100.1", "2001:db8::1"))
	if err := l.b.AddAddr(l.link, "203.0.113.1"); err != nil {
		panic(err)
	}
	if err := l.b.AddAddr(l.link, "2001:db8::2"); err != nil {
		panic(err)
	}
	return l
}

// pipe returns a connection between the hosts.
func (l *line) pipe(t *testing.T) (dialled, accepted *TCPConn) {
	t.Helper()
	ln, err := l.b.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := l.a.DialContext(t.Context(), "tcp", "203.0.113.1:80")
	if err != nil {
		t.Fatal(err)
	}
	return c.(*TCPConn), Must(ln.Accept()).(*TCPConn)
}

// onLine runs f on two hosts in virtual time.
func onLine(t *testing.T, cfg LinkConfig, f func(t *testing.T, l *line)) {
	t.Helper()
	simulate(t, func(t *testing.T, n *Network) { f(t, drawLine(n, cfg)) })
}

// noise returns bytes that repeat late.
func noise(size int) []byte {
	b := make([]byte, 0, size+32)
	for i := 0; len(b) < size; i++ {
		sum := sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		b = append(b, sum[:]...)
	}
	return b[:size]
}

// TestTCPDial: the handshake takes a round trip, and both ends have the addresses.
func TestTCPDial(t *testing.T) {
	onLine(t, LinkConfig{Delay: 50 * time.Millisecond}, func(t *testing.T, l *line) {
		ln := Must(l.b.Listen("tcp", ":80"))
		start := time.Now()
		c, err := l.a.DialContext(t.Context(), "tcp", "203.0.113.1:80")
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 100*time.Millisecond || took > 101*time.Millisecond {
			t.Errorf("connected after %v, want a round trip of 100ms", took)
		}
		d := Must(ln.Accept())
		if got, want := d.RemoteAddr().String(), c.LocalAddr().String(); got != want {
			t.Errorf("accepted from %s, want %s", got, want)
		}
		if got, want := d.LocalAddr().String(), "203.0.113.1:80"; got != want || c.RemoteAddr().String() != want {
			t.Errorf("accepted at %s, dialled %s, want %s", got, c.RemoteAddr(), want)
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 9)
		if k, err := d.Read(b); err != nil || string(b[:k]) != "hello" {
			t.Errorf("read %q, %v", b[:k], err)
		}
		c.Close()
		if _, err := d.Read(b); err != io.EOF {
			t.Errorf("read %v, want EOF", err)
		}
		d.Close()
		time.Sleep(2 * timeWait)
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.a.tcp.conns)+len(l.b.tcp.conns) > 0 || len(l.timers) > 0 {
			t.Errorf("%d and %d connections and %d timers are left", len(l.a.tcp.conns), len(l.b.tcp.conns), len(l.timers))
		}
	})
}

// TestTCPTransfer: what is written is read, whatever the link does to it.
func TestTCPTransfer(t *testing.T) {
	for name, cfg := range map[string]LinkConfig{
		"plain":  {},
		"delay":  {Delay: 30 * time.Millisecond},
		"rate":   {Delay: 10 * time.Millisecond, Rate: 10e6},
		"loss":   {Delay: 10 * time.Millisecond, Loss: 0.05},
		"jitter": {Delay: 10 * time.Millisecond, Jitter: 20 * time.Millisecond},
		"small":  {Delay: time.Millisecond, MTU: 200},
		"all":    {Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.02, Rate: 5e6, MTU: 600},
	} {
		t.Run(name, func(t *testing.T) {
			onLine(t, cfg, func(t *testing.T, l *line) {
				c, d := l.pipe(t)
				want := noise(1 << 20)
				go func() {
					if _, err := c.Write(want); err != nil {
						t.Error(err)
					}
					c.CloseWrite()
				}()
				start := time.Now()
				got, err := io.ReadAll(d)
				if err != nil {
					t.Fatal(err)
				}
				if sha256.Sum256(got) != sha256.Sum256(want) {
					t.Fatalf("read %d bytes that are not the %d written", len(got), len(want))
				}
				t.Logf("%v", time.Since(start))
				d.Close()
				c.Close()
			})
		})
	}
}

// TestTCPErrors: they are those that package net has.
func TestTCPErrors(t *testing.T) {
	onLine(t, LinkConfig{Delay: 10 * time.Millisecond}, func(t *testing.T, l *line) {
		dial := func(address string) error {
			_, err := l.a.DialContext(t.Context(), "tcp", address)
			if _, ok := errors.AsType[*net.OpError](err); !ok {
				t.Errorf("dial %s: %T, want *net.OpError", address, err)
			}
			return err
		}
		if err := dial("203.0.113.1:81"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("closed port: %v", err)
		}
		if err := dial("nowhere:80"); err == nil || !errors.As(err, new(*net.DNSError)) {
			t.Errorf("no such name: %v", err)
		}
		if _, err := l.a.DialContext(t.Context(), "unix", "x"); !errors.As(err, new(net.UnknownNetworkError)) {
			t.Errorf("unix: %v", err)
		}
		lone := l.Host("lone")
		if _, err := lone.DialContext(t.Context(), "tcp", "203.0.113.1:80"); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("no network: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		l.link.SetDown(true)
		_, err := l.a.DialContext(ctx, "tcp", "203.0.113.1:80")
		if e, ok := err.(net.Error); !ok || !e.Timeout() || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ctx: %v", err)
		}
		start := time.Now()
		if err := dial("203.0.113.1:80"); !errors.Is(err, syscall.ETIMEDOUT) || time.Since(start).Round(time.Second) != 127*time.Second {
			t.Errorf("silence: %v after %v, want a timeout after 127 s", err, time.Since(start))
		}
		l.link.SetDown(false)

		c, d := l.pipe(t)
		c.SetReadDeadline(time.Now().Add(time.Second))
		start = time.Now()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("deadline: %v after %v", err, time.Since(start))
		}
		d.SetLinger(0)
		d.Close()
		c.SetReadDeadline(time.Time{})
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("reset: %v", err)
		}
		if _, err := c.Write(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("reset: %v", err)
		}
		c.Close()
		if _, err := c.Read(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed twice: %v", err)
		}
	})
}

// TestTCPWrap: sequence numbers begin again at 0 in the midst of a stream, with losses
// about.
func TestTCPWrap(t *testing.T) {
	for _, before := range []uint32{0, 1, 1460, 100_000, 1 << 31} {
		onLine(t, LinkConfig{Delay: 5 * time.Millisecond, Loss: 0.05}, func(t *testing.T, l *line) {
			ln := Must(l.b.Listen("tcp", ":80"))
			l.mu.Lock()
			c, err := l.a.connect(netip.AddrPort{}, addr("203.0.113.1:80"))
			if err != nil {
				t.Fatal(err)
			}
			c.tx.start(-before) // it leaves a microsecond later
			l.mu.Unlock()
			d := Must(ln.Accept())
			want := noise(300_000)
			go func() {
				if _, err := c.Write(want); err != nil {
					t.Error(err)
				}
				c.CloseWrite()
			}()
			if got, err := io.ReadAll(d); err != nil || sha256.Sum256(got) != sha256.Sum256(want) {
				t.Errorf("%d before 0: %d bytes, %v", before, len(got), err)
			}
		})
	}
}

// TestTCPForgetfulNAT: a connection outlives a NAT's restart where it gets its port again,
// and is reset where it does not.
func TestTCPForgetfulNAT(t *testing.T) {
	for _, ports := range []PortPolicy{PreservePort, RandomPort} {
		simulate(t, func(t *testing.T, n *Network) {
			core, server, client := n.Router("core"), n.Host("server"), n.Host("client")
			box := n.NAT("box", NATConfig{Mapping: AddressAndPortDependent, Ports: ports})
			Must(n.Connect(server, core, LinkConfig{Delay: time.Millisecond}, "203.0.113.1"))
			Must(n.Connect(box, core, LinkConfig{}, "198.51.100.7"))
			Must(n.Connect(client, box, LinkConfig{}, "198.18.1.2/24"))
			ln := Must(server.Listen("tcp", ":80"))
			c := Must(client.DialContext(t.Context(), "tcp", "203.0.113.1:80"))
			d := Must(ln.Accept())
			box.Reset()
			go d.Write([]byte("lost until the client is heard"))
			settle()
			c.Write([]byte("x"))
			_, err := c.Read(make([]byte, 1))
			if kept := ports == PreservePort; kept && err != nil || !kept && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("port policy %v: %v", ports, err)
			}
		})
	}
}

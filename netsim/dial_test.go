package netsim

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestDialNames: a name is tried address by address, and both families race.
func TestDialNames(t *testing.T) {
	onLine(t, LinkConfig{Delay: 10 * time.Millisecond}, func(t *testing.T, l *line) {
		Must(l.b.Listen("tcp", ":80"))
		v4, v6 := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8::2")
		dead4, dead6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:dead::1")
		for _, c := range []struct {
			what    string
			network string
			addrs   []netip.Addr
			want    netip.Addr
			after   time.Duration
		}{
			{"the first", "tcp", []netip.Addr{v6, v4}, v6, 20 * time.Millisecond},
			{"the only one of the family", "tcp4", []netip.Addr{v6, v4}, v4, 20 * time.Millisecond},
			{"the other family while the first is silent", "tcp", []netip.Addr{dead6, v4}, v4, fallbackDelay + 20*time.Millisecond},
			{"the second of the family", "tcp", []netip.Addr{dead4, v4}, v4, 127*time.Second + 20*time.Millisecond},
		} {
			l.SetName("b.example.net", c.addrs...)
			start := time.Now()
			conn, err := l.a.DialContext(t.Context(), c.network, "b.example.net:http")
			if err != nil {
				t.Errorf("%s: %v", c.what, err)
				continue
			}
			if got := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); got != c.want {
				t.Errorf("%s: dialled %v, want %v", c.what, got, c.want)
			}
			if took := time.Since(start); (took - c.after).Abs() > time.Millisecond {
				t.Errorf("%s: took %v, want %v", c.what, took, c.after)
			}
			conn.Close()
		}
		l.SetName("b.example.net", dead6, dead4, v4)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		conn, err := l.a.DialContext(ctx, "tcp", "b.example.net:80")
		// IPv4 begins at 0.3 s, and its first address has half of the rest.
		if err != nil || (time.Since(start)-5150*time.Millisecond).Abs() > 50*time.Millisecond {
			t.Errorf("with a deadline: %v after %v, want a connection after 5.15 s", err, time.Since(start))
		} else {
			conn.Close()
		}
		l.SetName("b.example.net", v6)
		if _, err := l.a.DialContext(t.Context(), "tcp4", "b.example.net:80"); !errors.As(err, new(*net.AddrError)) {
			t.Errorf("no address of the family: %v, want an AddrError", err)
		}
		if _, err := l.a.DialContext(t.Context(), "tcp", "b.example.net:finger"); !errors.As(err, new(*net.AddrError)) {
			t.Errorf("a port without a number: %v, want an AddrError", err)
		}
		if _, err := l.a.DialContext(t.Context(), "tcp", "b.example.net"); !errors.As(err, new(*net.AddrError)) {
			t.Errorf("no port: %v, want an AddrError", err)
		}
		settle()
	})
}

// TestDialCancelled: a dial ends with its context, and leaves nothing behind.
func TestDialCancelled(t *testing.T) {
	onLine(t, LinkConfig{Delay: 10 * time.Millisecond}, func(t *testing.T, l *line) {
		l.link.SetDown(true)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		l.SetName("b.example.net", netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8::2"))
		if _, err := l.a.DialContext(ctx, "tcp", "b.example.net:80"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
		if _, err := l.a.DialContext(ctx, "tcp", "203.0.113.1:80"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
		wantState(t, l.a, tcpClosed)
	})
}

// TestDialSelf: a host reaches itself, by loopback and by its own address.
func TestDialSelf(t *testing.T) {
	onLine(t, LinkConfig{Delay: time.Hour}, func(t *testing.T, l *line) {
		Must(l.a.Listen("tcp", ":80"))
		for _, address := range []string{":80", "localhost:80", "127.0.0.1:80", "[::1]:80", "198.51.100.1:80", "[2001:db8::1]:80"} {
			start := time.Now()
			c, err := l.a.DialContext(t.Context(), "tcp", address)
			if err != nil || time.Since(start) > time.Millisecond {
				t.Errorf("%s: %v after %v", address, err, time.Since(start))
				continue
			}
			c.Close()
		}
		// One port, alone: both ends are one, which hears itself.
		self := Must(l.a.DialFrom(t.Context(), "tcp", addr("127.0.0.1:5000"), "127.0.0.1:5000"))
		self.Write([]byte("echo"))
		b := make([]byte, 8)
		if k, err := self.Read(b); err != nil || string(b[:k]) != "echo" {
			t.Errorf("to itself: %q, %v", b[:k], err)
		}
		self.Close()
		only := Must(l.a.Listen("tcp", "127.0.0.1:0"))
		if _, err := l.a.DialContext(t.Context(), "tcp4", only.Addr().String()); err != nil {
			t.Error(err)
		}
	})
}

// TestDialFrom: the local address is what is asked for, or an error.
func TestDialFrom(t *testing.T) {
	onLine(t, LinkConfig{}, func(t *testing.T, l *line) {
		Must(l.b.Listen("tcp", ":80"))
		c, err := l.a.DialFrom(t.Context(), "tcp", addr("198.51.100.1:777"), "203.0.113.1:80")
		if err != nil || c.LocalAddr().String() != "198.51.100.1:777" {
			t.Fatalf("%v, %v", c, err)
		}
		if _, err := l.a.DialFrom(t.Context(), "tcp", addr("198.51.100.1:777"), "203.0.113.1:80"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("the same again: %v, want EADDRINUSE", err)
		}
		if _, err := l.a.DialFrom(t.Context(), "tcp", addr("192.0.2.9:777"), "203.0.113.1:80"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("not its own: %v, want EADDRNOTAVAIL", err)
		}
		if _, err := l.a.DialFrom(t.Context(), "tcp", addr("198.51.100.1:0"), "[2001:db8::2]:80"); !errors.As(err, new(*net.AddrError)) {
			t.Errorf("another family: %v, want an AddrError", err)
		}
		for _, network := range []string{"udp", "tcp"} {
			if _, err := l.a.DialFrom(t.Context(), network, netip.AddrPort{}, "0.0.0.0:80"); err == nil {
				t.Errorf("%s: dialled the unspecified address", network)
			}
		}
	})
}

// TestTCPThroughNATs: connections pass stacked NATs, a NAT64 and a firewall, and end
// with the address that they have.
func TestTCPThroughNATs(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		core, server := n.Router("core"), n.Host("server")
		wan := LinkConfig{Delay: 5 * time.Millisecond}
		Must(n.Connect(server, core, wan, "203.0.113.1", "2001:db8:1::1"))
		n.SetName("server.example.net", netip.MustParseAddr("203.0.113.1"))
		cgn, home := n.NAT("cgn", Symmetric), n.NAT("home", PortRestricted)
		Must(n.Connect(cgn, core, wan, "198.51.100.1"))
		Must(n.Connect(home, cgn, wan, "198.18.0.2/24"))
		inside := n.Host("inside")
		Must(n.Connect(inside, home, wan, "198.18.1.2/24"))
		n64 := n.NAT("nat64", NAT64)
		Must(n.Connect(n64, core, wan, "198.51.100.2", "2001:db8:2::/64"))
		only6 := n.Host("only6")
		Must(n.Connect(only6, n64, wan, "2001:db8:2::9/64"))
		ln := Must(server.Listen("tcp", ":443"))
		for _, c := range []struct {
			host *Host
			from string
		}{{inside, "198.51.100.1"}, {only6, "198.51.100.2"}} {
			conn, err := c.host.DialContext(t.Context(), "tcp", "server.example.net:443")
			if err != nil {
				t.Errorf("%s: %v", c.host.Name(), err)
				continue
			}
			d := Must(ln.Accept())
			if got := d.RemoteAddr().(*net.TCPAddr).IP.String(); got != c.from {
				t.Errorf("%s comes from %s, want %s", c.host.Name(), got, c.from)
			}
			go d.Write([]byte("hello"))
			b := make([]byte, 8)
			if k, err := conn.Read(b); err != nil || string(b[:k]) != "hello" {
				t.Errorf("%s: read %q, %v", c.host.Name(), b[:k], err)
			}
			conn.Close()
			d.Close()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := server.DialContext(ctx, "tcp", "198.51.100.1:80"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("from outside: %v, want silence", err)
		}
		synctest.Wait()
	})
}

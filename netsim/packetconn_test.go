package netsim

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestPacketConn: it reads and writes as package net does, of both families where both
// are asked for.
func TestPacketConn(t *testing.T) {
	onLine(t, LinkConfig{Delay: time.Millisecond}, func(t *testing.T, l *line) {
		both := Must(l.b.ListenPacket("udp", ":9"))
		for _, address := range []string{":9", "203.0.113.1:9", "[::]:9"} {
			if _, err := l.b.ListenPacket("udp", address); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("%s: %v, want EADDRINUSE", address, err)
			}
		}
		if _, err := l.b.ListenUDP(addr("0.0.0.0:9")); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("ListenUDP: %v, want EADDRINUSE", err)
		}
		buf := make([]byte, 4)
		for _, address := range []string{"203.0.113.1:9", "[2001:db8::2]:9"} {
			c, err := l.a.DialContext(t.Context(), "udp", address)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte("question")); err != nil {
				t.Fatal(err)
			}
			k, from, err := both.ReadFrom(buf)
			if err != nil || string(buf[:k]) != "ques" || from.String() != c.LocalAddr().String() {
				t.Errorf("%s: read %q from %v, %v", address, buf[:k], from, err)
			}
			if _, err := both.WriteTo([]byte("ok"), from); err != nil {
				t.Error(err)
			}
			if k, err := c.Read(buf); err != nil || string(buf[:k]) != "ok" {
				t.Errorf("%s: read %q, %v", address, buf[:k], err)
			}
			if _, err := c.(net.PacketConn).WriteTo([]byte("x"), from); !errors.Is(err, net.ErrWriteToConnected) {
				t.Errorf("WriteTo: %v, want net.ErrWriteToConnected", err)
			}
			c.Close()
		}
		if _, err := both.(net.Conn).Write([]byte("x")); !errors.Is(err, syscall.EDESTADDRREQ) {
			t.Errorf("Write: %v, want EDESTADDRREQ", err)
		}
		if _, err := both.WriteTo([]byte("x"), &net.TCPAddr{}); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("to a TCP address: %v, want EINVAL", err)
		}
		both.Close()
		Must(l.b.ListenPacket("udp4", ":9"))
		Must(l.b.ListenPacket("udp6", ":9"))
		if err := both.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed twice: %v, want net.ErrClosed", err)
		}
	})
}

// TestPacketConnConnected: nobody but the one that was dialled is heard, and if there is
// nobody it is an error.
func TestPacketConnConnected(t *testing.T) {
	onLine(t, LinkConfig{Delay: time.Millisecond}, func(t *testing.T, l *line) {
		c := Must(l.a.DialContext(t.Context(), "udp4", "203.0.113.1:9"))
		stranger := listen(t, l.b, "0.0.0.0:8")
		stranger.send(c.LocalAddr().(*net.UDPAddr).AddrPort(), "x")
		settle()
		c.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read %v, want the deadline", err)
		}
		c.SetReadDeadline(time.Time{})
		c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("read %v, want ECONNREFUSED", err)
		}
	})
}

// TestPacketConnDeadlines: they end calls at their instant, past ones at once, and can be
// moved.
func TestPacketConnDeadlines(t *testing.T) {
	onLine(t, LinkConfig{Delay: time.Millisecond}, func(t *testing.T, l *line) {
		c := Must(l.a.ListenPacket("udp4", ":0"))
		read := func() error { _, _, err := c.ReadFrom(make([]byte, 1)); return err }
		start := time.Now()
		c.SetReadDeadline(start.Add(time.Second))
		if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v, want the deadline after a second", err, time.Since(start))
		}
		if e, ok := read().(net.Error); !ok || !e.Timeout() {
			t.Error("not a timeout")
		}
		c.SetDeadline(time.Now().Add(-time.Second))
		if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v, want the deadline", err)
		}
		if _, err := c.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(addr("203.0.113.1:9"))); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v, want the deadline", err)
		}
		c.SetDeadline(time.Time{})
		ended := make(chan error, 1)
		go func() { ended <- read() }()
		synctest.Wait()
		c.SetReadDeadline(time.Now()) // while it reads
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v, want the deadline", err)
		}
		c.SetReadDeadline(time.Now().Add(time.Hour))
		go func() { ended <- read() }()
		synctest.Wait()
		c.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "use of closed") {
			t.Errorf("%v, want net.ErrClosed", err)
		}
		if err := c.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v, want net.ErrClosed", err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.timers) > 0 {
			t.Errorf("%d timers are left", len(l.timers))
		}
	})
}

// TestPacketConnBuffer: what does not fit the buffer is dropped.
func TestPacketConnBuffer(t *testing.T) {
	onLine(t, LinkConfig{}, func(t *testing.T, l *line) {
		c := Must(l.a.ListenPacket("udp4", ":9"))
		c.(*PacketConn).SetReadBuffer(0) // 4 KiB: ten datagrams with what each costs
		p := listen(t, l.b, "0.0.0.0:9")
		for range 100 {
			p.send(addr("198.51.100.1:9"), strings.Repeat("x", 150))
		}
		settle()
		if got := l.a.Stats().Packets[Delivered]; got != 4096/(150+packetOverhead) {
			t.Errorf("%d datagrams, want %d", got, 4096/(150+packetOverhead))
		}
	})
}

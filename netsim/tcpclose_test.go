package netsim

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// states returns the states of the connections of a host, by remote port.
func states(h *Host) (all []tcpState) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	for _, c := range h.tcp.conns {
		all = append(all, c.state)
	}
	return all
}

// wantState expects one connection, in a state, or none.
func wantState(t *testing.T, h *Host, want tcpState) {
	t.Helper()
	synctest.Wait()
	switch got := states(h); {
	case want == tcpClosed && len(got) == 0:
	case len(got) != 1 || got[0] != want:
		t.Errorf("%s: %v, want %v", h.Name(), got, want)
	}
}

// TestTCPClose walks through the states in which a connection ends.
func TestTCPClose(t *testing.T) {
	const hop = 10 * time.Millisecond
	onLine(t, LinkConfig{Delay: hop}, func(t *testing.T, l *line) {
		c, d := l.pipe(t)
		c.Close()
		wantState(t, l.a, tcpFinWait1)
		time.Sleep(hop + time.Millisecond)
		wantState(t, l.b, tcpCloseWait)
		time.Sleep(hop)
		wantState(t, l.a, tcpFinWait2)
		d.Close()
		wantState(t, l.b, tcpLastACK)
		time.Sleep(hop + time.Millisecond)
		wantState(t, l.a, tcpTimeWait)
		time.Sleep(hop)
		wantState(t, l.b, tcpClosed)
		time.Sleep(timeWait)
		wantState(t, l.a, tcpClosed)

		c, d = l.pipe(t) // both at once
		c.Close()
		d.Close()
		time.Sleep(hop + time.Microsecond)
		wantState(t, l.a, tcpClosing)
		wantState(t, l.b, tcpClosing)
		time.Sleep(hop + time.Millisecond)
		wantState(t, l.a, tcpTimeWait)
		wantState(t, l.b, tcpTimeWait)
		time.Sleep(2 * timeWait)

		c, d = l.pipe(t) // half closed: the other half goes on
		c.CloseWrite()
		if _, err := d.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read %v, want EOF", err)
		}
		if _, err := d.Write([]byte("late")); err != nil {
			t.Error(err)
		}
		b := make([]byte, 8)
		if k, err := c.Read(b); err != nil || string(b[:k]) != "late" {
			t.Errorf("read %q, %v", b[:k], err)
		}
		if _, err := c.Write(b); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write after CloseWrite: %v, want EPIPE", err)
		}
		if err := c.CloseWrite(); !errors.Is(err, syscall.ENOTCONN) {
			t.Errorf("CloseWrite twice: %v, want ENOTCONN", err)
		}
		d.Close()
		c.Close()
		time.Sleep(2 * timeWait)
		wantState(t, l.a, tcpClosed)
		wantState(t, l.b, tcpClosed)
	})
}

// TestTCPOrphan: a connection that its user has closed does not last for ever, whatever
// the peer does.
func TestTCPOrphan(t *testing.T) {
	onLine(t, LinkConfig{Delay: time.Millisecond}, func(t *testing.T, l *line) {
		c, d := l.pipe(t)
		c.Close() // and d never
		time.Sleep(timeWait / 2)
		wantState(t, l.a, tcpFinWait2)
		time.Sleep(timeWait)
		wantState(t, l.a, tcpClosed)
		// A half-open connection is found when it is used (RFC 9293 §3.5.1).
		if _, err := d.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if _, err := d.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read %v, want EOF", err)
		}
		time.Sleep(time.Second)
		if _, err := d.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write %v, want ECONNRESET", err)
		}

		c, _ = l.pipe(t) // the peer is out of reach
		l.link.SetDown(true)
		c.Close()
		time.Sleep(10 * time.Minute)
		wantState(t, l.a, tcpClosed)
	})
}

// TestTCPUnread: the peer of one who closes without having read all learns it.
func TestTCPUnread(t *testing.T) {
	onLine(t, LinkConfig{Delay: time.Millisecond}, func(t *testing.T, l *line) {
		c, d := l.pipe(t)
		c.Write([]byte("x"))
		settle()
		d.Close()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %v, want ECONNRESET", err)
		}
		c.Close()

		c, d = l.pipe(t) // it closes first, then data comes
		d.Close()
		settle()
		c.Write([]byte("x"))
		settle()
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write %v, want ECONNRESET", err)
		}
	})
}

// TestTCPCloseRead: what comes after is acknowledged and lost.
func TestTCPCloseRead(t *testing.T) {
	onLine(t, LinkConfig{Delay: time.Millisecond}, func(t *testing.T, l *line) {
		c, d := l.pipe(t)
		d.CloseRead()
		if _, err := c.Write(make([]byte, 10<<20)); err != nil {
			t.Error(err)
		}
		if _, err := d.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read %v, want EOF", err)
		}
	})
}

// TestTCPWindow: who does not read holds up who writes, and nothing is lost. The
// writer's probes find the window open again if the news of it is lost.
func TestTCPWindow(t *testing.T) {
	onLine(t, LinkConfig{Delay: time.Millisecond}, func(t *testing.T, l *line) {
		c, d := l.pipe(t)
		c.SetWriteBuffer(4 << 10)
		want := noise(6 << 20)
		done := make(chan error, 1)
		go func() {
			_, err := c.Write(want)
			c.CloseWrite()
			done <- err
		}()
		time.Sleep(time.Hour) // longer than 15 retransmissions: probes are answered
		select {
		case err := <-done:
			t.Fatalf("write ended with %v before anything was read", err)
		default:
		}
		l.mu.Lock()
		if have := d.rx.buf.len(); have != defaultReceiveBuffer {
			t.Errorf("%d bytes wait to be read, want the buffer full", have)
		}
		l.mu.Unlock()
		l.link.SetLoss(1)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(d, got[:defaultReceiveBuffer]); err != nil {
			t.Fatal(err)
		}
		settle()
		l.link.SetLoss(0)
		if _, err := io.ReadFull(d, got[defaultReceiveBuffer:]); err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Error("read something else than was written")
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestTCPSilence: a peer that has gone is given up after 15 retransmissions.
func TestTCPSilence(t *testing.T) {
	onLine(t, LinkConfig{Delay: time.Millisecond}, func(t *testing.T, l *line) {
		c, _ := l.pipe(t)
		l.link.SetDown(true)
		c.Write([]byte("x"))
		start := time.Now()
		// As Linux documents: 0.2 s, doubled nine times, then 120 s each; here with the
		// round trip of 2 ms, doubled likewise, 1,023 times.
		want := 924600*time.Millisecond + 1023*2*time.Millisecond
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) || (time.Since(start)-want).Abs() > 10*time.Millisecond {
			t.Errorf("%v after %v, want a timeout after %v", err, time.Since(start), want)
		}
	})
}

// TestTCPKeepAlive: it finds that the peer has gone, keeps silent otherwise, and there is
// none unless it is asked for.
func TestTCPKeepAlive(t *testing.T) {
	onLine(t, LinkConfig{Delay: time.Millisecond}, func(t *testing.T, l *line) {
		c, d := l.pipe(t)
		before := sentOn(l)
		time.Sleep(24 * time.Hour)
		if got := sentOn(l); got != before {
			t.Errorf("an idle connection has sent %d segments", got-before)
		}
		c.SetKeepAlive(true)
		time.Sleep(time.Hour)
		synctest.Wait()
		// A probe and its answer every 15 s.
		if got := sentOn(l) - before; got < 470 || got > 480 {
			t.Errorf("%d segments in an hour, want 480", got)
		}
		l.link.SetDown(true)
		start := time.Now()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) || time.Since(start) > 11*keepalivePeriod {
			t.Errorf("%v after %v, want a timeout after some 150 s", err, time.Since(start))
		}
		d.SetKeepAlivePeriod(0)
		d.SetKeepAlive(true)
		d.SetKeepAlive(false)
		d.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := d.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v, want the deadline", err)
		}
	})
}

// sentOn counts what was sent on a line.
func sentOn(l *line) uint64 {
	up, down := l.link.Stats()
	return up.Packets[Sent] + down.Packets[Sent]
}

// TestTCPListen: what binds and what not, what a listener's end means for those who have
// dialled, and that the backlog has a limit.
func TestTCPListen(t *testing.T) {
	onLine(t, LinkConfig{Delay: time.Millisecond}, func(t *testing.T, l *line) {
		ln := Must(l.b.Listen("tcp", ":80"))
		for _, address := range []string{":80", "203.0.113.1:80", "[::]:80", "[2001:db8::2]:80", "0.0.0.0:80"} {
			if _, err := l.b.Listen("tcp", address); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("%s: %v, want EADDRINUSE", address, err)
			}
		}
		if _, err := l.b.Listen("tcp", "192.0.2.1:80"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("not its own: %v, want EADDRNOTAVAIL", err)
		}
		if _, err := l.b.Listen("udp", ":80"); !errors.As(err, new(net.UnknownNetworkError)) {
			t.Errorf("udp: %v, want UnknownNetworkError", err)
		}
		four, six := Must(l.b.Listen("tcp4", ":81")), Must(l.b.Listen("tcp6", ":81"))
		for _, address := range []string{"203.0.113.1:81", "[2001:db8::2]:81"} {
			if c, err := l.a.DialContext(t.Context(), "tcp", address); err != nil {
				t.Errorf("%s: %v", address, err)
			} else {
				c.Close()
			}
		}
		four.Close()
		six.Close()

		var conns []net.Conn
		for range 3 {
			conns = append(conns, Must(l.a.DialContext(t.Context(), "tcp", "203.0.113.1:80")))
		}
		d := Must(ln.Accept())
		blocked := make(chan error, 1)
		go func() {
			for {
				if _, err := ln.Accept(); err != nil {
					blocked <- err
					return
				}
			}
		}()
		conns = append(conns, Must(l.a.DialContext(t.Context(), "tcp", "203.0.113.1:80")))
		settle()
		ln.Close()
		if err := <-blocked; !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v, want net.ErrClosed", err)
		}
		if _, err := d.Write([]byte("x")); err != nil {
			t.Errorf("what was accepted has ended with the listener: %v", err)
		}
		if _, err := conns[0].Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed twice: %v, want net.ErrClosed", err)
		}
		ln = Must(l.b.Listen("tcp", ":80")) // connections do not hold the port
		c := Must(l.a.DialContext(t.Context(), "tcp", "203.0.113.1:80"))
		ln.Close()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("not accepted: %v, want ECONNRESET", err)
		}
	})
}

// TestTCPBacklog: beyond it SYNs are dropped, and come again.
func TestTCPBacklog(t *testing.T) {
	onLine(t, LinkConfig{Delay: time.Millisecond}, func(t *testing.T, l *line) {
		ln := Must(l.b.Listen("tcp", ":80"))
		for range maxBacklog {
			Must(l.a.DialContext(t.Context(), "tcp", "203.0.113.1:80"))
		}
		dialled := make(chan error, 1)
		go func() {
			_, err := l.a.DialContext(t.Context(), "tcp", "203.0.113.1:80")
			dialled <- err
		}()
		time.Sleep(10 * time.Second)
		select {
		case err := <-dialled:
			t.Fatalf("one more was accepted (%v)", err)
		default:
		}
		Must(ln.Accept())
		if err := <-dialled; err != nil {
			t.Errorf("with room: %v", err)
		}
	})
}

// TestTCPSimultaneousOpen: two who call each other at once get one connection (RFC 9293
// §3.5, figure 7).
func TestTCPSimultaneousOpen(t *testing.T) {
	onLine(t, LinkConfig{Delay: 10 * time.Millisecond}, func(t *testing.T, l *line) {
		got := make(chan net.Conn, 1)
		go func() {
			c, err := l.b.DialFrom(t.Context(), "tcp", addr("203.0.113.1:2000"), "198.51.100.1:1000")
			if err != nil {
				t.Error(err)
			}
			got <- c
		}()
		c, err := l.a.DialFrom(t.Context(), "tcp", addr("0.0.0.0:1000"), "203.0.113.1:2000")
		if err != nil {
			t.Fatal(err)
		}
		d := <-got
		if d == nil {
			t.FailNow()
		}
		go c.Write([]byte("hello"))
		b := make([]byte, 9)
		if k, err := d.Read(b); err != nil || string(b[:k]) != "hello" {
			t.Errorf("read %q, %v", b[:k], err)
		}
	})
}

// TestTCPAgain: a port that is in TIME-WAIT takes a new connection (RFC 9293 §3.6.1).
func TestTCPAgain(t *testing.T) {
	onLine(t, LinkConfig{Delay: time.Millisecond}, func(t *testing.T, l *line) {
		ln := Must(l.b.Listen("tcp", ":80"))
		for range 3 {
			c, err := l.a.DialFrom(t.Context(), "tcp", addr("0.0.0.0:1000"), "203.0.113.1:80")
			if err != nil {
				t.Fatal(err)
			}
			d := Must(ln.Accept())
			d.Close() // TIME-WAIT is at the server
			settle()
			c.Close()
			settle()
			wantState(t, l.b, tcpTimeWait)
			wantState(t, l.a, tcpClosed)
		}
	})
}

// TestTCPNetworkClose: all calls end with the network.
func TestTCPNetworkClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := drawLine(New(Config{Seed: 1}), LinkConfig{Delay: time.Second})
		c, _ := l.pipe(t)
		ln := Must(l.b.Listen("tcp", ":80"))
		pc := Must(l.a.ListenPacket("udp", ":0"))
		errs := make(chan error, 4)
		go func() { _, err := c.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := ln.Accept(); errs <- err }()
		go func() { _, err := l.a.DialContext(t.Context(), "tcp", "203.0.113.1:80"); errs <- err }()
		go func() { _, _, err := pc.ReadFrom(make([]byte, 1)); errs <- err }()
		time.Sleep(time.Second / 2)
		l.Close()
		for range 4 {
			if err := <-errs; !errors.Is(err, net.ErrClosed) {
				t.Errorf("%v, want net.ErrClosed", err)
			}
		}
		if _, err := l.a.DialContext(t.Context(), "tcp", "203.0.113.1:80"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("dial: %v, want net.ErrClosed", err)
		}
		if _, err := l.a.Listen("tcp", ":0"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("listen: %v, want net.ErrClosed", err)
		}
		c.SetDeadline(time.Now().Add(time.Second))
		c.Close()
	})
}

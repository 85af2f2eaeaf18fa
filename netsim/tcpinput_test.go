package netsim

import (
	"errors"
	"io"
	"syscall"
	"testing"
	"time"
)

// give has a connection receive a segment as from its peer, its numbers counted from where
// the connection stands.
func give(c *TCPConn, t TCPHeader, data string) {
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at = n.now()
	t.Seq += c.rx.nxt
	t.Ack += c.tx.una
	c.host.receive(newPacket(Packet{Proto: TCP, Src: c.remote, Dst: c.local, HopLimit: 1, TCP: t, Data: []byte(data)}), c.host.ifaces[0].out.back())
	n.kick()
}

// TestTCPBlindReset: a RST or SYN that does not know exactly where the connection stands is
// answered with where that is, and changes nothing (RFC 5961 §3, §4); but only twice a second.
func TestTCPBlindReset(t *testing.T) {
	onLine(t, LinkConfig{Delay: time.Millisecond}, func(t *testing.T, l *line) {
		c, d := l.pipe(t)
		settle()
		for what, h := range map[string]TCPHeader{
			"RST in the window":     {Flags: RST, Seq: 1},
			"RST before the window": {Flags: RST, Seq: ^uint32(0)},
			"RST beyond the window": {Flags: RST, Seq: 1 << 30},
			"SYN in the window":     {Flags: SYN, Seq: 1},
			"SYN where it stands":   {Flags: SYN},
			"of what was not sent":  {Flags: ACK, Ack: 1000},
			"without ACK":           {Flags: PSH},
			"nothing":               {},
		} {
			for range 10 {
				before := sentOn(l)
				for range 10 {
					give(d, h, "")
				}
				time.Sleep(time.Second)
				if got := sentOn(l) - before; got > 1 {
					t.Errorf("%s: 10 were answered with %d", what, got)
				}
			}
			if got := states(l.b); len(got) != 1 || got[0] != tcpEstablished {
				t.Fatalf("%s: %v", what, got)
			}
		}
		go c.Write([]byte("still here"))
		b := make([]byte, 16)
		if k, err := d.Read(b); err != nil || string(b[:k]) != "still here" {
			t.Errorf("%q, %v", b[:k], err)
		}
		give(d, TCPHeader{Flags: RST}, "")
		if _, err := d.Read(b); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v, want ECONNRESET", err)
		}
	})
}

// TestTCPBeyondFIN: what claims to come after the end is not read.
func TestTCPBeyondFIN(t *testing.T) {
	onLine(t, LinkConfig{Delay: time.Millisecond}, func(t *testing.T, l *line) {
		_, d := l.pipe(t)
		settle()
		give(d, TCPHeader{Flags: ACK | FIN, Seq: 10}, "")
		give(d, TCPHeader{Flags: ACK, Seq: 8}, "89xx")
		give(d, TCPHeader{Flags: ACK | FIN, Seq: 15}, "")
		give(d, TCPHeader{Flags: ACK}, "0123456789yyyyyyyy")
		if got, err := io.ReadAll(d); err != nil || string(got) != "0123456789" {
			t.Errorf("read %q, %v", got, err)
		}
	})
}

// A cutter takes segments off a line, by what they carry.
type cutter struct {
	l    *line
	drop func(first bool, p *Packet) bool // called with the network locked; whether it is the first with that number
	seen map[uint32]bool
	cut  int
}

func cut(l *line, drop func(first bool, p *Packet) bool) *cutter {
	k := &cutter{l: l, drop: drop, seen: make(map[uint32]bool)}
	l.link.SetTamper(func(p Packet, emit func(Packet, time.Duration)) {
		l.mu.Lock()
		first := !k.seen[p.TCP.Seq]
		dropped := len(p.Data) > 0 && k.drop(first, &p)
		if len(p.Data) > 0 {
			k.seen[p.TCP.Seq] = true
		}
		if dropped {
			k.cut++
		}
		l.mu.Unlock()
		if !dropped {
			emit(p, 0)
		}
	})
	return k
}

// sendAll returns how long c takes to send so many bytes to d.
func sendAll(t *testing.T, c, d *TCPConn, size int) time.Duration {
	t.Helper()
	start := time.Now()
	go func() {
		if _, err := c.Write(make([]byte, size)); err != nil {
			t.Error(err)
		}
	}()
	if _, err := io.ReadFull(d, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

// TestTCPFastRetransmit: one loss, and the loss of what was sent for it, are repaired
// without the timer, in a round trip each. The congestion window is that of two round
// trips, so that half of it still fills the link.
func TestTCPFastRetransmit(t *testing.T) {
	const (
		rtt    = 50 * time.Millisecond
		rate   = 50e6
		window = rate / 8 / 10 // two round trips, one of which waits in the queue
		size   = 3 << 20
		place  = 1500 * 1460 // in the midst
	)
	var whole time.Duration
	for times := range 4 {
		onLine(t, LinkConfig{Delay: rtt / 2, Rate: rate, Queue: window}, func(t *testing.T, l *line) {
			c, d := l.pipe(t)
			c.tx.ssthresh = window
			left, lost := times, c.tx.nxt+place
			k := cut(l, func(_ bool, p *Packet) bool {
				if left == 0 || p.Src != c.local || p.TCP.Seq != lost {
					return false
				}
				left--
				return true
			})
			took := sendAll(t, c, d, size)
			if k.cut != times {
				t.Fatalf("cut %d segments, want %d", k.cut, times)
			}
			if times == 0 {
				whole = took
			}
			// The timer would take 300 ms, then 600.
			if extra, most := took-whole, time.Duration(times)*(2*rtt+10*time.Millisecond); extra > most {
				t.Errorf("lost %d times: took %v more than %v, want %v at most", times, extra, whole, most)
			}
		})
	}
}

// TestTCPKarn: an acknowledgement of what was sent twice measures nothing (RFC 6298 §3).
func TestTCPKarn(t *testing.T) {
	const rtt = 50 * time.Millisecond
	onLine(t, LinkConfig{Delay: rtt / 2, Rate: 50e6}, func(t *testing.T, l *line) {
		c, d := l.pipe(t)
		k := cut(l, func(first bool, p *Packet) bool { // the one that is timed
			return first && c.tx.rtt.timed && p.TCP.Seq == c.tx.rtt.seq && p.Src == c.local
		})
		sendAll(t, c, d, 300_000)
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.cut == 0 {
			t.Fatal("nothing was cut")
		}
		if srtt := c.tx.rtt.srtt; srtt < rtt || srtt > rtt*6/5 {
			t.Errorf("with %d cut the round trip is taken for %v, want %v", k.cut, srtt, rtt)
		}
	})
}

// TestTCPDelayedACK: a segment alone is acknowledged after 40 ms, two at once, and an
// answer carries the acknowledgement.
func TestTCPDelayedACK(t *testing.T) {
	onLine(t, LinkConfig{Delay: time.Millisecond}, func(t *testing.T, l *line) {
		c, d := l.pipe(t)
		settle()
		acked := func() time.Duration {
			start := time.Now()
			for {
				time.Sleep(100 * time.Microsecond)
				l.mu.Lock()
				done := c.tx.una == c.tx.nxt
				l.mu.Unlock()
				if done {
					return time.Since(start)
				}
			}
		}
		c.Write(make([]byte, 100))
		time.Sleep(10 * time.Microsecond)
		if took := acked(); took < delayedACK || took > delayedACK+3*time.Millisecond {
			t.Errorf("one segment was acknowledged after %v, want 42 ms", took)
		}
		c.Write(make([]byte, 2*1460))
		time.Sleep(10 * time.Microsecond)
		if took := acked(); took > 3*time.Millisecond {
			t.Errorf("two segments were acknowledged after %v, want a round trip", took)
		}
		settle()
		d.Read(make([]byte, 1<<20))
		before := sentOn(l)
		go func() {
			d.Read(make([]byte, 100))
			d.Write([]byte("answer"))
		}()
		c.Write(make([]byte, 100))
		c.Read(make([]byte, 100))
		if got := sentOn(l) - before; got != 2 {
			t.Errorf("question and answer took %d segments, want 2", got)
		}
	})
}

// TestTCPNagle: with it, little writes wait for the acknowledgement of the one before;
// without, as at first, they do not.
func TestTCPNagle(t *testing.T) {
	for _, noDelay := range []bool{true, false} {
		onLine(t, LinkConfig{Delay: 10 * time.Millisecond}, func(t *testing.T, l *line) {
			c, d := l.pipe(t)
			settle()
			c.SetNoDelay(noDelay)
			go io.Copy(io.Discard, d)
			before, _ := l.link.Stats()
			for range 50 {
				c.Write([]byte("x"))
				time.Sleep(time.Millisecond)
			}
			settle()
			after, _ := l.link.Stats()
			want := uint64(50)
			if !noDelay {
				want = 2 // 20 ms of round trip and 40 of delayed acknowledgement
			}
			if got := after.Packets[Sent] - before.Packets[Sent]; got != want {
				t.Errorf("no delay %t: %d segments, want %d", noDelay, got, want)
			}
		})
	}
}

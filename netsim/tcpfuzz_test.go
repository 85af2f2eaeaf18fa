package netsim

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"
)

// streamByte is the content of the streams of FuzzTCP at an offset: no two neighbourhoods
// are alike, so that what is out of its place shows.
func streamByte(offset int) byte { return byte(mix(uint64(offset/8)) >> (offset % 8 * 8)) }

func streamBytes(offset, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = streamByte(offset + i)
	}
	return b
}

// A fuzzed is a segment that FuzzTCP makes of 14 bytes.
type fuzzed struct {
	toDialler, stranger bool
	flags               TCPFlags
	seq, ack            int32 // from where the receiver stands
	window              uint32
	size                int
	sack                [2]int16
	wait                time.Duration
}

func cutFuzzed(b []byte) fuzzed {
	return fuzzed{
		toDialler: b[0]&1 != 0,
		stranger:  b[0]&14 == 14,
		flags:     TCPFlags(b[1]) & 31,
		seq:       int32(int16(binary.BigEndian.Uint16(b[2:]))) << (b[0] >> 4),
		ack:       int32(int16(binary.BigEndian.Uint16(b[4:]))) << (b[0] >> 4),
		window:    uint32(b[6]) << (b[7] % 25),
		size:      int(b[8]) * 8,
		sack:      [2]int16{int16(binary.BigEndian.Uint16(b[9:])), int16(binary.BigEndian.Uint16(b[11:]))},
		wait:      time.Duration(b[13]) * time.Millisecond / 4,
	}
}

// inject gives a segment to one end of a connection. What data it has is what the peer
// would send at that place.
func (f *fuzzed) inject(h *Host, c *TCPConn) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at = n.now()
	t := TCPHeader{
		Seq: c.rx.nxt + uint32(f.seq), Ack: c.tx.una + uint32(f.ack), Flags: f.flags, Window: f.window,
		SACK: []SeqRange{{c.tx.una + uint32(f.sack[0]), c.tx.una + uint32(f.sack[1])}},
	}
	first := t.Seq
	if f.flags&SYN != 0 {
		first++
		t.MSS = uint16(f.window)
	}
	q := Packet{Proto: TCP, Src: c.remote, Dst: c.local, HopLimit: 1, TCP: t}
	if offset := int(int32(first - (c.rx.irs + 1))); offset >= 0 {
		q.Data = streamBytes(offset, f.size)
	}
	if f.stranger {
		q.Src = addr("203.0.113.99:9")
	}
	h.receive(newPacket(q), c.host.ifaces[0].out.back())
	checkTCP(c)
	n.kick()
}

// checkTCP panics if what a connection keeps makes no sense or has no bound.
func checkTCP(c *TCPConn) {
	s, r := &c.tx, &c.rx
	must := func(ok bool, what string) {
		if !ok {
			panic(what + ": " + c.String())
		}
	}
	if c.state == tcpClosed {
		must(!c.out.armed() && !c.alarm.armed() && !r.late.armed(), "timers of what is closed")
		return
	}
	must(!before(s.nxt, s.una), "una is beyond nxt")
	must(!before(s.end(), s.nxt), "nxt is beyond the end")
	must(s.buf.len() <= s.limit && r.buf.len() <= r.limit, "a buffer is over its limit")
	must(len(s.sacked) <= maxSpans && len(r.ahead) <= maxSpans && len(r.beyond) <= maxBurst && len(r.told) <= maxSACK, "a table is over its limit")
	must(r.edge-r.nxt <= uint32(max(r.limit, 4<<20)), "the window is over its limit")
	must(c.state <= tcpSynReceived || s.cwnd > 0 && s.mss >= minMSS, "no window")
	ahead := 0
	for i, a := range r.ahead {
		ahead += len(a.data)
		must(i == 0 || !before(a.seq, r.ahead[i-1].end()), "runs overlap")
	}
	must(ahead <= r.limit, "more waits than the window has room for")
	for i, a := range s.sacked {
		must(before(a.First, a.End) && (i == 0 || before(s.sacked[i-1].End, a.First)), "ranges overlap")
	}
}

// FuzzTCP: segments in any order, with any header, and with the stream's own data, neither
// make a host panic nor change the stream, and leave nothing behind.
func FuzzTCP(f *testing.F) {
	seg := func(b ...byte) []byte { return append(b, make([]byte, 14-len(b))...) }
	f.Add([]byte{})
	f.Add(seg(0, byte(ACK|PSH), 0, 0, 0, 0, 255, 8, 100))
	f.Add(append(seg(1, byte(RST)), seg(0, byte(SYN))...))
	f.Add(append(seg(0, byte(ACK|FIN), 1, 0, 0, 0, 255, 8, 100), seg(0, byte(ACK), 0, 0, 0, 0, 255, 8, 250)...))
	f.Add(append(seg(1, byte(ACK), 0, 0, 0, 100, 255, 8, 0, 1, 0, 2, 0), seg(14, byte(SYN))...))
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) { fuzzTCP(t, data[:min(len(data), 14*64)]) })
	})
}

// TestTCPRandomSegments is FuzzTCP with segments from seeds.
func TestTCPRandomSegments(t *testing.T) {
	seeds := uint64(100)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		var data []byte
		for i := range uint64(14 * 64 / 8) {
			data = binary.BigEndian.AppendUint64(data, mix(seed, i))
		}
		for i := 0; i < len(data); i += 14 {
			if seed%2 == 0 {
				data[i+1] &^= byte(RST | SYN) // which end so much
			}
			if seed%4 < 2 {
				data[i+13] %= 8
				data[i] &= 15 // near the window
			}
		}
		synctest.Test(t, func(t *testing.T) { fuzzTCP(t, data) })
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

func fuzzTCP(t *testing.T, data []byte) {
	n := New(Config{Seed: 1, ReceiveBuffer: 16 << 10})
	defer n.Close()
	l := drawLine(n, LinkConfig{Delay: time.Millisecond, Rate: 10e6})
	c, d := l.pipe(t)
	ln := Must(l.b.Listen("tcp", ":80")) // for strangers, who are never accepted
	done := make(chan struct{})
	stop := time.Now().Add(time.Minute)
	for _, end := range []*TCPConn{c, d} {
		end.SetDeadline(stop)
		go func() { // writes the stream
			defer func() { done <- struct{}{} }()
			for at := 0; at < 64<<10; at += 4096 {
				if _, err := end.Write(streamBytes(at, 4096)); err != nil {
					return
				}
			}
			end.CloseWrite()
		}()
		go func() { // reads it
			defer func() { done <- struct{}{} }()
			b := make([]byte, 5000)
			for at := 0; ; {
				k, err := end.Read(b)
				for i := range k {
					if b[i] != streamByte(at+i) {
						t.Errorf("%v: byte %d is not the stream's", end, at+i)
						return
					}
				}
				if at += k; err != nil {
					return
				}
			}
		}()
	}
	for ; len(data) >= 14; data = data[14:] {
		s := cutFuzzed(data)
		if s.toDialler {
			s.inject(l.a, c)
		} else {
			s.inject(l.b, d)
		}
		time.Sleep(s.wait)
	}
	for range 4 {
		<-done
	}
	c.Close()
	d.Close()
	ln.Close()
	time.Sleep(time.Hour)
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(l.a.tcp.conns)+len(l.b.tcp.conns)+len(n.timers) > 0 {
		t.Errorf("an hour later there are %d and %d connections, %d timers", len(l.a.tcp.conns), len(l.b.tcp.conns), len(n.timers))
	}
}

package socket

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/bdtnet/bdt/underlay"
)

func TestClassify(t *testing.T) {
	for first := range 256 {
		want := classMalformed
		switch b := byte(first); {
		case b == 0x2a:
			want = classRelayed
		case b <= 0x03:
			want = classSTUN
		case b >= 0x20 && b <= 0x3f:
			want = classControl
		case b >= 0x40 && b <= 0x7f, b >= 0xc0:
			want = classQUIC
		}
		if got := classify(pk(byte(first), 20)); got != want {
			t.Errorf("first byte %#x: class %d, want %d", first, got, want)
		}
		short := want // what needs no more than its first byte
		if want == classSTUN {
			short = classMalformed
		}
		for _, n := range []int{1, 19} {
			if got := classify(pk(byte(first), n)); got != short {
				t.Errorf("%d bytes of %#x: class %d, want %d", n, first, got, short)
			}
		}
	}
	if got := classify(nil); got != classMalformed {
		t.Errorf("nothing: class %d", got)
	}
	cookieless := pk(1, 20)
	cookieless[5]++
	if got := classify(cookieless); got != classMalformed {
		t.Errorf("STUN without the cookie: class %d", got)
	}
}

// idle returns a socket without a reader, for driving a demux by hand.
func idle(h Handler) *Socket {
	s := &Socket{handler: h}
	s.routes.init()
	s.relays.init()
	return s
}

func TestEntries(t *testing.T) {
	join := func(packets ...[]byte) []byte { return bytes.Join(packets, nil) }
	control := func(first, n int) string { return fmt.Sprintf("control %#x %d %v", first, n, peer1) }
	for _, c := range []struct {
		name      string
		data      []byte
		size      int
		want      []string
		malformed uint64
	}{
		{name: "empty", malformed: 1},
		{name: "single", data: pk(0x40, 50), want: []string{"q 0x40 50/0 ecn 2"}},
		{name: "size of the data", data: pk(0x40, 50), size: 50, want: []string{"q 0x40 50/0 ecn 2"}},
		{name: "size beyond the data", data: pk(0x40, 50), size: 70, want: []string{"q 0x40 50/0 ecn 2"}},
		{name: "run", data: pk(0x40, 120), size: 50, want: []string{"q 0x40 120/50 ecn 2"}},
		{name: "long and short headers", data: join(pk(0xc0, 50), pk(0x40, 50)), size: 50,
			want: []string{"q 0xc0 100/50 ecn 2"}},
		{name: "control run", data: join(pk(0x20, 50), pk(0x21, 50), pk(0x22, 1)), size: 50,
			want: []string{control(0x20, 50), control(0x21, 50), control(0x22, 1)}},
		{name: "control first", data: join(pk(0x20, 50), pk(0x40, 50), pk(0x41, 9)), size: 50,
			want: []string{control(0x20, 50), "q 0x40 59/50 ecn 2"}},
		{name: "control last", data: join(pk(0x40, 50), pk(0x41, 50), pk(0x20, 50)), size: 50,
			want: []string{"q 0x40 100/50 ecn 2", control(0x20, 50)}},
		{name: "alternating", data: join(pk(0x40, 50), pk(0x20, 50), pk(0x41, 50), pk(0, 50)), size: 50,
			want: []string{"q 0x40 50/0 ecn 2", control(0x20, 50), "q 0x41 50/0 ecn 2", fmt.Sprintf("stun 50 %v", peer1)}},
		{name: "relayed run between", data: join(pk(0x40, 50), pk(0x2a, 50), pk(0x2a, 50), pk(0x29, 20)), size: 50,
			want: []string{"q 0x40 50/0 ecn 2", "relay 0x2a 100/50 ecn 2", control(0x29, 20)}},
		{name: "malformed between", data: join(pk(0x40, 50), pk(0x80, 50), pk(0x10, 50), pk(0x41, 20)), size: 50,
			want: []string{"q 0x40 50/0 ecn 2", "q 0x41 20/0 ecn 2"}, malformed: 2},
	} {
		j := newJournal()
		s := idle(j)
		s.SetRoute(peer1, j.sink("q"))
		s.SetRelay(peer1, j.sink("relay"))
		d := demux{s: s}
		d.entry(&underlay.Datagram{Data: c.data, SegmentSize: c.size, Addr: peer1, ECN: 2})
		t.Run(c.name, func(t *testing.T) { j.expect(t, c.want...) })
		if got := s.Stats(); got.DroppedMalformed != c.malformed || got.DroppedUnrouted != 0 {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// Each packet of a run without a route counts, and so does one whose route
// was taken away.
func TestUnrouted(t *testing.T) {
	j := newJournal()
	s := idle(j)
	d := demux{s: s}
	sink := j.sink("q")
	run := &underlay.Datagram{Data: pk(0x40, 250), SegmentSize: 100, Addr: peer1}
	s.SetRoute(peer2, sink)
	d.entry(run)
	s.SetRoute(peer1, sink)
	d.entry(run)
	s.DeleteRoute(peer1, sink)
	d.entry(run)
	// A route is none for relayed packets.
	s.SetRoute(peer1, sink)
	d.entry(&underlay.Datagram{Data: pk(0x2a, 30), Addr: peer1})
	relay := j.sink("relay")
	s.SetRelay(peer1, relay)
	s.DeleteRelay(peer1, sink)
	d.entry(&underlay.Datagram{Data: pk(0x2a, 30), Addr: peer1})
	s.DeleteRelay(peer1, relay)
	d.entry(&underlay.Datagram{Data: pk(0x2a, 30), Addr: peer1})
	if got := s.Stats(); got.DroppedUnrouted != 8 || got.Received.QUIC != (Count{9, 750}) {
		t.Errorf("%+v", got)
	}
	j.expect(t, "q 0x40 250/100 ecn 0", "relay 0x2a 30/0 ecn 0")
}

// A checker takes deliveries and compares them with the entry they are from.
type checker struct {
	t       *testing.T
	b       []byte // what is left of the entry
	size    int
	last    class // of what was delivered last, if nothing was skipped since
	packets uint64
	skipped uint64
}

// next skips malformed packets, and takes b off the entry.
func (c *checker) next(b []byte, want class, count uint64) {
	for len(c.b) > 0 {
		n := min(c.size, len(c.b))
		if classify(c.b[:n]) != classMalformed {
			break
		}
		c.b, c.last = c.b[n:], classMalformed
		c.skipped++
	}
	if !bytes.HasPrefix(c.b, b) || len(b) == 0 {
		c.t.Fatalf("delivered %x, the entry goes on %x", b, c.b)
	}
	if want == c.last && (want == classQUIC || want == classRelayed) {
		c.t.Fatalf("a run of class %d was split", want)
	}
	c.last = want
	c.packets += count
	c.b = c.b[len(b):]
	for len(b) > 0 {
		n := min(c.size, len(b))
		if n < c.size && len(c.b) > 0 {
			c.t.Fatal("a packet was cut")
		}
		if got := classify(b[:n]); got != want {
			c.t.Fatalf("class %d delivered as %d", got, want)
		}
		b = b[n:]
		count--
	}
	if count != 0 {
		c.t.Fatalf("%d packets too few", count)
	}
}

func (c *checker) HandleControl(_ *Socket, b []byte, _ netip.AddrPort) { c.next(b, classControl, 1) }
func (c *checker) HandleSTUN(_ *Socket, b []byte, _ netip.AddrPort)    { c.next(b, classSTUN, 1) }

// A checkerSink is where a checker's packets of one class are routed to.
type checkerSink struct {
	*checker
	class class
}

func (c checkerSink) Deliver(b []byte, segmentSize int, ecn uint8) {
	count := uint64(1)
	if segmentSize != 0 {
		if segmentSize != c.size || len(b) <= segmentSize {
			c.t.Fatalf("%d bytes in segments of %d, the entry's are %d", len(b), segmentSize, c.size)
		}
		count = uint64((len(b) + c.size - 1) / c.size)
	}
	if ecn != 1 {
		c.t.Fatalf("ECN %d", ecn)
	}
	c.next(b, c.class, count)
}

// FuzzDemux hands in runs of anything: every packet is delivered once, whole,
// in order and to the right receiver, or counted as malformed.
func FuzzDemux(f *testing.F) {
	f.Add(pk(0x40, 250), 100)
	f.Add(append(append(pk(0x40, 40), pk(0x20, 20)...), pk(1, 20)...), 20)
	f.Add(append(pk(0x80, 7), pk(0xff, 7)...), 7)
	f.Add([]byte{}, -1)
	f.Add(append(pk(0x2a, 60), pk(0x40, 40)...), 20)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		c := &checker{t: t, b: b, size: size}
		if size <= 0 || size > len(b) {
			c.size = len(b)
		}
		s := idle(c)
		s.SetRoute(peer1, checkerSink{c, classQUIC})
		s.SetRelay(peer1, checkerSink{c, classRelayed})
		d := demux{s: s}
		d.entry(&underlay.Datagram{Data: b, SegmentSize: size, Addr: peer1, ECN: 1})
		for rest := c.b; len(rest) > 0; { // what is left must be malformed
			n := min(c.size, len(rest))
			if classify(rest[:n]) != classMalformed {
				t.Fatalf("not delivered: %x", rest)
			}
			rest = rest[n:]
			c.skipped++
		}
		if len(b) == 0 {
			c.skipped = 1
		}
		st := s.Stats()
		got := st.Received.Control.Packets + st.Received.STUN.Packets + st.Received.QUIC.Packets + st.Received.Relayed.Packets
		if got != c.packets || st.DroppedMalformed != c.skipped {
			t.Errorf("%+v, want %d packets and %d malformed", st, c.packets, c.skipped)
		}
	})
}

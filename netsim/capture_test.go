package netsim

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestCapture: a packet is captured with what it holds at each step of its way, keeps
// its id, and costs nothing to those who do not ask.
func TestCapture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{})
		defer n.Close()
		var got []Capture
		traced := 0
		n.Capture(func(c Capture) { got = append(got, c) })
		n.Trace(func(Event) { traced++ })
		a, nat, z := n.Host("a"), n.NAT("nat", PortRestricted), n.Host("z")
		Must(n.Connect(a, nat, LinkConfig{Delay: time.Millisecond}, "198.18.0.1/24"))
		r := n.Router("r")
		Must(n.Connect(nat, r, LinkConfig{Delay: time.Millisecond}, "198.51.100.1"))
		Must(n.Connect(z, r, LinkConfig{Delay: time.Millisecond}, "203.0.113.1"))
		from, to := listen(t, a, "0.0.0.0:7"), listen(t, z, "0.0.0.0:9")
		from.send(addr("203.0.113.1:9"), "one")
		from.send(addr("203.0.113.1:9"), "two")
		to.want("one")
		to.send(to.want("two").Addr, "back")
		from.want("back")
		settle()
		if traced != len(got) {
			t.Errorf("%d events, but %d captures", traced, len(got))
		}
		type step struct {
			id   uint64
			fate Fate
			node string
			up   bool
			src  string
			data string
		}
		var steps []step
		for _, c := range got {
			steps = append(steps, step{c.ID, c.Fate, c.Node, c.Up, c.Packet.Src.String(), string(c.Packet.Data)})
		}
		slices.SortStableFunc(steps, func(a, b step) int { return int(a.id) - int(b.id) })
		want := []step{
			{1, Sent, "a", true, "198.18.0.1:7", "one"}, {1, Translated, "nat", true, "198.51.100.1:7", "one"}, {1, Sent, "nat", true, "198.51.100.1:7", "one"},
			{1, Sent, "r", false, "198.51.100.1:7", "one"}, {1, Delivered, "z", false, "198.51.100.1:7", "one"},
			{2, Sent, "a", true, "198.18.0.1:7", "two"}, {2, Translated, "nat", true, "198.51.100.1:7", "two"}, {2, Sent, "nat", true, "198.51.100.1:7", "two"},
			{2, Sent, "r", false, "198.51.100.1:7", "two"}, {2, Delivered, "z", false, "198.51.100.1:7", "two"},
			{3, Sent, "z", true, "203.0.113.1:9", "back"}, {3, Sent, "r", false, "203.0.113.1:9", "back"}, {3, Translated, "nat", false, "203.0.113.1:9", "back"},
			{3, Sent, "nat", false, "203.0.113.1:9", "back"}, {3, Delivered, "a", false, "203.0.113.1:9", "back"},
		}
		if !slices.Equal(steps, want) {
			t.Errorf("got  %v\nwant %v", steps, want)
		}
		n.Capture(nil)
		from.send(addr("203.0.113.1:9"), "three")
		settle()
		if len(got) != len(want) {
			t.Errorf("%d captures after the end", len(got)-len(want))
		}
	})
}

// TestAppendIP parses what AppendIP writes by the RFCs, checksums first.
func TestAppendIP(t *testing.T) {
	quote := Quote{Proto: UDP, Src: addr("192.0.2.1:40000"), Dst: addr("198.51.100.1:9")}
	tcpQuote := Quote{Proto: TCP, Src: addr("[2001:db8::1]:40000"), Dst: addr("[2001:db8::2]:9"), Seq: 77}
	for _, c := range []struct {
		name string
		p    Packet
		more int // bytes beyond Size
	}{
		{"udp4", Packet{Proto: UDP, Src: addr("192.0.2.1:1"), Dst: addr("192.0.2.2:2"), HopLimit: 64, ECN: 2, Data: []byte("abc")}, 0},
		{"udp6", Packet{Proto: UDP, Src: addr("[2001:db8::1]:1"), Dst: addr("[2001:db8::2]:2"), HopLimit: 3, ECN: 1, Data: noise(1200)}, 0},
		{"empty", Packet{Proto: UDP, Src: addr("192.0.2.1:1"), Dst: addr("192.0.2.2:2"), HopLimit: 64}, 0},
		{"syn4", Packet{Proto: TCP, Src: addr("192.0.2.1:1"), Dst: addr("192.0.2.2:2"), HopLimit: 64, TCP: TCPHeader{Seq: 5, Flags: SYN, Window: 1 << 20, MSS: 1460}}, 0},
		{"tcp6", Packet{Proto: TCP, Src: addr("[2001:db8::1]:1"), Dst: addr("[2001:db8::2]:2"), HopLimit: 64, Data: []byte("odd"),
			TCP: TCPHeader{Seq: 5, Ack: 9, Flags: ACK | PSH, Window: 1 << 20, SACK: []SeqRange{{10, 20}, {30, 40}}}}, 0},
		{"icmp4", Packet{Proto: ICMP, Src: addr("192.0.0.8:0"), Dst: addr("192.0.2.1:0"), HopLimit: 64, ICMP: &ICMPMessage{Type: PacketTooBig, MTU: 1280, Quote: quote}}, 0},
		{"icmp6", Packet{Proto: ICMP, Src: addr("[2001:db8::9]:0"), Dst: addr("[2001:db8::1]:0"), HopLimit: 64, ICMP: &ICMPMessage{Type: TimeExceeded, Quote: tcpQuote}}, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.p.AppendIP([]byte{0xaa})
			if b[0] != 0xaa {
				t.Fatal("the prefix is gone")
			}
			b = b[1:]
			if len(b) != c.p.Size()+c.more {
				t.Errorf("%d bytes, want %d", len(b), c.p.Size()+c.more)
			}
			checkIP(t, &c.p, b)
		})
	}
}

// checkIP checks the headers of a packet.
func checkIP(t *testing.T, p *Packet, b []byte) {
	t.Helper()
	is4 := b[0]>>4 == 4
	var pseudo []byte
	var body []byte
	var src, dst netip.Addr
	var hops, proto, ecn byte
	if is4 {
		if s := fold(add(0, b[:20])); s != 0xffff {
			t.Errorf("the header sums up to %x", s)
		}
		if int(binary.BigEndian.Uint16(b[2:])) != len(b) {
			t.Errorf("length %d of %d", binary.BigEndian.Uint16(b[2:]), len(b))
		}
		src, dst, body = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[20:]
		hops, proto, ecn, pseudo = b[8], b[9], b[1]&3, b[12:20]
	} else {
		if int(binary.BigEndian.Uint16(b[4:])) != len(b)-40 {
			t.Errorf("length %d of %d", binary.BigEndian.Uint16(b[4:]), len(b)-40)
		}
		src, dst, body = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[40:]
		hops, proto, ecn, pseudo = b[7], b[6], b[1]>>4&3, b[8:40]
	}
	if src != p.Src.Addr() || dst != p.Dst.Addr() || hops != p.HopLimit || ecn != p.ECN {
		t.Errorf("%v > %v, %d hops, ECN %d", src, dst, hops, ecn)
	}
	want := map[Protocol][2]byte{UDP: {17, 17}, TCP: {6, 6}, ICMP: {1, 58}}[p.Proto]
	if proto != want[1] && (!is4 || proto != want[0]) {
		t.Errorf("protocol %d", proto)
	}
	if !is4 || p.Proto != ICMP {
		pseudo = append(slices.Clone(pseudo), 0, proto)
		pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(body)))
	} else {
		pseudo = nil
	}
	if s := fold(add(add(0, pseudo), body)); s != 0xffff {
		t.Errorf("the body sums up to %x", s)
	}
	if p.Proto == ICMP {
		return
	}
	if binary.BigEndian.Uint16(body) != p.Src.Port() || binary.BigEndian.Uint16(body[2:]) != p.Dst.Port() {
		t.Error("other ports")
	}
	header := 8
	if p.Proto == TCP {
		header = int(body[12]>>4) * 4
		window := p.TCP.Window >> windowScale
		if p.TCP.Flags&SYN != 0 {
			window = 0xffff
		}
		if body[13] != byte(p.TCP.Flags) || uint32(binary.BigEndian.Uint16(body[14:])) != window {
			t.Errorf("flags %x, window %d", body[13], binary.BigEndian.Uint16(body[14:]))
		}
	}
	if string(body[header:]) != string(p.Data) {
		t.Error("other data")
	}
}

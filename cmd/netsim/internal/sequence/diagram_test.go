package sequence

import (
	"encoding/xml"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// scene captures what happens while script runs between alice and bob, both behind NATs, and an
// SN.
func scene(t *testing.T, script func(send func(from, to, data string))) (captures []netsim.Capture) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(netsim.Config{})
		defer n.Close()
		n.Capture(func(c netsim.Capture) { captures = append(captures, c) })
		internet := n.Router("internet")
		conns := make(map[string]underlay.UDPConn)
		for i, who := range []string{"alice", "bob"} {
			h, box := n.Host(who), n.NAT(who+"-nat", netsim.Symmetric)
			wan := []string{"198.51.100.1", "198.51.100.2"}[i]
			netsim.Must(n.Connect(h, box, netsim.LinkConfig{}, "198.18.0.2/24"))
			netsim.Must(n.Connect(box, internet, netsim.LinkConfig{Delay: 10 * time.Millisecond}, wan))
			conns[who] = netsim.Must(h.ListenUDP(addr("0.0.0.0:7")))
		}
		sn := n.Host("sn")
		netsim.Must(n.Connect(sn, internet, netsim.LinkConfig{Delay: 5 * time.Millisecond}, "203.0.113.1"))
		conns["sn"] = netsim.Must(sn.ListenUDP(addr("0.0.0.0:9")))
		script(func(from, to, data string) {
			if _, err := conns[from].WriteBatch([]underlay.Datagram{{Addr: addr(to), Data: []byte(data)}}); err != nil {
				t.Error(err)
			}
		})
	})
	return captures
}

func options() Options {
	return Options{Caller: "alice", Callee: "bob", SuperNode: func(a netip.Addr) bool { return a == netip.MustParseAddr("203.0.113.1") }}
}

func opener() string { return string((&wire.Opener{}).Append(nil)) }

// TestDiagram: each packet is one row from where it was sent to where it ended, with what NATs
// did.
func TestDiagram(t *testing.T) {
	captures := scene(t, func(send func(from, to, data string)) {
		send("alice", "203.0.113.1:9", "1hello")
		time.Sleep(time.Second)
		send("alice", "198.51.100.2:7", opener())
		time.Sleep(time.Second)
		send("bob", "192.0.2.1:7", "\x40 no such host")
		time.Sleep(time.Millisecond)
		send("bob", "192.0.2.1:7", "\x40 no such host")
		time.Sleep(time.Second)
		send("sn", "203.0.113.1:1", "1to itself and nobody listens")
		time.Sleep(time.Second)
		send("alice", "203.0.113.1:9", "1hello but it is late")
		time.Sleep(time.Millisecond)
	})
	o := options()
	o.To = 10 * time.Second
	d := New(captures, o)
	if want := []string{"alice", "alice-nat", "internet", "sn", "bob-nat", "bob"}; !slices.Equal(d.Lanes, want) {
		t.Fatalf("lanes %v", d.Lanes)
	}
	type row struct {
		from, to, via, text string
		class               Class
	}
	var got []row
	for i := range d.Rows {
		r := &d.Rows[i]
		var via []string
		for _, v := range r.Via {
			via = append(via, d.Lanes[v])
		}
		text := r.Text()
		if strings.HasPrefix(text, "port 7 becomes ") {
			text = "port 7 becomes"
		}
		got = append(got, row{d.Lanes[r.From], d.Lanes[r.To], strings.Join(via, " "), text, r.Class})
	}
	want := []row{
		{"alice-nat", "alice-nat", "", "port 7 becomes", Other},
		{"alice", "sn", "alice-nat internet", "unknown, 34 B", SuperNode},
		{"alice-nat", "alice-nat", "", "port 7 becomes", Other},
		{"alice", "bob-nat", "alice-nat internet", "Opener, 36 B, filtered", Opener},
		{"bob-nat", "bob-nat", "", "port 7 becomes", Other},
		{"bob", "internet", "bob-nat", "QUIC 1-RTT, 2 times, no route", Data},
		{"sn", "sn", "", "unknown, 57 B, no such socket", SuperNode},
		{"sn", "sn", "", "ICMP port unreachable, 56 B", Other},
		{"alice", "internet", "alice-nat", "unknown, 49 B, on its way", SuperNode},
	}
	// What happens at one instant is in no order.
	sortable := func(r row) string { return r.from + r.to + r.text }
	less := func(a, b row) int { return strings.Compare(sortable(a), sortable(b)) }
	slices.SortFunc(got, less)
	slices.SortFunc(want, less)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
}

// TestWindow: only packets of the time asked for are drawn, by its clock, and mappings that
// were there before have no note.
func TestWindow(t *testing.T) {
	captures := scene(t, func(send func(from, to, data string)) {
		for range 5 {
			send("alice", "203.0.113.1:9", "1hello")
			time.Sleep(time.Second)
		}
	})
	o := options()
	o.From, o.To = 1500*time.Millisecond, 3500*time.Millisecond
	d := New(captures, o)
	if len(d.Rows) != 1 || d.Rows[0].Count != 2 || d.Rows[0].At != 500*time.Millisecond || d.Rows[0].Last != 1500*time.Millisecond || d.Rows[0].Arrived != 515*time.Millisecond {
		t.Errorf("%+v", d.Rows)
	}
	o.From, o.To, o.Rows = 0, 0, 1
	if d := New(captures, o); len(d.Rows) != 1 || d.More != 5 {
		t.Errorf("%d rows, %d more", len(d.Rows), d.More)
	}
}

// TestText: no line is longer than asked for, and nothing is lost but the end of texts.
func TestText(t *testing.T) {
	d := &Diagram{Lanes: []string{"a", "nat", "b"}, Rows: []Row{
		{At: 1500 * time.Microsecond, From: 0, To: 2, Via: []int{1}, Name: "Probe", Size: 40, Count: 1},
		{At: 2 * time.Millisecond, From: 2, To: 1, Name: "Opener", Size: 36, Count: 3, Dropped: "filtered"},
		{At: 3 * time.Millisecond, From: 1, To: 1, Name: strings.Repeat("long ", 20), Count: 1},
		{At: 4 * time.Millisecond, From: 0, To: 1, Name: "Probe", Size: 40, Count: 1, Flying: true},
	}, More: 7}
	want := `       ms  a
           │    nat
           │    │    b
      1.5  ├────┼───>│    Probe, 40 B
      2.0  │    │×───┤    Opener, 3 times, filtered
      3.0  │    ●    │    long long long long long long lon…
      4.0  ├───·│    │    Probe, 40 B, on its way
           … and 7 more
`
	if got := d.Text(d.MinWidth(), nil); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for width := d.MinWidth(); width < 200; width += 7 {
		for line := range strings.Lines(d.Text(width, nil)) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > width {
				t.Fatalf("%d characters at width %d: %s", n, width, line)
			}
		}
	}
}

// TestSVG: names are escaped, and the element is well-formed.
func TestSVG(t *testing.T) {
	d := &Diagram{Lanes: []string{"<a>", "b&b"}, Rows: []Row{
		{From: 0, To: 1, Name: `"<script>"`, Size: 40, Count: 1, Detail: "<>"}, {From: 1, To: 1, Name: "note", Count: 1}, {From: 1, To: 1, Name: "self", Size: 1, Count: 1},
	}}
	svg := d.SVG(`a "label" & more`)
	if strings.Contains(svg, "<script") || strings.Contains(svg, "<a>") {
		t.Error("something is not escaped")
	}
	x := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := x.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestNames: what the first bytes tell.
func TestNames(t *testing.T) {
	stun := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
	answer := append([]byte{1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
	sealed := append([]byte{byte(wire.TypeSealed), wire.Version}, make([]byte, 40)...)
	initiation := append([]byte{byte(wire.TypeInitiation), wire.Version}, make([]byte, 200)...)
	for _, c := range []struct {
		data  []byte
		name  string
		class Class
	}{
		{nil, "empty", Other},
		{stun, "STUN request", Other},
		{answer, "STUN response", Other},
		{sealed, "Sealed", Probe},
		{sealed[:20], "unknown", Other},
		{initiation, "Initiation", Handshake},
		{[]byte(opener()), "Opener", Opener},
		{[]byte{0xc0}, "QUIC Initial", Handshake},
		{[]byte{0xe3}, "QUIC Handshake", Handshake},
		{[]byte{0x41}, "QUIC 1-RTT", Data},
		{[]byte{0x01}, "unknown", Other},
	} {
		if name, class := identifyUDP(c.data); name != c.name || class != c.class {
			t.Errorf("%x is %s, %v; want %s, %v", c.data[:min(8, len(c.data))], name, class, c.name, c.class)
		}
	}
	none := func(netip.Addr) bool { return false }
	tcp := netsim.Packet{Proto: netsim.TCP, TCP: netsim.TCPHeader{Flags: netsim.SYN | netsim.ACK}}
	if name, _ := identify(&tcp, none); name != "TCP SYN ACK" {
		t.Errorf("a segment is %s", name)
	}
	all := func(netip.Addr) bool { return true }
	p := netsim.Packet{Src: addr("192.0.2.1:1"), Dst: addr("192.0.2.2:1"), Data: sealed}
	if _, class := identify(&p, all); class != SuperNode {
		t.Errorf("to a super node: %v", class)
	}
	if p.Dst = addr("224.0.0.1:1"); true {
		if _, class := identify(&p, all); class != Other {
			t.Errorf("to a group: %v", class)
		}
	}
}

package socket

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/bdtnet/bdt/underlay"
)

func TestSendRefuses(t *testing.T) {
	f := newFakeConn(underlay.Features{GSO: true})
	s := open(t, Config{Network: f, Local: peer1, Handler: newJournal()})
	bad := []netip.AddrPort{
		{},
		netip.AddrPortFrom(netip.Addr{}, 9),
		netip.MustParseAddrPort("192.0.2.1:0"),
		netip.MustParseAddrPort("0.0.0.0:9"),
		netip.MustParseAddrPort("[::]:9"),
		netip.MustParseAddrPort("255.255.255.255:9"),
		netip.MustParseAddrPort("224.0.0.251:9"),
		netip.MustParseAddrPort("239.255.255.250:9"),
		netip.MustParseAddrPort("[ff02::1]:9"),
		netip.MustParseAddrPort("[::ffff:192.0.2.1]:9"),
	}
	for _, to := range bad {
		for _, err := range []error{
			s.Send(to, []byte("x")),
			s.SendHopLimit(to, []byte("x"), 3),
			s.SendRun(to, []byte("xy"), 1, 0),
		} {
			if !errors.Is(err, ErrDestination) {
				t.Errorf("send to %v: %v", to, err)
			}
		}
	}
	if err := s.Send(peer2, nil); err == nil {
		t.Error("an empty control packet was sent")
	}
	if err := s.SendRun(peer2, nil, 100, 0); err == nil {
		t.Error("an empty run was sent")
	}
	if len(f.out) != 0 {
		t.Errorf("written: %v", f.out)
	}
	if got := s.Stats(); got.SendErrors != uint64(3*len(bad)+2) {
		t.Errorf("%d errors counted", got.SendErrors)
	}
}

func TestSendHopLimit(t *testing.T) {
	f := newFakeConn(underlay.Features{})
	s := open(t, Config{Network: f, Local: peer1, Handler: newJournal()})
	if err := errors.Join(s.SendHopLimit(peer2, pk(0x20, 5), 3), s.Send(peer2, pk(0x21, 6))); err != nil {
		t.Fatal(err)
	}
	if len(f.out) != 2 || f.out[0].HopLimit != 3 || f.out[1].HopLimit != 0 || f.out[1].Addr != peer2 {
		t.Errorf("written: %+v", f.out)
	}
}

func TestSendRun(t *testing.T) {
	for _, c := range []struct {
		name        string
		gso         bool
		total, size int
		entries     int
		packets     uint64
	}{
		{"single", true, 1200, 0, 1, 1},
		{"single, size given", true, 1200, 1200, 1, 1},
		{"size beyond the data", true, 1200, 1500, 1, 1},
		{"run", true, 10*1200 + 5, 1200, 1, 11},
		{"one entry's segments", true, 64 * 100, 100, 1, 64},
		{"one segment more", true, 64*100 + 1, 100, 2, 65},
		{"one entry's bytes", true, 65000, 1300, 1, 50},
		{"one byte more", true, 65001, 1300, 2, 51},
		{"segments of more than half an entry", true, 100000, 40000, 3, 3},
		{"without GSO", false, 10*1200 + 5, 1200, 11, 11},
		{"more entries than a batch", false, 150*100 + 1, 100, 151, 151},
		{"more runs than a batch", true, 100 * 64, 1, 100, 6400},
	} {
		f := newFakeConn(underlay.Features{GSO: c.gso})
		s := open(t, Config{Network: f, Local: peer1, Handler: newJournal()})
		data := make([]byte, c.total)
		for i := range data {
			data[i] = byte(i*7+i>>8) | 0x40
		}
		if err := s.SendRun(peer2, data, c.size, 3); err != nil {
			t.Fatal(err)
		}
		if len(f.out) != c.entries {
			t.Errorf("%s: %d entries, want %d", c.name, len(f.out), c.entries)
		}
		var sent []byte
		for i, d := range f.out {
			n := 1
			if d.SegmentSize > 0 {
				n = (len(d.Data) + d.SegmentSize - 1) / d.SegmentSize
			}
			switch {
			case d.Addr != peer2 || d.ECN != 3 || d.HopLimit != 0:
				t.Errorf("%s: entry %d: %+v", c.name, i, d)
			case d.SegmentSize != 0 && (!c.gso || d.SegmentSize != c.size || len(d.Data) <= c.size):
				t.Errorf("%s: entry %d: segments of %d", c.name, i, d.SegmentSize)
			case n > underlay.MaxSegments || n > 1 && len(d.Data) > 65000:
				t.Errorf("%s: entry %d: %d segments, %d bytes", c.name, i, n, len(d.Data))
			case i < len(f.out)-1 && len(d.Data)%c.size != 0:
				t.Errorf("%s: entry %d cuts a packet", c.name, i)
			}
			sent = append(sent, d.Data...)
		}
		if !bytes.Equal(sent, data) {
			t.Errorf("%s: what was written is not what was sent", c.name)
		}
		if got := s.Stats().Sent.QUIC; got != (Count{c.packets, uint64(c.total)}) {
			t.Errorf("%s: counted %+v", c.name, got)
		}
	}
}

// An entry that fails costs itself alone.
func TestSendRunGoesOn(t *testing.T) {
	f := newFakeConn(underlay.Features{})
	s := open(t, Config{Network: f, Local: peer1, Handler: newJournal()})
	one, two := errors.New("one"), errors.New("two")
	i := 0
	f.fail = func(*underlay.Datagram) error {
		i++
		return map[int]error{2: one, 3: two, 70: two}[i]
	}
	if err := s.SendRun(peer2, pk(0x40, 70*10), 10, 0); !errors.Is(err, one) {
		t.Errorf("SendRun: %v, want the first error", err)
	}
	if got := s.Stats(); len(f.out) != 67 || got.Sent.QUIC.Packets != 67 || got.SendErrors != 3 {
		t.Errorf("%d written, %+v", len(f.out), got)
	}
}

package session

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

func newBatchConn(t *testing.T) (*batchConn, *quicPort) {
	conn, done := openPacketConn(&virtualConn{inbox: newInbox(1 << 20)})
	t.Cleanup(done)
	c, ok := conn.(*batchConn)
	if !ok {
		t.Skip("no UDP sockets here")
	}
	return c, &quicPort{}
}

// TestBatchConnProbe wants the socket that quic-go asks to be there only after
// the buffers are sized, so that it logs nothing about them, and to have GSO.
func TestBatchConnProbe(t *testing.T) {
	c, _ := newBatchConn(t)
	c.SetReadBuffer(1)
	if _, err := c.SyscallConn(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SyscallConn before the buffers are sized: %v", err)
	}
	c.SetWriteBuffer(1)
	rc, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := rc.Control(func(fd uintptr) {
		if _, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT); err != nil {
			t.Errorf("UDP_SEGMENT: %v", err)
		}
		if sa, err := unix.Getsockname(int(fd)); err != nil || sa.(*unix.SockaddrInet4).Port != 0 {
			t.Errorf("the probe is bound to %v, %v", sa, err)
		}
	}); err != nil {
		t.Error(err)
	}
}

func TestBatchConnReads(t *testing.T) {
	c, p := newBatchConn(t)
	c.inbox.put(p, []byte("aabbc"), 2, 1)
	c.inbox.put(p, []byte("dd"), 2, 0)
	ms := make([]ipv4.Message, 3)
	for i := range ms {
		ms[i].Buffers, ms[i].OOB = [][]byte{make([]byte, maxPacket)}, make([]byte, 128)
	}
	var got []string
	for range 2 {
		n, err := c.ReadBatch(ms, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range ms[:n] {
			var cm ipv6.ControlMessage
			if err := cm.Parse(m.OOB[:m.NN]); err != nil {
				t.Error(err)
			}
			got = append(got, string(m.Buffers[0][:m.N])+string(rune('0'+cm.TrafficClass)))
			if m.Addr != net.Addr(&p.addr) {
				t.Errorf("packet is from %v", m.Addr)
			}
		}
		got = append(got, "|")
	}
	want := []string{"aa1", "bb1", "c1", "|", "dd0", "|"}
	if len(got) != len(want) {
		t.Fatalf("read %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("read %q, want %q", got, want)
		}
	}

	c.inbox.put(p, []byte("single"), 6, 2)
	b, oob := make([]byte, 10), make([]byte, 64)
	n, oobn, _, from, err := c.ReadMsgUDP(b, oob)
	if _, ecn := parseControl(oob[:oobn]); err != nil || string(b[:n]) != "single" || ecn != 2 || from != &p.addr {
		t.Errorf("read %q with ECN %d from %v, %v", b[:n], ecn, from, err)
	}
	c.Close()
	if _, err := c.ReadBatch(ms, 0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadBatch after Close: %v", err)
	}
	if _, _, _, _, err := c.ReadMsgUDP(b, oob); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadMsgUDP after Close: %v", err)
	}
}

func TestParseControl(t *testing.T) {
	tclass := (&ipv6.ControlMessage{TrafficClass: 0xff}).Marshal()
	hops := (&ipv6.ControlMessage{HopLimit: 3}).Marshal()
	for _, tt := range []struct {
		name string
		oob  []byte
		ecn  uint8
	}{
		{"nothing", nil, 0},
		{"ECN", tclass, 3},
		{"ECN after another", append(hops, tclass...), 3},
		{"cut", tclass[:10], 0},
		{"length beyond the end", append([]byte{200}, tclass[1:]...), 0},
		{"length zero", make([]byte, 64), 0},
	} {
		if segment, ecn := parseControl(tt.oob); segment != 0 || ecn != tt.ecn {
			t.Errorf("%s: segment %d, ECN %d, want 0, %d", tt.name, segment, ecn, tt.ecn)
		}
	}
}

package underlay

import (
	"net/netip"
	"testing"
)

// What comes from one address is all read by one socket of a group, any may answer, and
// an address that is in use, by a group or not, is refused.
func TestGroup(t *testing.T) {
	os := OS().(Grouper)
	group, err := os.ListenUDPGroup(netip.MustParseAddrPort("127.0.0.1:0"), 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range group {
		defer c.Close()
	}
	if len(group) != 4 {
		t.Fatalf("%d sockets, want 4", len(group))
	}
	at := group[0].LocalAddr()
	for _, n := range []int{1, 2} {
		if more, err := os.ListenUDPGroup(at, n); err == nil {
			t.Errorf("%d sockets joined at an address that is in use", len(more))
		}
	}
	// Whichever socket reads a packet answers on the next one.
	for i, c := range group {
		go func() {
			ds := []Datagram{{Data: make([]byte, 64<<10)}}
			for {
				ds[0].Data = ds[0].Data[:cap(ds[0].Data)]
				if _, err := c.ReadBatch(ds); err != nil {
					return
				}
				answer := []Datagram{{Data: []byte{byte(i)}, Addr: ds[0].Addr}}
				if _, err := group[(i+1)%len(group)].WriteBatch(answer); err != nil {
					return
				}
			}
		}()
	}
	for range 8 {
		client := listenLoopback(t, "127.0.0.1:0")
		first := byte(255)
		for range 5 {
			if _, err := client.WriteBatch([]Datagram{{Data: []byte("x"), Addr: at}}); err != nil {
				t.Fatal(err)
			}
			in := []Datagram{{Data: make([]byte, 64<<10)}}
			if _, err := client.ReadBatch(in); err != nil {
				t.Fatal(err)
			}
			if in[0].Addr != at {
				t.Errorf("answer from %v, not %v", in[0].Addr, at)
			}
			if first == 255 {
				first = in[0].Data[0]
			}
			if in[0].Data[0] != first {
				t.Errorf("socket %d read what %d read before", in[0].Data[0], first)
			}
		}
	}
}

package pn_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/pnclient"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/pn"
	"github.com/bdtnet/bdt/underlay"
)

// A collector is a sink that tells how many bytes it has had.
type collector struct{ got chan int }

func (c *collector) Deliver(b []byte, _ int, _ uint8) { c.got <- len(b) }

// handled is a device's demultiplexer: all is for its client.
type handled struct{ client *pnclient.Client }

func (h *handled) HandleControl(_ *socket.Socket, b []byte, from netip.AddrPort) {
	h.client.HandleControl(b, from)
}
func (*handled) HandleSTUN(*socket.Socket, []byte, netip.AddrPort) {}

// Over kernel sockets, of which the PN has several at an address of each family: whichever
// worker reads them, runs arrive whole, from one family to the other as well.
func TestLoopback(t *testing.T) {
	s, err := pn.Open(pn.Config{
		Local:     serverDevice(),
		Listen:    []netip.AddrPort{anyPort, netip.MustParseAddrPort("[::1]:0")},
		Sockets:   4,
		Admission: pn.Admission{Open: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	open := func(n byte, local, at netip.AddrPort) *pnclient.Client {
		secret := identity.SecretFromSeed([32]byte{n, 9})
		d, err := identity.NewDevice(secret, identity.DeviceDesc{UniqueID: [16]byte{1}}, identity.DeviceBody{Updated: 1})
		if err != nil {
			t.Fatal(err)
		}
		h := new(handled)
		sock, err := socket.Open(socket.Config{Local: local, Handler: h})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sock.Close() })
		h.client = pnclient.New(pnclient.Config{
			Local:       noise.NewLocal(&identity.LocalDevice{Secret: secret, Device: d}),
			Ref:         identity.Ref{ID: s.Ref().ID, Addr: at.String()},
			Network:     underlay.OS(),
			Send:        sock.Send,
			SendRun:     sock.SendRun,
			SetRelay:    sock.SetRelay,
			DeleteRelay: sock.DeleteRelay,
			Indices:     noise.NewTable[int](0).For(0),
			Stamper:     noise.NewStamper(0, nil),
		})
		h.client.Start(context.Background())
		t.Cleanup(func() { h.client.Close() })
		return h.client
	}
	any6 := netip.MustParseAddrPort("[::1]:0")
	for i := range byte(4) { // their ports lead to different workers
		a := open(2*i, anyPort, s.Addrs()[0])
		b := open(2*i+1, []netip.AddrPort{anyPort, any6}[i%2], s.Addrs()[i%2])
		ids := [2]identity.ID{deviceID(t, 2*i), deviceID(t, 2*i+1)}
		tag := pnclient.NewTag()
		ends := [2]*collector{{make(chan int, 256)}, {make(chan int, 256)}}
		bind := func(c *pnclient.Client, self int) *pnclient.Binding {
			binding, err := c.Bind(pnclient.BindOptions{Tag: tag, Peer: ids[1-self], Pays: self == 0, Sink: ends[self]})
			if err != nil {
				t.Fatal(err)
			}
			return binding
		}
		bindings := [2]*pnclient.Binding{bind(a, 0), bind(b, 1)}
		for self, x := range bindings {
			select {
			case <-x.Ready():
			case <-x.Done():
				t.Fatal(x.Err())
			case <-time.After(5 * time.Second):
				t.Fatalf("pair %d: end %d does not get ready: %v, %v; %+v", i, self, bindings[0].Client().State(), bindings[1].Client().State(), s.Stats())
			}
		}
		for self, x := range bindings {
			if err := x.SendRun(make([]byte, 10*1200+7), 1200, 0); err != nil {
				t.Fatal(err)
			}
			for left := 10*1200 + 7; left > 0; {
				select {
				case n := <-ends[1-self].got:
					left -= n
				case <-time.After(20 * time.Second):
					t.Fatalf("%d bytes are missing", left)
				}
			}
		}
	}
	// A worker counts what it has written after that.
	for start := time.Now(); s.Stats().Packets < 4*2*11 && time.Since(start) < 10*time.Second; {
		time.Sleep(time.Millisecond)
	}
	if st := s.Stats(); st.Packets != 4*2*11 || st.Bytes != uint64(4*2*(10*1200+7+11*wire.RelayedHeaderLen)) {
		t.Errorf("%+v", st)
	}
}

// deviceID returns the id of a device of TestLoopback.
func deviceID(t *testing.T, n byte) identity.ID {
	d, err := identity.NewDevice(identity.SecretFromSeed([32]byte{n, 9}), identity.DeviceDesc{UniqueID: [16]byte{1}}, identity.DeviceBody{Updated: 1})
	if err != nil {
		t.Fatal(err)
	}
	return d.ID()
}

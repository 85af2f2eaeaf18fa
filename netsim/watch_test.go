package netsim_test

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

// A host tells of what changes about itself, once for all since the last.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(netsim.Config{})
		defer n.Close()
		core, h, other := n.Router("core"), n.Host("h"), n.Host("other")
		elsewhere := netsim.Must(n.Connect(other, core, netsim.LinkConfig{}, "192.0.2.9"))
		ctx, cancel := context.WithCancel(t.Context())
		changed, err := h.Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		told := func(want bool, what string) {
			t.Helper()
			select {
			case _, ok := <-changed:
				if !want || !ok {
					t.Errorf("%s: told (channel open %v)", what, ok)
				}
			default:
				if want {
					t.Errorf("%s: not told", what)
				}
			}
		}
		told(false, "nothing")
		first := netsim.Must(n.Connect(h, core, netsim.LinkConfig{}, "192.0.2.1"))
		told(true, "connected")
		second := netsim.Must(n.Connect(h, core, netsim.LinkConfig{}, "192.0.2.2"))
		h.AddAddr(second, "192.0.2.3")
		h.RemoveAddr(netip.MustParseAddr("192.0.2.2"))
		told(true, "three changes")
		told(false, "three changes are one value")
		elsewhere.SetDown(true)
		told(false, "another's link")
		first.SetDown(false)
		told(false, "mended and not cut")
		first.SetDown(true)
		told(true, "cut")
		cancel()
		synctest.Wait()
		if _, ok := <-changed; ok {
			t.Error("told when ctx ended")
		}
		first.SetDown(false)
	})
}

// Packets leave by a link that is not cut, if there is one.
func TestDefaultRouteOfACutLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(netsim.Config{})
		defer n.Close()
		core, h, far := n.Router("core"), n.Host("h"), n.Host("far")
		netsim.Must(n.Connect(far, core, netsim.LinkConfig{}, "203.0.113.1"))
		first := netsim.Must(n.Connect(h, core, netsim.LinkConfig{}, "192.0.2.1"))
		second := netsim.Must(n.Connect(h, core, netsim.LinkConfig{}, "192.0.2.2"))
		from, to := netsim.Must(h.ListenUDP(netip.MustParseAddrPort("0.0.0.0:1"))), netsim.Must(far.ListenUDP(netip.MustParseAddrPort("0.0.0.0:1")))
		send := func(want string) {
			t.Helper()
			if _, err := from.WriteBatch([]underlay.Datagram{{Data: []byte("x"), Addr: netip.MustParseAddrPort("203.0.113.1:1")}}); err != nil {
				t.Fatal(err)
			}
			ds := []underlay.Datagram{{Data: make([]byte, 10)}}
			if _, err := to.ReadBatch(ds); err != nil || ds[0].Addr.Addr() != netip.MustParseAddr(want) {
				t.Errorf("came from %v (%v), want %v", ds[0].Addr, err, want)
			}
		}
		send("192.0.2.1")
		first.SetDown(true)
		send("192.0.2.2")
		if list, _ := h.Interfaces(); list[1].Up || !list[2].Up {
			t.Errorf("interfaces: %+v", list)
		}
		first.SetDown(false)
		send("192.0.2.1")
		second.SetDown(true)
		send("192.0.2.1")
	})
}

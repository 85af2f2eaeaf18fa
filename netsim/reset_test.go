package netsim_test

import (
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

// A NAT that restarts lets nobody in that it knew, and maps anew.
func TestReset(t *testing.T) {
	for _, ports := range []netsim.PortPolicy{netsim.PreservePort, netsim.RandomPort} {
		synctest.Test(t, func(t *testing.T) {
			n := netsim.New(netsim.Config{Seed: 3})
			defer n.Close()
			core, in, out := n.Router("core"), n.Host("in"), n.Host("out")
			nat := n.NAT("nat", netsim.NATConfig{Filtering: netsim.AddressAndPortDependent, Ports: ports})
			netsim.Must(n.Connect(nat, core, netsim.LinkConfig{}, "198.51.100.1"))
			netsim.Must(n.Connect(in, nat, netsim.LinkConfig{}, "198.18.0.2/24"))
			netsim.Must(n.Connect(out, core, netsim.LinkConfig{}, "203.0.113.1"))
			a, b := netsim.Must(in.ListenUDP(netip.MustParseAddrPort("0.0.0.0:5000"))), netsim.Must(out.ListenUDP(netip.MustParseAddrPort("0.0.0.0:5000")))
			seen := func() netip.AddrPort {
				t.Helper()
				if _, err := a.WriteBatch([]underlay.Datagram{{Data: []byte("x"), Addr: netip.MustParseAddrPort("203.0.113.1:5000")}}); err != nil {
					t.Fatal(err)
				}
				ds := []underlay.Datagram{{Data: make([]byte, 10)}}
				if _, err := b.ReadBatch(ds); err != nil {
					t.Fatal(err)
				}
				return ds[0].Addr
			}
			first := seen()
			if again := seen(); again != first {
				t.Errorf("%v, then %v", first, again)
			}
			nat.Reset()
			if _, err := b.WriteBatch([]underlay.Datagram{{Data: []byte("x"), Addr: first}}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := nat.Stats().Packets[netsim.DropFilter]; got != 1 {
				t.Errorf("%d packets dropped, want the one from before", got)
			}
			if again := seen(); (again == first) != (ports == netsim.PreservePort) {
				t.Errorf("policy %d: %v, after the restart %v", ports, first, again)
			}
		})
	}
}

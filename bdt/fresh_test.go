package bdt_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bdtnet/bdt/netsim"
)

// A punch that comes too early at a router that does not drop it takes the port
// of the device behind it. The second round goes through another port, and in
// an order that leaves nothing to chance.
func TestStolenPort(t *testing.T) {
	stealing := netsim.PortRestricted
	stealing.StealPorts = true
	addrs := map[string]netip.Addr{"alice": netip.MustParseAddr("198.51.100.1"), "bob": netip.MustParseAddr("198.51.100.2")}
	for late, other := range map[string]string{"alice": "bob", "bob": "alice"} {
		t.Run(late+" punches late", func(t *testing.T) {
			inVirtualTime(t, 2*time.Millisecond, func(t *testing.T, w *world) {
				// What the late one sends to the other is lost before it reaches its
				// own NAT, so that the other's punches come to a closed one.
				hosts := map[string]*netsim.Host{}
				var deaf atomic.Bool
				for name, addr := range addrs {
					hosts[name] = w.net.Host(name)
					nat := w.net.NAT(name+"-nat", stealing)
					edge := w.net.Router(name + "-edge") // as far apart as openers need it
					netsim.Must(w.net.Connect(edge, w.core, netsim.LinkConfig{Delay: time.Millisecond}))
					netsim.Must(w.net.Connect(nat, edge, netsim.LinkConfig{Delay: time.Millisecond}, addr.String()))
					lan := netsim.Must(w.net.Connect(hosts[name], nat, netsim.LinkConfig{}, "198.18.1.2/24"))
					if name == late {
						lan.SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
							if !deaf.Load() || p.Dst.Addr() != addrs[other] {
								emit(p, 0)
							}
						})
					}
				}
				alice, bob := w.open("alice", hosts["alice"]), w.open("bob", hosts["bob"])
				defer alice.Close()
				defer bob.Close()
				bob.ServeEcho()
				settle(w)
				deaf.Store(true)
				time.AfterFunc(500*time.Millisecond, func() { deaf.Store(false) })
				took, err := alice.Ping(t.Context(), bob.ID())
				t.Logf("first answered byte after %v", took)
				if err != nil || took < time.Second || took > 2*time.Second {
					explain(t, alice, bob.ID())
					explain(t, bob, alice.ID())
					t.Errorf("%v: the port was not stolen, or the second round did not get it back", err)
				}
			})
		})
	}
}

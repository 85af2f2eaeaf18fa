package bdt_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/netsim"
)

// A punch that comes too early at a router that does not drop it takes the port
// of the device behind it. The second round goes through another port, and in
// an order that leaves nothing to chance.
func TestStolenPort(t *testing.T) {
	testStolenPort(t, false, func(t *testing.T, alice, bob *bdt.Stack) {
		took, err := alice.Ping(t.Context(), bob.ID())
		t.Logf("first answered byte after %v", took)
		if err != nil || took < time.Second || took > 2*time.Second {
			explain(t, alice, bob.ID())
			explain(t, bob, alice.ID())
			t.Errorf("%v: the port was not stolen, or the second round did not get it back", err)
		}
	})
}

// A relay that was there before is no reason to leave it at that.
func TestStolenPortRelayed(t *testing.T) {
	testStolenPort(t, true, func(t *testing.T, alice, bob *bdt.Stack) {
		took, err := alice.Ping(t.Context(), bob.ID())
		if kind := kindTo(t, alice, bob.ID()); err != nil || took > 200*time.Millisecond || kind != "relayed" {
			t.Errorf("%v: first answered byte after %v, %s", err, took, kind)
		}
		time.Sleep(4 * time.Second)
		if a, b := kindTo(t, alice, bob.ID()), kindTo(t, bob, alice.ID()); a != "punched" || b != "punched" {
			explain(t, alice, bob.ID())
			explain(t, bob, alice.ID())
			t.Errorf("after 4 s the paths are %s and %s", a, b)
		}
	})
}

func testStolenPort(t *testing.T, relayed bool, f func(t *testing.T, alice, bob *bdt.Stack)) {
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
				var change []func(*bdt.Config)
				if relayed {
					node := w.pn("pn", "203.0.113.5", time.Millisecond)
					defer node.Close()
					change = append(change, through(node))
				}
				alice, bob := w.open("alice", hosts["alice"], change...), w.open("bob", hosts["bob"], change...)
				defer closeAll(t, alice, bob)
				bob.ServeEcho()
				settle(w)
				deaf.Store(true)
				time.AfterFunc(500*time.Millisecond, func() { deaf.Store(false) })
				f(t, alice, bob)
			})
		})
	}
}

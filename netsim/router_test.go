package netsim

import (
	"slices"
	"testing"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

// TestTree sends across two levels of routers, connected in either order.
func TestTree(t *testing.T) {
	for _, topDown := range []bool{true, false} {
		simulate(t, func(t *testing.T, n *Network) {
			core, left, right := n.Router("core"), n.Router("left"), n.Router("right")
			a, z := n.Host("a"), n.Host("z")
			steps := []func(){
				func() { Must(n.Connect(left, core, LinkConfig{}, "198.51.100.0/24", "2001:db8:1::/48")) },
				func() { Must(n.Connect(right, core, LinkConfig{})) }, // tells what is below it
				func() { Must(n.Connect(a, left, LinkConfig{}, "198.51.100.1", "2001:db8:1::1")) },
				func() { Must(n.Connect(z, right, LinkConfig{}, "203.0.113.1", "2001:db8:2::1")) },
			}
			if !topDown {
				slices.Reverse(steps)
			}
			for _, step := range steps {
				step()
			}
			for _, c := range []struct{ any, to, nowhere string }{
				{"0.0.0.0:1", "203.0.113.1:1", "192.0.2.1:1"},
				{"[::]:1", "[2001:db8:2::1]:1", "[2001:db8:3::1]:1"},
			} {
				pa, pz := listen(t, a, c.any), listen(t, z, c.any)
				pa.send(addr(c.to), "over")
				pz.send(pz.want("over").Addr, "back")
				pa.want("back")
				pa.send(addr(c.nowhere), "nowhere")
			}
			settle()
			if got := core.Stats().Packets[DropNoRoute]; got != 2 {
				t.Errorf("core had no route for %d packets, want 2", got)
			}
		})
	}
}

func TestHopLimit(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		r1, r2, a, z := n.Router("r1"), n.Router("r2"), n.Host("a"), n.Host("z")
		Must(n.Connect(r1, r2, LinkConfig{}))
		Must(n.Connect(a, r1, LinkConfig{}, "198.51.100.1"))
		Must(n.Connect(z, r2, LinkConfig{}, "203.0.113.1"))
		pa, pz := listen(t, a, "0.0.0.0:1"), listen(t, z, "0.0.0.0:1")
		for hops, dropped := range map[uint8]*Router{1: r1, 2: r2} {
			pa.write(underlay.Datagram{Addr: addr("203.0.113.1:1"), Data: []byte("short"), HopLimit: hops})
			pz.wantNone()
			if got := dropped.Stats().Packets[DropTTL]; got != 1 {
				t.Errorf("hop limit %d: %s dropped %d", hops, dropped.Name(), got)
			}
		}
		pa.write(underlay.Datagram{Addr: addr("203.0.113.1:1"), Data: []byte("enough"), HopLimit: 3})
		pz.want("enough")
	})
}

// TestRoutingLoop: two routers that each think the other knows.
func TestRoutingLoop(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		r1, r2, a := n.Router("r1"), n.Router("r2"), n.Host("a")
		l1 := Must(n.Connect(r1, r2, LinkConfig{Delay: time.Millisecond}))
		Must(n.Connect(r2, r1, LinkConfig{Delay: time.Millisecond}))
		Must(n.Connect(a, r1, LinkConfig{}, "198.51.100.1"))
		pa := listen(t, a, "0.0.0.0:1")
		pa.send(addr("203.0.113.1:1"), "round and round")
		settle()
		dropped := r1.Stats().Packets[DropTTL] + r2.Stats().Packets[DropTTL]
		if up, _ := l1.Stats(); dropped != 1 || up.Packets[Sent] != defaultHopLimit/2 {
			t.Fatalf("%d dropped after %d rounds", dropped, up.Packets[Sent])
		}
	})
}

package netsim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAt: calls come at their instants, in the order in which they were given, on the
// network's goroutine, which others have to wait for.
func TestAt(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{Delay: 10 * time.Millisecond})
		time.Sleep(5 * time.Millisecond)
		var got []string
		say := func(s string) func() {
			return func() { got = append(got, fmt.Sprint(s, "@", n.Now())) }
		}
		n.At(20*time.Millisecond, say("later"))
		n.At(10*time.Millisecond, say("first"))
		n.At(10*time.Millisecond, say("second"))
		n.At(time.Millisecond, say("passed"))
		n.At(-time.Hour, say("long passed"))
		n.At(15*time.Millisecond, func() {
			n.At(15*time.Millisecond, say("within"))
			n.At(25*time.Millisecond, say("from within"))
			p.up("sent from within")
			say("outer")()
		})
		settle()
		want := "passed@5ms long passed@5ms first@10ms second@10ms outer@15ms within@15ms later@20ms from within@25ms"
		if s := strings.Join(got, " "); s != want {
			t.Errorf("got  %s\nwant %s", s, want)
		}
		p.z.want("sent from within")
		n.At(n.Now()+time.Minute, func() { t.Error("called after Close") })
		n.Close()
		n.At(0, func() { t.Error("called after Close") })
		time.Sleep(time.Hour)
	})
}

// TestAtComesAfterPackets: what is due at the same instant has moved.
func TestAtComesAfterPackets(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{Delay: 10 * time.Millisecond})
		for i := range 3 {
			n.At(time.Duration(10+i)*time.Millisecond, func() { p.link.SetDown(i%2 == 0) })
		}
		for range 4 { // arrive at 10, 11, 12 and 13 ms
			p.up("x")
			time.Sleep(time.Millisecond)
		}
		settle()
		// Cut after the first has arrived; mended after the second was lost; cut again after
		// the third arrived.
		if got := len(p.z.drain()); got != 2 {
			t.Errorf("%d arrived", got)
		}
	})
}

// TestReboot: what reaches a node that restarts is lost, and no more than that.
func TestReboot(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		core, a, z, sw := n.Router("core"), n.Host("a"), n.Host("z"), n.Switch("sw")
		Must(n.Connect(z, core, LinkConfig{Delay: time.Millisecond}, "203.0.113.1"))
		Must(n.Connect(sw, core, LinkConfig{}))
		Must(n.Connect(a, sw, LinkConfig{}, "198.51.100.1"))
		pa, pz := listen(t, a, "0.0.0.0:1"), listen(t, z, "0.0.0.0:1")
		n.At(10*time.Millisecond, func() { core.Reboot(5 * time.Millisecond) })
		n.At(20*time.Millisecond, func() { sw.Reboot(3 * time.Millisecond) })
		n.At(30*time.Millisecond, func() { sw.Reboot(-time.Second) })
		start := time.Now()
		var heard []int
		for range 40 {
			pa.send(addr("203.0.113.1:1"), fmt.Sprint(time.Since(start).Milliseconds()))
			time.Sleep(time.Millisecond)
		}
		settle()
		for _, d := range pz.drain() {
			var at int
			fmt.Sscan(string(d.Data), &at)
			heard = append(heard, at)
		}
		var missing []int
		for i := range 40 {
			if !slices.Contains(heard, i) {
				missing = append(missing, i)
			}
		}
		// At 10 ms the call comes after the packet, or before it: what the goroutine here
		// sends then is not ordered with it. Of the rest all is.
		missing = slices.DeleteFunc(missing, func(i int) bool { return i == 10 || i == 20 })
		if !slices.Equal(missing, []int{11, 12, 13, 14, 21, 22}) {
			t.Errorf("lost %v", missing)
		}
		for _, nd := range []Node{core, sw} {
			if got := nd.Stats().Packets[DropDown]; got < 2 {
				t.Errorf("%s: %d dropped", nd.Name(), got)
			}
		}
	})
}

// TestRebootOfANAT: it comes back without its mappings.
func TestRebootOfANAT(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, Symmetric)
		a, s := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.s1, s1Addr+":1")
		nat := x.a.ifaces[0].out.to.(*NAT)
		a.send(s.conn.LocalAddr(), "one")
		first := s.want("one").Addr
		nat.Reboot(10 * time.Second)
		a.send(s.conn.LocalAddr(), "lost")
		s.send(first, "lost")
		s.wantNone()
		a.wantNone()
		if got := nat.Stats().Packets[DropDown]; got != 2 {
			t.Errorf("%d dropped", got)
		}
		time.Sleep(10 * time.Second)
		s.send(first, "forgotten")
		a.wantNone()
		a.send(s.conn.LocalAddr(), "two")
		second := s.want("two").Addr
		if second == first {
			t.Errorf("still mapped to %v", first)
		}
		s.send(second, "back")
		a.want("back")
	})
}

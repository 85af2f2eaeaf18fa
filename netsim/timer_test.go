package netsim

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestTimers: they fire in the order of instant, key and arming, once, and at the instant.
func TestTimers(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		var fired []string
		var at []time.Duration
		set := func(key uint64, name string) *timer {
			return &timer{net: n, key: key, f: func() {
				fired = append(fired, name)
				at = append(at, n.at)
			}}
		}
		late, b, a, a2, gone := set(0, "late"), set(2, "b"), set(1, "a"), set(1, "a2"), set(0, "gone")
		moved := set(9, "moved")
		n.mu.Lock()
		late.arm(2 * time.Second)
		moved.arm(5 * time.Second)
		b.arm(time.Second)
		a.arm(time.Second)
		a2.arm(time.Second)
		gone.arm(time.Second)
		gone.disarm()
		gone.disarm()
		moved.arm(500 * time.Millisecond)
		n.kick()
		n.mu.Unlock()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		if want := []string{"moved", "a", "a2", "b", "late"}; !slices.Equal(fired, want) {
			t.Errorf("fired %v, want %v", fired, want)
		}
		if want := []time.Duration{500 * time.Millisecond, time.Second, time.Second, time.Second, 2 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("fired at %v, want %v", at, want)
		}
		if gone.armed() || len(n.timers) != 0 {
			t.Errorf("%d timers are left", len(n.timers))
		}
	})
}

// TestTimerAfterPackets: a packet that is due at the instant of a timer comes first.
func TestTimerAfterPackets(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		a, b := n.Host("a"), n.Host("b")
		Must(n.Connect(a, b, LinkConfig{Delay: time.Second}, "198.51.100.1"))
		p := listen(t, a, "0.0.0.0:1")
		var sent uint64
		n.mu.Lock()
		tm := timer{net: n, f: func() { sent = b.stats.Packets[DropNoRoute] }}
		tm.arm(n.now() + time.Second)
		n.mu.Unlock()
		p.send(addr("203.0.113.9:9"), "x")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		if sent != 1 {
			t.Errorf("the timer saw %d packets, want 1", sent)
		}
	})
}

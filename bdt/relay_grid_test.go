package bdt_test

import (
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/netsim"
)

// site opens a stack behind the boxes of a preset.
func (w *world) site(name string, p netsim.Preset, wan4, wan6 string, change ...func(*bdt.Config)) *bdt.Stack {
	w.t.Helper()
	s := netsim.Must(p.Attach(w.net, name, w.core, netsim.LinkConfig{Delay: 10 * time.Millisecond}, wan4, wan6))
	h := w.net.Host(name + "-host")
	netsim.Must(w.net.Connect(h, s.Inner, netsim.LinkConfig{}, s.HostAddrs(0)...))
	return w.open(name, h, change...)
}

// passesUDP reports whether devices behind a preset can send UDP at all.
func passesUDP(p netsim.Preset) bool { return p.Name != "udp-blocked" && p.Name != "corporate" }

// With a PN every pair of networks that let UDP out connects, and goes direct wherever it
// does without one.
func TestRelayGrid(t *testing.T) {
	var presets []netsim.Preset
	for _, p := range netsim.GridPresets() {
		if passesUDP(p) {
			presets = append(presets, p)
		}
	}
	presets = some(presets...)
	for _, a := range presets {
		for _, b := range presets {
			t.Run(a.Name+" "+b.Name, func(t *testing.T) {
				meet := func(t *testing.T, relayed bool) (kind string, took time.Duration) {
					inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
						var change []func(*bdt.Config)
						if relayed {
							node := w.pn("pn", "203.0.113.5", 5*time.Millisecond)
							defer node.Close()
							change = append(change, through(node))
						}
						alice := w.site("alice", a, "198.51.100.1", "2001:db8:a::/56", change...)
						bob := w.site("bob", b, "198.51.100.2", "2001:db8:b::/56", change...)
						defer closeAll(t, alice, bob)
						bob.ServeEcho()
						settle(w)
						start := time.Now()
						_, err := alice.Ping(t.Context(), bob.ID())
						took = time.Since(start)
						if err != nil {
							kind = "none"
							return
						}
						time.Sleep(10 * time.Second)
						kind = kindTo(t, alice, bob.ID())
						if back := kindTo(t, bob, alice.ID()); back != kind {
							kind += "/" + back
						}
					})
					return kind, took
				}
				without, _ := meet(t, false)
				with, took := meet(t, true)
				t.Logf("with a PN %s after %v, without %s", with, took, without)
				switch {
				case without == "none" && with != "relayed", without != "none" && with != without:
					t.Errorf("with a PN %s, without %s", with, without)
				case took > 250*time.Millisecond: // R is 50 ms, Q 60 ms
					t.Errorf("answered after %v", took)
				}
			})
		}
	}
}

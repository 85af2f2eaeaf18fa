package sn

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
)

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(netsim.Config{})
		defer n.Close()
		core, host := n.Router("core"), n.Host("sn")
		netsim.Must(n.Connect(host, core, netsim.LinkConfig{}, "203.0.113.1"))
		cfg := Config{Network: host, Local: newLocal(t, 1, identity.ID{}), Listen: []netip.AddrPort{fleetListen}}
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()

		next := cfg
		next.Advertise, next.PingInterval = "sn.example:9000", time.Minute
		next.Limits = Limits{Call: Rate{PerSecond: 1}, Handshakes: 7, PerNetwork: 3}
		if restart, err := s.Reload(next); err != nil || len(restart) != 0 {
			t.Errorf("%v, %v", restart, err)
		}
		if s.Ref().Addr != "sn.example:9000" || s.settings.Load().ping != time.Minute || s.limits().Call != (Rate{1, 2}) ||
			s.devices.perNetwork.Load() != 3 {
			t.Errorf("%+v", s.settings.Load())
		}

		// What wants a restart is named, and stays.
		next.Listen, next.State, next.STUNPort = nil, "file", -1
		next.Limits.Devices, next.Limits.Workers = 5, 9
		restart, err := s.Reload(next)
		slices.Sort(restart)
		if want := []string{"Limits.Devices", "Limits.Workers", "Listen", "STUNPort", "State"}; err != nil || !slices.Equal(restart, want) {
			t.Errorf("%v, %v, want %v", restart, err, want)
		}
		if s.limits().Devices != 1_000_000 {
			t.Errorf("%d devices", s.limits().Devices)
		}

		// What is wrong changes nothing.
		before := s.settings.Load()
		for _, change := range []func(*Config){
			func(c *Config) { c.Advertise = "nowhere" },
			func(c *Config) { c.PingInterval = time.Hour },
			func(c *Config) { c.Limits.Objects = -1 },
			func(c *Config) { c.Limits.Signal = Rate{Burst: 3} },
		} {
			bad := cfg
			change(&bad)
			if _, err := s.Reload(bad); err == nil || s.settings.Load() != before {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}

// New limits count at once, for those who are registered as well.
func TestReloadedLimits(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		d, callee := r.online(1), r.online(300)
		r.config.Advertise = "sn.example:1"
		r.config.Limits = Limits{Call: Rate{PerSecond: 1, Burst: 1}, Handshakes: 1}
		if _, err := r.s.Reload(r.config); err != nil {
			t.Fatal(err)
		}
		for i, want := range []wire.Status{wire.StatusOK, wire.StatusTooMany} {
			if s := d.call(wire.Call{Callee: callee.id()}).Status; s != want {
				t.Errorf("call %d: %v, want %v", i, s, want)
			}
		}
		handshakes := r.s.Stats().Handshakes
		for i := range 5 {
			r.deliver(addrOf(600+i), r.dev(600+i).initiation().Packet())
		}
		if n := r.s.Stats().Handshakes - handshakes; n != 1 {
			t.Errorf("%d handshakes of a budget of 1", n)
		}
	})
}

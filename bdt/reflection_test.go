package bdt_test

import (
	"maps"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
)

// A victim's link, and what came over it.
type victim struct {
	addr netip.AddrPort

	mu    sync.Mutex
	count haul
}

// A haul is what came.
type haul struct {
	packets, bytes int
	types          map[wire.Type]int
}

func (v *victim) haul() haul {
	v.mu.Lock()
	defer v.mu.Unlock()
	h := v.count
	h.types = maps.Clone(h.types)
	return h
}

// victim makes a host that nobody asked to send anything.
func (w *world) victim(addr string) *victim {
	w.t.Helper()
	v := &victim{addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 4000), count: haul{types: map[wire.Type]int{}}}
	host := w.net.Host("victim")
	link := netsim.Must(w.net.Connect(host, w.core, netsim.LinkConfig{Delay: time.Millisecond}, addr))
	link.SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
		if p.Dst == v.addr {
			t, _ := wire.ControlType(p.Data)
			v.mu.Lock()
			v.count.packets++
			v.count.bytes += len(p.Data)
			v.count.types[t]++
			v.mu.Unlock()
		}
		emit(p, 0)
	})
	return v
}

// An initiation with a forged source brings the owner of that address no more
// bytes than the forger has sent, whatever it claims and however long one waits.
func TestForgedSourceIsNotAmplified(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		bob := w.open("bob", w.public("bob", time.Millisecond, bobHost))
		defer closeAll(t, bob)
		v := w.victim("198.51.100.99")
		r := w.rogue("203.0.113.66")
		defer r.close()
		sent := 0
		for range 3 {
			r.device = newDevice(t, "rogue")
			r.local = noise.NewLocal(r.device)
			b := r.initiate(r.local, bob).Packet()
			sent += len(b)
			r.send(v.addr, addrOf(bob, bobHost), b)
		}
		time.Sleep(2 * time.Minute)
		got := v.haul()
		synctest.Wait() // until the network has counted all
		if got.packets == 0 {
			t.Error("nothing came: this proves nothing")
		}
		if got.bytes > sent {
			t.Errorf("%d bytes brought the victim %d, in %v", sent, got.bytes, got.types)
		}
	})
}

// A caller that names a third party's addresses as its own has the callee send
// nothing there but a few small probes, whether or not the callee knew its key.
func TestNamedAddressesGetProbesOnly(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		v := w.victim("198.51.100.99")
		named := []netip.AddrPort{v.addr}
		alice := w.open("alice", w.public("alice", time.Millisecond, aliceHost), func(c *bdt.Config) { c.Endpoints = named })
		bob := w.open("bob", w.public("bob", time.Millisecond, bobHost))
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		ask(t, alice, bob.ID())
		time.Sleep(time.Minute)
		got := v.haul()
		if got.packets == 0 {
			t.Error("nothing came: this proves nothing")
		}
		for kind, n := range got.types {
			if kind != wire.TypeSealed {
				t.Errorf("%d packets of type %v to an address that the caller named", n, kind)
			}
		}
		if got.packets > 4 || got.bytes > 400 {
			t.Errorf("%d packets, %d bytes", got.packets, got.bytes)
		}
	})
}

package discovery

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

// A device is a service on a host, with a socket like a stack's.
type device struct {
	*Service
	id   identity.ID
	conn underlay.UDPConn

	mu    sync.Mutex
	found []place
}

type place struct {
	id   identity.ID
	addr netip.AddrPort
}

// places returns where whom was found, in order and without repetition.
func (d *device) places() []place {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := slices.Clone(d.found)
	slices.SortFunc(list, func(a, b place) int { return a.addr.Compare(b.addr) })
	return slices.Compact(list)
}

// newDevice starts a service on a host.
func newDevice(t *testing.T, h *netsim.Host, id identity.ID, change ...func(*Config)) *device {
	t.Helper()
	conn, err := h.ListenUDP(netip.MustParseAddrPort("0.0.0.0:0"))
	if err != nil {
		t.Fatal(err)
	}
	d := &device{id: id, conn: conn}
	cfg := Config{
		ID: id, Network: h, Listening: []netip.AddrPort{conn.LocalAddr()}, Logger: slog.New(slog.DiscardHandler),
		Send: func(to netip.AddrPort, b []byte) error {
			_, err := conn.WriteBatch([]underlay.Datagram{{Data: b, Addr: to}})
			return err
		},
		Wanted: func() []identity.ID { return nil },
		Found: func(id identity.ID, addr netip.AddrPort) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.found = append(d.found, place{id, addr})
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	d.Service = Start(cfg)
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			ds := []underlay.Datagram{{Data: make([]byte, 2048)}}
			if _, err := conn.ReadBatch(ds); err != nil {
				return
			}
			d.HandleAnnounce(ds[0].Data, ds[0].Addr)
		}
	})
	t.Cleanup(func() {
		d.Close()
		conn.Close()
		reader.Wait()
	})
	return d
}

// onSegment runs f with a switch in a bubble.
func onSegment(t *testing.T, f func(t *testing.T, n *netsim.Network, host func(name string, addrs ...string) *netsim.Host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(netsim.Config{Seed: 1})
		t.Cleanup(func() { n.Close() })
		lan := n.Switch("lan")
		f(t, n, func(name string, addrs ...string) *netsim.Host {
			h := n.Host(name)
			netsim.Must(n.Connect(h, lan, netsim.LinkConfig{Delay: time.Millisecond}, addrs...))
			return h
		})
	})
}

// TestFind: who is wanted is found, on the next machine and on the same one.
func TestFind(t *testing.T) {
	onSegment(t, func(t *testing.T, n *netsim.Network, host func(string, ...string) *netsim.Host) {
		one, two := host("one", "192.168.7.1/24"), host("two", "192.168.7.2/24")
		a, b, c := newDevice(t, one, testID(1)), newDevice(t, two, testID(2)), newDevice(t, one, testID(3))
		time.Sleep(time.Minute)
		if got := a.places(); len(got) != 0 {
			t.Fatalf("found %v, whom nobody wants", got)
		}
		start := time.Now()
		a.Want(b.id)
		a.Want(c.id)
		time.Sleep(10 * time.Millisecond)
		want := []place{
			{c.id, netip.AddrPortFrom(netip.MustParseAddr("192.168.7.1"), c.conn.LocalAddr().Port())},
			{b.id, netip.AddrPortFrom(netip.MustParseAddr("192.168.7.2"), b.conn.LocalAddr().Port())},
		}
		if got := a.places(); !slices.Equal(got, want) {
			t.Errorf("found %v after %v, want %v", got, time.Since(start), want)
		}
	})
}

// TestHeardOf: who is in the list of the wanted is found by its announcements
// alone, when it comes and when its address changes.
func TestHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(netsim.Config{Seed: 1})
		t.Cleanup(func() { n.Close() })
		lan, one, two := n.Switch("lan"), n.Host("one"), n.Host("two")
		netsim.Must(n.Connect(one, lan, netsim.LinkConfig{}, "192.168.7.1/24"))
		link := netsim.Must(n.Connect(two, lan, netsim.LinkConfig{}))
		a := newDevice(t, one, testID(1), func(c *Config) {
			c.Wanted = func() []identity.ID { return []identity.ID{testID(2)} }
		})
		b := newDevice(t, two, testID(2))
		time.Sleep(2 * time.Minute)
		if b.Active() || len(a.places()) != 0 {
			t.Fatalf("without an address it is active: %v, and found at %v", b.Active(), a.places())
		}
		var want []place
		for _, addr := range []string{"192.168.7.2", "192.168.7.3"} {
			if err := two.AddAddr(link, addr+"/24"); err != nil {
				t.Fatal(err)
			}
			b.Changed()
			want = append(want, place{b.id, netip.AddrPortFrom(netip.MustParseAddr(addr), b.conn.LocalAddr().Port())})
			time.Sleep(2 * time.Second)
			if got := a.places(); !slices.Equal(got, want) {
				t.Errorf("found %v, want %v", got, want)
			}
			if err := two.RemoveAddr(netip.MustParseAddr(addr)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
	})
}

// TestSilent: a silent device finds, and is not found.
func TestSilent(t *testing.T) {
	onSegment(t, func(t *testing.T, n *netsim.Network, host func(string, ...string) *netsim.Host) {
		a := newDevice(t, host("one", "192.168.7.1/24"), testID(1), func(c *Config) { c.Silent = true })
		b := newDevice(t, host("two", "192.168.7.2/24"), testID(2))
		a.Want(b.id)
		b.Want(a.id)
		time.Sleep(5 * time.Minute)
		if len(a.places()) != 1 || len(b.places()) != 0 {
			t.Errorf("the silent one found %v, the other %v", a.places(), b.places())
		}
	})
}

// TestNoMulticast: without multicast all methods do nothing.
func TestNoMulticast(t *testing.T) {
	s := Start(Config{Network: struct{ underlay.Network }{}})
	if s.Active() {
		t.Error("active")
	}
	s.Want(testID(1))
	s.Changed()
	s.HandleAnnounce(nil, netip.AddrPort{})
	s.Close()
}

// FuzzHear feeds an owner with packets of strangers, and of one who knows the ids.
// Nothing but on-link addresses may be told or answered.
func FuzzHear(f *testing.F) {
	self, other := newTagKey(testID(1)), newTagKey(testID(2))
	f.Add(self.query(here), true, true)
	f.Add(other.announce(here), false, true)
	f.Add(other.announce(addrPorts("203.0.113.1:53", "127.0.0.1:1", "[fe80::1]:9")), true, true)
	f.Add([]byte{0x29, 1, 0, 0}, true, false)
	nets := prefixes("192.168.7.2/24")
	f.Fuzz(func(t *testing.T, b []byte, segmented, sign bool) {
		if len(b) > maxBeacon {
			return
		}
		check := func(a netip.AddrPort) {
			if !nets[0].Contains(a.Addr()) && !a.Addr().IsLinkLocalUnicast() {
				t.Fatalf("%v is not on the segment", a)
			}
		}
		s := &Service{
			cfg: Config{
				Send: func(to netip.AddrPort, answer []byte) error {
					check(to)
					if len(answer) > len(b) {
						t.Fatalf("%d bytes answer %d", len(answer), len(b))
					}
					return nil
				},
				Wanted: func() []identity.ID { return []identity.ID{testID(2)} },
				Found:  func(_ identity.ID, a netip.AddrPort) { check(a) },
				Logger: slog.New(slog.DiscardHandler),
			},
			self: self, schedule: newSchedule(identity.ID{}, start), sought: map[identity.ID]tagKey{}, nets: nets,
		}
		in := beacon{from: netip.MustParseAddrPort("192.168.7.9:26684"), n: len(b)}
		copy(in.b[:], b)
		if sign && len(b) > tagEnd {
			key := self
			if b[0] == 0x29 {
				key = other
			}
			tag := key.tag(b)
			copy(in.b[tagAt:], tag[:])
		}
		if segmented {
			in.segment = &segment{ifname: "eth0", group: Group4, addrs: addrPorts("192.168.7.2:7000", "[fe80::2]:7001"), nets: nets}
		}
		s.hear(start, &in)
	})
}

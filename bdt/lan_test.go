package bdt_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/crypto/blake2s"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/internal/discovery"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

// office is a switch behind a NAT of the world, with hosts on it.
type office struct {
	w   *world
	lan *netsim.Switch
}

// newOffice makes an office. Without an address it has no internet.
func newOffice(w *world, wan string) *office {
	o := &office{w, w.net.Switch("office")}
	if wan != "" {
		nat := w.net.NAT("office-nat", netsim.PortRestricted)
		netsim.Must(w.net.Connect(nat, w.core, netsim.LinkConfig{Delay: 10 * time.Millisecond}, wan))
		netsim.Must(w.net.Connect(o.lan, nat, netsim.LinkConfig{}))
	}
	return o
}

// host makes a host on the switch. Packets take 200 µs to it.
func (o *office) host(name string, addrs ...string) *netsim.Host {
	o.w.t.Helper()
	h := o.w.net.Host(name)
	o.w.links[name] = netsim.Must(o.w.net.Connect(h, o.lan, netsim.LinkConfig{Delay: 200 * time.Microsecond}, addrs...))
	return h
}

// pathTo returns where the data of a session goes.
func pathTo(t *testing.T, s *bdt.Stack, id idT) bdt.PathStatus {
	t.Helper()
	p, ok := s.Peer(id)
	if !ok || p.Path.Kind == "" {
		t.Fatalf("no path to %v", id.Short())
	}
	return p.Path
}

// Two devices on one segment, without any SN, dial each other by nothing but the id.
func TestLANDial(t *testing.T) {
	for _, family := range []struct {
		name   string
		a, b   []string
		callee string // the kind of path that the callee sees
	}{
		{"IPv4", []string{"192.168.7.1/24"}, []string{"192.168.7.2/24"}, "lan"},
		{"IPv6", []string{"fd07::1/64"}, []string{"fd07::2/64"}, "lan"},
		{"public IPv6", []string{"2001:db8:7::1/64"}, []string{"2001:db8:7::2/64"}, "direct"}, // nobody tells it that the address is of the segment (path.md §1)
		{"both", []string{"192.168.7.1/24", "fd07::1/64"}, []string{"192.168.7.2/24", "fd07::2/64"}, "lan"},
	} {
		t.Run(family.name, func(t *testing.T) {
			inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
				o := newOffice(w, "")
				alice, bob := w.open("alice", o.host("alice", family.a...), noSN), w.open("bob", o.host("bob", family.b...), noSN)
				defer closeAll(t, alice, bob)
				bob.ServeEcho()
				took := ask(t, alice, bob.ID())
				if k := pathTo(t, alice, bob.ID()).Kind; k != "lan" {
					t.Errorf("the path is %s", k)
				}
				if k := pathTo(t, bob, alice.ID()).Kind; k != family.callee {
					t.Errorf("bob's path is %s", k)
				}
				// P = 800 µs: query and answer, Describe and Described, initiation and
				// response, QUIC, the stream.
				if took > 10*time.Millisecond {
					explain(t, alice, bob.ID())
					t.Errorf("the first byte took %v", took)
				}
				t.Logf("first byte of a bare id after %v (round trip 800 µs)", took)
			})
		})
	}
}

// A device that joins the segment while it is being dialled is found by its own
// announcement, after the questions for it have ended.
func TestLANLate(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		o := newOffice(w, "198.51.100.1")
		bobDevice := newDevice(t, "bob")
		alice := w.open("alice", o.host("alice", "192.168.7.1/24"))
		defer closeAll(t, alice)
		// Bob is registered but cannot be reached: his old network is cut.
		was := w.behind("elsewhere", netsim.Symmetric, time.Millisecond, "198.51.100.2")
		old := w.open("bob", was, func(c *bdt.Config) { c.Device = bobDevice })
		w.cutter("elsewhere")(true)
		done := make(chan error, 1)
		go func() {
			c, err := alice.Dial(t.Context(), bobDevice.Device.ID(), bdt.EchoService)
			if err == nil {
				c.Close()
			}
			done <- err
		}()
		time.Sleep(8 * time.Second)
		old.Close()
		bob := w.open("bob", o.host("bob", "192.168.7.2/24"), noSN, func(c *bdt.Config) { c.Device = bobDevice })
		defer closeAll(t, bob)
		joined := time.Now()
		bob.ServeEcho()
		if err := <-done; err != nil {
			explain(t, alice, bob.ID())
			t.Fatal(err)
		}
		if k := pathTo(t, alice, bob.ID()).Kind; k != "lan" {
			t.Errorf("the path is %s", k)
		}
		t.Logf("connected %v after it joined", time.Since(joined))
	})
}

// A device that comes to the segment of one to which it has a session is heard
// there, and the session moves to the segment.
func TestLANJoined(t *testing.T) {
	inVirtualTime(t, 20*time.Millisecond, func(t *testing.T, w *world) {
		o := newOffice(w, "198.51.100.1")
		alice := w.open("alice", o.host("alice", "192.168.7.1/24"))
		bobHost := w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2")
		bob := w.open("bob", bobHost)
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		ask(t, alice, bob.ID())
		if k := pathTo(t, alice, bob.ID()).Kind; k != "punched" {
			t.Fatalf("the first path is %s", k)
		}
		time.Sleep(30 * time.Second)
		// Bob plugs in a cable.
		netsim.Must(w.net.Connect(bobHost, o.lan, netsim.LinkConfig{Delay: 200 * time.Microsecond}, "192.168.7.2/24"))
		for i := range 50 {
			ask(t, alice, bob.ID())
			if pathTo(t, alice, bob.ID()).Kind == "lan" {
				t.Logf("on the segment after %v", time.Duration(i+1)*100*time.Millisecond)
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		explain(t, alice, bob.ID())
		t.Fatal("the session did not move to the segment")
	})
}

// With an SN the path on the segment is found just as well, and preferred, even if
// the NAT does not turn packets around.
func TestLANPreferred(t *testing.T) {
	inVirtualTime(t, 30*time.Millisecond, func(t *testing.T, w *world) {
		o := newOffice(w, "198.51.100.1")
		alice, bob := w.open("alice", o.host("alice", "192.168.7.1/24")), w.open("bob", o.host("bob", "192.168.7.2/24"))
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		took := ask(t, alice, bob.ID())
		p := pathTo(t, alice, bob.ID())
		if p.Kind != "lan" || p.Remote.Addr() != netip.MustParseAddr("192.168.7.2") {
			t.Errorf("the path is %s to %v", p.Kind, p.Remote)
		}
		if took > 10*time.Millisecond { // the SN is 80 ms away
			t.Errorf("the first byte took %v", took)
		}
		t.Logf("first byte after %v, with the SN 80 ms away", took)
	})
}

// Who does not want to be found on the segment is not.
func TestLANOptOut(t *testing.T) {
	noLAN := func(c *bdt.Config) { c.NoLAN = true }
	hidden := func(c *bdt.Config) { c.Visibility = bdt.VisibleToNobody }
	for _, tt := range []struct {
		name       string
		alice, bob []func(*bdt.Config)
	}{
		{"the caller", []func(*bdt.Config){noSN, noLAN}, []func(*bdt.Config){noSN}},
		{"the callee", []func(*bdt.Config){noSN}, []func(*bdt.Config){noSN, noLAN}},
		{"visible to nobody", []func(*bdt.Config){noSN}, []func(*bdt.Config){noSN, hidden}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
				o := newOffice(w, "")
				alice := w.open("alice", o.host("alice", "192.168.7.1/24"), tt.alice...)
				bobHost := o.host("bob", "192.168.7.2/24")
				bob := w.open("bob", bobHost, tt.bob...)
				defer closeAll(t, alice, bob)
				up, _ := w.links["bob"].Stats()
				_, err := alice.Dial(context.Background(), bob.ID(), bdt.EchoService)
				if !errors.Is(err, bdt.ErrNoRoute) {
					t.Errorf("dialled: %v", err)
				}
				after, _ := w.links["bob"].Stats()
				if n := after.Packets[netsim.Sent] - up.Packets[netsim.Sent]; tt.name != "the caller" && n != 0 {
					t.Errorf("bob sent %d packets", n)
				}
			})
		})
	}
}

// A stranger on the segment sees everything and learns no id: not from what is
// sent to all, nor by repeating it as his own.
func TestLANBlinded(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		o := newOffice(w, "")
		strangerHost := o.host("stranger", "192.168.7.66/24")
		conn, err := strangerHost.ListenMulticast("eth0", discovery.Group4)
		if err != nil {
			t.Fatal(err)
		}
		own, err := strangerHost.ListenUDP(netip.MustParseAddrPort("0.0.0.0:7000"))
		if err != nil {
			t.Fatal(err)
		}
		defer own.Close()
		var heard [][]byte
		over := make(chan struct{})
		go func() {
			defer close(over)
			for {
				ds := []underlay.Datagram{{Data: make([]byte, 2048)}}
				if _, err := conn.ReadBatch(ds); err != nil {
					return
				}
				if ds[0].Addr.Addr() != netip.MustParseAddr("192.168.7.66") {
					heard = append(heard, ds[0].Data)
					// The same from here; and the tag with an address of the stranger's.
					conn.WriteBatch([]underlay.Datagram{{Data: ds[0].Data, Addr: discovery.Group4}})
					if m, err := wire.ParseAnnounce(ds[0].Data); err == nil {
						m.Addrs = []netip.AddrPort{netip.MustParseAddrPort("192.168.7.66:7000")}
						conn.WriteBatch([]underlay.Datagram{{Data: m.Append(nil), Addr: discovery.Group4}})
					}
					if m, err := wire.ParseQuery(ds[0].Data); err == nil {
						m.Addrs = []netip.AddrPort{netip.MustParseAddrPort("192.168.7.66:7000")}
						conn.WriteBatch([]underlay.Datagram{{Data: m.Append(nil), Addr: discovery.Group4}})
					}
				}
			}
		}()
		alice, bob := w.open("alice", o.host("alice", "192.168.7.1/24"), noSN), w.open("bob", o.host("bob", "192.168.7.2/24"), noSN)
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		ask(t, alice, bob.ID())
		time.Sleep(5 * time.Minute)
		conn.Close()
		<-over
		if len(heard) < 10 {
			t.Errorf("the stranger heard %d beacons only", len(heard))
		}
		seen := map[string]bool{}
		for _, b := range heard {
			for _, id := range []idT{alice.ID(), bob.ID()} {
				if bytes.Contains(b, id[:16]) || bytes.Contains(b, id[16:]) {
					t.Fatalf("the id of %v is in %x", id.Short(), b)
				}
			}
			if tag := string(b[20:36]); seen[tag] {
				t.Errorf("the tag %x was used twice", tag)
			} else {
				seen[tag] = true
			}
		}
		_, down := w.links["stranger"].Stats()
		if n := down.Packets[netsim.Delivered] + down.Packets[netsim.Sent] - uint64(len(heard)); n != 0 {
			t.Errorf("%d packets were sent to the stranger himself", n)
		}
	})
}

// Beacons that are forged by one who knows an id cost bounded work, send nothing to
// third parties, and do not keep the honest from being found.
func TestLANForged(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		o := newOffice(w, "198.51.100.1")
		w.public("victim", time.Millisecond, "203.0.113.99")
		rogue := o.host("rogue", "192.168.7.66/24")
		conn, err := rogue.ListenMulticast("eth0", discovery.Group4)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		alice, bob := w.open("alice", o.host("alice", "192.168.7.1/24"), noSN), w.open("bob", o.host("bob", "192.168.7.2/24"), noSN)
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		stop, over := make(chan struct{}), make(chan struct{})
		forged := 0
		go func() {
			defer close(over)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
				// Bob is at the victim, at a printer, at alice's own; and asks for itself.
				for _, b := range [][]byte{
					forge(wire.TypeAnnounce, bob.ID(), "203.0.113.99:53"),
					forge(wire.TypeAnnounce, bob.ID(), fmt.Sprintf("192.168.7.77:%d", 1000+i%5000)),
					forge(wire.TypeAnnounce, bob.ID(), "192.168.7.255:9"),
					forge(wire.TypeQuery, bob.ID(), "203.0.113.99:53"),
					forge(wire.TypeQuery, bob.ID(), "192.168.7.77:53"),
				} {
					forged++
					conn.WriteBatch([]underlay.Datagram{{Data: b, Addr: discovery.Group4}})
				}
			}
		}()
		printer := netip.MustParseAddr("192.168.7.77")
		o.host("printer", printer.String()+"/24")
		var toPrinter, toVictim int
		w.net.Trace(func(e netsim.Event) {
			switch {
			case e.Fate == netsim.Sent && e.Link == w.links["printer"] && e.Dst.Addr() == printer:
				toPrinter++
			case e.Fate == netsim.Sent && e.Link == w.links["victim"]:
				toVictim++
			}
		})
		time.Sleep(3 * time.Second)
		took := ask(t, alice, bob.ID())
		time.Sleep(10 * time.Second)
		close(stop)
		<-over
		w.net.Trace(nil)
		if p := pathTo(t, alice, bob.ID()); p.Remote.Addr() != netip.MustParseAddr("192.168.7.2") {
			t.Errorf("the path leads to %v", p.Remote)
		}
		if toVictim != 0 {
			t.Errorf("%d packets to the victim", toVictim)
		}
		// In 13 s: of bob's 16 answers a second and the first 16; of alice's 8
		// questions for the descriptor, and what path.md §3 allows for knocks.
		if limit := 16*14 + 8 + 128 + 4*13; toPrinter > limit {
			t.Errorf("%d packets to the printer, want at most %d", toPrinter, limit)
		}
		t.Logf("first byte after %v; of %d forged beacons came %d packets to the printer", took, forged, toPrinter)
	})
}

// forge makes a beacon as one who knows the id can (discovery.md §2).
func forge(t wire.Type, id idT, addr string) []byte {
	b := (&wire.Announce{Addrs: []netip.AddrPort{netip.MustParseAddrPort(addr)}}).Append(nil)
	b[0] = byte(t)
	rand.Read(b[4:20])
	key := blake2s.Sum256(append([]byte("bdt lan"), id[:]...))
	h, _ := blake2s.New128(key[:])
	h.Write(b)
	h.Sum(b[20:20])
	return b
}

// Over the kernel's sockets two devices on one machine find each other, if it has
// an interface that carries groups.
func TestLANKernel(t *testing.T) {
	if !hasSegment(t) {
		t.Skip("no interface of this machine carries multicast")
	}
	any := func(c *bdt.Config) { c.Listen = nil }
	alice, bob := openLoopback(t, any), openLoopback(t, any)
	defer closeAll(t, alice, bob)
	bob.ServeEcho()
	took := ask(t, alice, bob.ID())
	if k := pathTo(t, alice, bob.ID()).Kind; k != "lan" {
		t.Errorf("the path is %s", k)
	}
	t.Logf("first byte of a bare id after %v", took)
}

func hasSegment(t *testing.T) bool {
	list, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, ifi := range list {
		if ifi.Flags&(net.FlagUp|net.FlagLoopback|net.FlagMulticast) != net.FlagUp|net.FlagMulticast {
			continue
		}
		addrs, _ := ifi.Addrs()
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && !p.IsSingleIP() && p.Addr().Is4() {
				return true
			}
		}
	}
	return false
}

package netsim

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

// everything is a link on which all that is random happens.
var everything = LinkConfig{
	Delay: 5 * time.Millisecond, Jitter: 3 * time.Millisecond, Loss: 0.05, Burst: &GilbertElliott{P: 0.05, R: 0.3, LossBad: 0.8},
	Reorder: 0.1, ReorderBy: 7 * time.Millisecond, Duplicate: 0.1, Corrupt: 0.05, CorruptUndetected: 0.3,
}

// An extra is what a script does beside.
type extra struct {
	flow  bool // sends one packet in another flow of the same host
	host  bool // another host sends one on the same links
	name  bool // a packet goes where there is nobody, by a link of its own
	nodes int  // at the end, after all else: hosts that do nothing
}

// script runs three hosts that send through a NAT and a router at once, from a goroutine
// each, and returns what has happened to the first one's packets, and the hash.
func script(t *testing.T, seed uint64, x extra) (fates []string, hash string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{Seed: seed})
		defer n.Close()
		core, nat, s := n.Router("core"), n.NAT("nat", Symmetric), n.Host("s")
		lan := n.Switch("lan")
		Must(n.Connect(s, core, everything, "203.0.113.1"))
		Must(n.Connect(nat, core, everything, "198.51.100.7"))
		Must(n.Connect(lan, nat, everything))
		var hosts []*Host
		for i := range 3 {
			hosts = append(hosts, n.Host(fmt.Sprint("h", i)))
			Must(n.Connect(hosts[i], lan, everything, fmt.Sprintf("198.18.1.%d/24", i+1)))
		}
		h0, first := hosts[0].Addrs()[0], make(map[netip.AddrPort]bool)
		alone := n.Host("alone")
		Must(n.Connect(alone, core, everything, "203.0.113.9"))
		for i := range x.nodes {
			Must(n.Connect(n.Host("idle"), core, everything, fmt.Sprintf("203.0.113.%d", 100+i)))
		}
		n.Trace(func(e Event) {
			// Beyond the NAT a flow is known by the port that the NAT has drawn for it.
			if e.Fate == Translated && e.OldSrc.Addr() == h0 {
				first[e.Src] = true
			}
			if (e.Src.Addr() == h0 || first[e.Src]) && e.Dst.Port() == 7 {
				fates = append(fates, e.String())
			}
		})
		listen(t, s, "0.0.0.0:7")
		var all sync.WaitGroup
		for i, h := range hosts {
			p := listen(t, h, "0.0.0.0:5000")
			all.Go(func() {
				for k := range 100 {
					p.send(addr("203.0.113.1:7"), fmt.Sprintf("%*d", 10+k, i))
					if k == 30 && (i == 0 && x.flow || i == 1 && x.host) {
						p.send(addr("203.0.113.1:9"), "one more")
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		if x.name {
			p := listen(t, alone, "0.0.0.0:5000")
			p.send(addr("192.0.2.1:7"), "nobody")
		}
		all.Wait()
		settle()
		hash = n.Hash()
	})
	slices.Sort(fates) // the order within an instant is fixed, but names no event
	return fates, hash
}

func TestOneMoreChangesNoOther(t *testing.T) {
	fates, hash := script(t, 1, extra{})
	if len(fates) < 600 { // of 100 packets, six hops
		t.Fatalf("%d fates", len(fates))
	}
	for range 10 {
		if again, h := script(t, 1, extra{}); !slices.Equal(fates, again) || h != hash {
			t.Fatalf("the same script gives %s and %s", hash, h)
		}
	}
	for _, x := range []extra{{flow: true}, {host: true}, {name: true}, {flow: true, host: true, name: true}} {
		other, h := script(t, 1, x)
		if !slices.Equal(fates, other) {
			t.Errorf("%+v changes the fates of others", x)
		}
		if h == hash {
			t.Errorf("%+v does not change the hash", x)
		}
	}
	if _, h := script(t, 1, extra{nodes: 3}); h != hash {
		t.Error("hosts that do nothing change the hash")
	}
	if other, h := script(t, 2, extra{}); slices.Equal(fates, other) || h == hash {
		t.Error("another seed changes nothing")
	}
}

// TestHashOfStreams: TCP, ICMP, a NAT that draws ports, CoDel, cuts and reboots on a
// schedule, all from one seed.
func TestHashOfStreams(t *testing.T) {
	run := func(seed uint64, size int) (hash string) {
		synctest.Test(t, func(t *testing.T) {
			n := New(Config{Seed: seed})
			defer n.Close()
			core, nat, s, a := n.Router("core"), n.NAT("nat", Symmetric), n.Host("s"), n.Host("a")
			cfg := LinkConfig{Delay: 3 * time.Millisecond, Jitter: time.Millisecond, Loss: 0.01, Rate: 20e6, CoDel: true, Down: &LinkConfig{Delay: time.Millisecond, Loss: 0.02}}
			Must(n.Connect(s, core, LinkConfig{Delay: time.Millisecond}, "203.0.113.1"))
			l := Must(n.Connect(nat, core, cfg, "198.51.100.7"))
			Must(n.Connect(a, nat, LinkConfig{Delay: time.Millisecond}, "198.18.0.2/24"))
			n.At(100*time.Millisecond, func() { l.SetDown(true) })
			n.At(150*time.Millisecond, func() { l.SetDown(false) })
			n.At(200*time.Millisecond, func() { core.Reboot(100 * time.Millisecond) })
			ln := Must(s.Listen("tcp", "0.0.0.0:80"))
			go func() {
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					go io.Copy(c, c)
				}
			}()
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					c := Must(a.DialContext(context.Background(), "tcp", "203.0.113.1:80"))
					defer c.Close()
					go c.Write(make([]byte, size))
					io.ReadFull(c, make([]byte, size))
				})
			}
			u := listen(t, a, "0.0.0.0:0")
			for i := range 50 {
				u.write(underlay.Datagram{Addr: addr("203.0.113.1:9"), Data: make([]byte, i), HopLimit: uint8(1 + i%4)})
				time.Sleep(10 * time.Millisecond)
			}
			all.Wait()
			hash = n.Hash()
		})
		return hash
	}
	hash := run(1, 200_000)
	for range 5 {
		if again := run(1, 200_000); again != hash {
			t.Fatalf("hash %s, then %s", hash, again)
		}
	}
	if other := run(2, 200_000); other == hash {
		t.Error("another seed has the same hash")
	}
	if other := run(1, 200_001); other == hash {
		t.Error("a byte more has the same hash")
	}
}

// TestHash: what counts and what does not.
func TestHash(t *testing.T) {
	run := func(f func(p pair)) (hash string) {
		simulate(t, func(t *testing.T, n *Network) {
			p := newPair(t, n, LinkConfig{Delay: time.Millisecond})
			f(p)
			settle()
			hash = n.Hash()
		})
		return hash
	}
	base := run(func(p pair) { p.up("a"); p.up("bb") })
	for name, f := range map[string]func(pair){
		"content":              func(p pair) { p.up("z"); p.up("yy") },
		"order at one instant": func(p pair) { p.up("bb"); p.up("a") },
		"ports": func(p pair) {
			p.a.send(addr("198.51.100.2:2"), "a")
			listen(p.a.t, p.a.conn.(*socket).host, "198.51.100.1:99").send(addr("198.51.100.2:2"), "bb")
		},
		"reading the hash": func(p pair) { p.link.net.Hash(); p.up("a"); p.link.net.Hash(); p.up("bb") },
		"a trace function": func(p pair) { p.link.net.Trace(func(Event) {}); p.up("a"); p.up("bb") },
	} {
		if h := run(f); h != base {
			t.Errorf("%s: hash %s, want %s", name, h, base)
		}
	}
	seen := map[string]string{base: "base"}
	for name, f := range map[string]func(pair){
		"nothing":   func(pair) {},
		"one less":  func(p pair) { p.up("a") },
		"size":      func(p pair) { p.up("a"); p.up("b") },
		"direction": func(p pair) { p.up("a"); p.z.send(p.a.conn.LocalAddr(), "bb") },
		"time":      func(p pair) { p.up("a"); time.Sleep(time.Nanosecond); p.up("bb") },
		"delay":     func(p pair) { p.link.SetDelay(2 * time.Millisecond); p.up("a"); p.up("bb") },
		"fate":      func(p pair) { p.up("a"); p.a.send(addr("198.51.100.2:3"), "bb") },
		"twice":     func(p pair) { p.up("a"); p.up("bb"); p.up("a"); p.up("bb") },
		"loss":      func(p pair) { p.link.SetLoss(1); p.up("a"); p.up("bb") },
	} {
		h := run(f)
		if other, ok := seen[h]; ok {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[h] = name
	}
}

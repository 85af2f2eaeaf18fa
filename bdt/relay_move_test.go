package bdt_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/pn"
)

// isServer reports whether an address is a server's of a world, not a device's.
func isServer(a netip.AddrPort) bool { return a.Port() == pn.DefaultPort || a.Port() == 8443 }

// cutDirect has everything between devices lost on links while cut is set, and nothing between
// them and servers.
func (w *world) cutDirect(cut *atomic.Bool, links ...string) {
	for _, link := range links {
		w.links[link].SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
			if !cut.Load() || isServer(p.Src) || isServer(p.Dst) {
				emit(p, 0)
			}
		})
	}
}

// What streams deliver is whole and in order, in both directions, however often the session
// moves between the relay and the direct path, and though both lose packets.
func TestRelayMovesUnderLoad(t *testing.T) {
	const size = 3 << 20
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		node := w.pn("pn", "203.0.113.5", 20*time.Millisecond)
		defer node.Close()
		alice := w.open("alice", w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.1"), through(node))
		bob := w.open("bob", w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2"), through(node))
		defer closeAll(t, alice, bob)
		ln := listen(t, bob, "data")
		settle(w)
		for _, name := range []string{"alice", "bob"} {
			w.links[name].SetLoss(0.01)
		}
		var cut atomic.Bool
		w.cutDirect(&cut, "alice", "bob")
		out, err := alice.Dial(t.Context(), bob.ID(), "data")
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, size)
		rand.NewChaCha8([32]byte{1}).Read(data)
		want := sha256.Sum256(data)
		var moving sync.WaitGroup
		// At the pace of a slow disk, so that it takes as long as the moves.
		write := func(c *bdt.Conn) {
			for b := range slicesOf(data, 16<<10) {
				if _, err := c.Write(b); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
			c.CloseWrite()
		}
		read := func(c *bdt.Conn, who string) {
			got := sha256.New()
			n, err := io.Copy(got, c)
			if err != nil || n != size || !bytes.Equal(got.Sum(nil), want[:]) {
				t.Errorf("%s read %d bytes, of another content: %v", who, n, err)
			}
		}
		moving.Go(func() { write(out) })
		in, err := ln.AcceptConn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		moving.Go(func() { write(in) })
		moving.Go(func() { read(out, "alice") })
		moving.Go(func() { read(in, "bob") })
		start, kinds := time.Now(), map[string]int{}
		done := make(chan struct{})
		go func() { moving.Wait(); close(done) }()
		for {
			select {
			case <-done:
			case <-time.After(1700 * time.Millisecond):
				kinds[kindTo(t, alice, bob.ID())]++
				cut.Store(!cut.Load())
				continue
			}
			break
		}
		t.Logf("%v, at the turns %v, %d and %d moves", time.Since(start), kinds, uses(alice, bob.ID(), start), uses(bob, alice.ID(), start))
		if kinds["relayed"] == 0 || kinds["punched"] == 0 || time.Since(start) > 40*time.Second {
			explain(t, alice, bob.ID())
			t.Error("it did not move, or stalled")
		}
		out.Close()
		in.Close()
	})
}

// slicesOf cuts b.
func slicesOf(b []byte, size int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			n := min(size, len(b))
			if !yield(b[:n]) {
				return
			}
			b = b[n:]
		}
	}
}

// relayWorld is two devices that have only PNs between them.
func relayWorld(w *world, nodes ...*relayNode) (alice, bob *bdt.Stack) {
	alice = w.open("alice", w.behind("alice", symmetricRandom, 10*time.Millisecond, "198.51.100.1"), through(nodes...))
	bob = w.open("bob", w.behind("bob", symmetricRandom, 10*time.Millisecond, "198.51.100.2"), through(nodes...))
	alice.ServeEcho()
	bob.ServeEcho()
	settle(w)
	return alice, bob
}

// Two that dial each other in the same instant get one session, with a relay each at most.
func TestRelayGlare(t *testing.T) {
	for _, known := range []bool{false, true} {
		for _, later := range some(0, time.Millisecond, 24*time.Millisecond, 30*time.Millisecond, 60*time.Millisecond, 110*time.Millisecond) {
			inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
				node := w.pn("pn", "203.0.113.5", 5*time.Millisecond)
				defer node.Close()
				alice, bob := relayWorld(w, node)
				defer closeAll(t, alice, bob)
				if known {
					alice.Learn(identity.Ticket{ID: bob.ID(), Device: bob.Device()})
					bob.Learn(identity.Ticket{ID: alice.ID(), Device: alice.Device()})
				}
				var dials sync.WaitGroup
				var a, b time.Duration
				dials.Go(func() { a = ask(t, alice, bob.ID()) })
				time.Sleep(later)
				dials.Go(func() { b = ask(t, bob, alice.ID()) })
				dials.Wait()
				t.Logf("known=%v, %v later: %v and %v", known, later, a, b)
				if limit := 500 * time.Millisecond; a > limit || b > limit {
					explain(t, alice, bob.ID())
					t.Errorf("limit %v", limit)
				}
				time.Sleep(2 * time.Minute)
				ask(t, alice, bob.ID())
				if n := node.Stats().Pairs; n < 1 || n > 2 {
					t.Errorf("%d bindings", n)
				}
				if _, sessions, _ := alice.Table(); sessions != 1 {
					t.Errorf("%d sessions", sessions)
				}
			})
		}
	}
}

// Two that ask each other for the first time in the same instant are both answered.
func TestRelayedFirstCalls(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		node := w.pn("pn", "203.0.113.5", 5*time.Millisecond)
		defer node.Close()
		alice, bob := relayWorld(w, node)
		defer closeAll(t, alice, bob)
		alice.Learn(identity.Ticket{ID: bob.ID(), Device: bob.Device()})
		bob.Learn(identity.Ticket{ID: alice.ID(), Device: alice.Device()})
		for _, s := range []*bdt.Stack{alice, bob} {
			answer := func(context.Context, *bdt.Question) ([]byte, error) { return []byte(s.ID().Short()), nil }
			if _, err := s.HandleCalls("id", bdt.CallConfig{Access: bdt.Everyone, Handler: answer, ReplaySafe: true}); err != nil {
				t.Fatal(err)
			}
		}
		var calls sync.WaitGroup
		for _, c := range [][2]*bdt.Stack{{alice, bob}, {bob, alice}} {
			calls.Go(func() {
				start := time.Now()
				answer, err := c[0].Call(t.Context(), c[1].ID(), "id", nil)
				t.Logf("%q, %v after %v", answer, err, time.Since(start))
				if err != nil || string(answer) != c[1].ID().Short() || time.Since(start) > time.Second {
					t.Error("not answered")
				}
			})
		}
		calls.Wait()
	})
}

// A PN that binds, but forwards nothing, or only what is small or goes one way, is not the
// last word if there is another.
func TestRelayDoesNotForward(t *testing.T) {
	for name, passes := range map[string]func(p netsim.Packet, first *relayNode) bool{
		"nothing": func(p netsim.Packet, n *relayNode) bool { return p.Data[0] != byte(wire.TypeRelayed) },
		"one way": func(p netsim.Packet, n *relayNode) bool {
			return p.Data[0] != byte(wire.TypeRelayed) || p.Dst.Addr() != netip.MustParseAddr("198.51.100.2")
		},
		"the small": func(p netsim.Packet, n *relayNode) bool {
			return p.Data[0] != byte(wire.TypeRelayed) || len(p.Data) < 1000
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
				bad, good := w.pn("pn1", "203.0.113.5", time.Millisecond), w.pn("pn2", "203.0.113.6", 5*time.Millisecond)
				defer bad.Close()
				defer good.Close()
				bad.link.SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
					if passes(p, bad) {
						emit(p, 0)
					}
				})
				alice, bob := relayWorld(w, bad, good)
				defer closeAll(t, alice, bob)
				took := ask(t, alice, bob.ID())
				t.Logf("answered after %v", took)
				if took > 6*time.Second {
					explain(t, alice, bob.ID())
					t.Error("limit 6 s")
				}
			})
		})
	}
}

// A relayed session survives a change of network at either end.
func TestRelayedRoaming(t *testing.T) {
	far := place{netsim.Symmetric, "198.51.100.7", "198.18.7.2/24"}
	next := place{netsim.Symmetric, "198.51.100.8", "198.18.8.2/24"}
	for _, who := range []string{"caller", "callee"} {
		for _, gap := range []time.Duration{0, 2 * time.Second, 20 * time.Second} {
			inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
				node := w.pn("pn", "203.0.113.5", 5*time.Millisecond)
				defer node.Close()
				a, b := w.mover("alice", mobile), w.mover("bob", far)
				alice, bob := w.open("alice", a.host, through(node)), w.open("bob", b.host, through(node))
				defer closeAll(t, alice, bob)
				settle(w)
				l := newLoad(t, alice, bob)
				defer l.stop()
				time.Sleep(10 * time.Second)
				m := map[string]*mover{"caller": a, "callee": b}[who]
				m.leave()
				time.Sleep(gap)
				m.arrive(next)
				time.Sleep(30 * time.Millisecond)
				l.from(30 * time.Millisecond)
				time.Sleep(10 * time.Second)
				toAlice, toBob := l.gaps()
				t.Logf("%s after %v: next byte at the caller after %v, at the callee after %v", who, gap, toAlice, toBob)
				if toAlice > time.Second || toBob > time.Second || len(l.errors()) > 0 || sessionsOpened(alice) != 1 {
					t.Errorf("limit 1s; streams ended with %v; %d sessions", l.errors(), sessionsOpened(alice))
					explain(t, alice, bob.ID())
					t.Log("bob:")
					explain(t, bob, alice.ID())
				}
			})
		}
	}
}

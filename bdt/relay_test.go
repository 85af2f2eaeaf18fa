package bdt_test

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/pn"
)

// A relayNode is a PN of a world.
type relayNode struct {
	*pn.Server
	ref    identity.Ref
	link   *netsim.Link
	secret *identity.Secret
	cfg    pn.Config
}

// pn adds a PN at a delay from the core.
func (w *world) pn(name, addr string, delay time.Duration, change ...func(*pn.Config)) *relayNode {
	w.t.Helper()
	host := w.net.Host(name)
	link := netsim.Must(w.net.Connect(host, w.core, netsim.LinkConfig{Delay: delay}, addr))
	cfg := pn.Config{
		Network:   host,
		Local:     newDevice(w.t, name),
		Listen:    []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(addr), pn.DefaultPort)},
		Admission: pn.Admission{Open: true},
		Logger:    testLogger(name),
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := pn.Open(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return &relayNode{s, s.Ref(), link, cfg.Local.Secret, cfg}
}

// through has a stack use PNs.
func through(nodes ...*relayNode) func(*bdt.Config) {
	return func(c *bdt.Config) {
		for _, n := range nodes {
			c.PNs = append(c.PNs, n.ref)
		}
	}
}

// kindTo returns the kind of the path that data to a device takes.
func kindTo(t testing.TB, s *bdt.Stack, id identity.ID) string {
	t.Helper()
	for _, p := range s.Peers() {
		if p.ID == id {
			return p.Path.Kind
		}
	}
	return "none"
}

// Devices that cannot reach each other do so through a PN, whosever it is.
func TestRelayed(t *testing.T) {
	for _, c := range []struct {
		name       string
		alice, bob bool // have a PN
		limit      time.Duration
	}{
		// R is 50 ms and Q 60 ms.
		{"both", true, true, 50*time.Millisecond + 150*time.Millisecond + 5*time.Millisecond},
		// Bob has to find it first, which takes three round trips of 30 ms; his Bind a fourth.
		{"caller's", true, false, 50*time.Millisecond + 150*time.Millisecond + 125*time.Millisecond},
		// Alice learns of it from the SN.
		{"callee's", false, true, 1500 * time.Millisecond},
	} {
		for _, known := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
					node := w.pn("pn", "203.0.113.5", 5*time.Millisecond)
					defer node.Close()
					open := func(name, wan string, uses bool) *bdt.Stack {
						if uses {
							return w.open(name, w.behind(name, symmetricRandom, 10*time.Millisecond, wan), through(node))
						}
						return w.open(name, w.behind(name, symmetricRandom, 10*time.Millisecond, wan))
					}
					alice, bob := open("alice", "198.51.100.1", c.alice), open("bob", "198.51.100.2", c.bob)
					defer closeAll(t, alice, bob)
					bob.ServeEcho()
					settle(w)
					if known {
						alice.Learn(identity.Ticket{ID: bob.ID(), Device: bob.Device()})
					}
					took := ask(t, alice, bob.ID())
					t.Logf("%s, known=%v: %v", c.name, known, took)
					if took > c.limit {
						explain(t, alice, bob.ID())
						explain(t, bob, alice.ID())
						t.Errorf("limit %v", c.limit)
					}
					if a, b := kindTo(t, alice, bob.ID()), kindTo(t, bob, alice.ID()); a != "relayed" || b != "relayed" {
						t.Errorf("paths %s and %s", a, b)
					}
					if st := node.Stats(); st.Met != 1 || st.Payers != 1 || st.DropElsewhere+st.DropUnknown+st.DropMalformed != 0 {
						t.Errorf("%+v", st)
					}
					time.Sleep(time.Minute)
					if st := node.Stats(); st.Pairs != 1 {
						t.Errorf("%d bindings", st.Pairs)
					}
					closeAll(t, alice)
					time.Sleep(10 * time.Second)
					if st := node.Stats(); st.Pairs != 0 {
						t.Errorf("%d bindings are left", st.Pairs)
					}
				})
			})
		}
	}
}

// Devices that can reach each other do, and keep the relay for when they cannot: bytes keep
// flowing when the direct path goes, and go back to it.
func TestRelayStandsBy(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		node := w.pn("pn", "203.0.113.5", 5*time.Millisecond)
		defer node.Close()
		alice := w.open("alice", w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.1"), through(node))
		bob := w.open("bob", w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2"), through(node))
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		settle(w)
		ask(t, alice, bob.ID())
		time.Sleep(5 * time.Second)
		if a, b := kindTo(t, alice, bob.ID()), kindTo(t, bob, alice.ID()); a != "punched" || b != "punched" {
			explain(t, alice, bob.ID())
			t.Fatalf("paths %s and %s", a, b)
		}
		e, _ := alice.Explain(bob.ID())
		standby := false
		for _, p := range e.Paths {
			standby = standby || p.Kind == "relayed" && p.Standby && p.State == "valid"
		}
		if !standby {
			explain(t, alice, bob.ID())
			t.Error("the relay does not stand by")
		}
		l := newLoad(t, alice, bob)
		defer l.stop()
		time.Sleep(5 * time.Second)
		// Between the two everything is lost, and not between them and the PN.
		var cut atomic.Bool
		server := func(a netip.AddrPort) bool { return a.Port() == pn.DefaultPort || a.Port() == 8443 }
		for _, link := range []string{"alice", "bob"} {
			w.links[link].SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
				if cut.Load() && !server(p.Src) && !server(p.Dst) {
					return
				}
				emit(p, 0)
			})
		}
		cut.Store(true)
		time.Sleep(100 * time.Millisecond) // what is on its way arrives
		l.from(100 * time.Millisecond)
		time.Sleep(10 * time.Second)
		toAlice, toBob := l.gaps()
		t.Logf("failover to the relay: gaps %v and %v", toAlice, toBob)
		if limit := time.Second + 100*time.Millisecond; toAlice > limit || toBob > limit {
			explain(t, alice, bob.ID())
			t.Errorf("limit %v", limit)
		}
		if a := kindTo(t, alice, bob.ID()); a != "relayed" {
			t.Errorf("path %s", a)
		}
		cut.Store(false)
		time.Sleep(2 * time.Minute)
		if a := kindTo(t, alice, bob.ID()); a != "punched" {
			explain(t, alice, bob.ID())
			t.Errorf("path %s", a)
		}
	})
}

// A PN that dies is replaced.
func TestRelayDies(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		first, second := w.pn("pn1", "203.0.113.5", time.Millisecond), w.pn("pn2", "203.0.113.6", 5*time.Millisecond)
		defer first.Close()
		defer second.Close()
		open := func(name, wan string) *bdt.Stack {
			return w.open(name, w.behind(name, symmetricRandom, 10*time.Millisecond, wan), through(first, second))
		}
		alice, bob := open("alice", "198.51.100.1"), open("bob", "198.51.100.2")
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		settle(w)
		ask(t, alice, bob.ID())
		if first.Stats().Pairs != 1 || second.Stats().Pairs != 0 {
			t.Errorf("not at the nearer one: %d and %d", first.Stats().Pairs, second.Stats().Pairs)
		}
		l := newLoad(t, alice, bob)
		defer l.stop()
		time.Sleep(5 * time.Second)
		first.link.SetDown(true)
		time.Sleep(100 * time.Millisecond)
		l.from(100 * time.Millisecond)
		time.Sleep(20 * time.Second)
		toAlice, toBob := l.gaps()
		t.Logf("from relay to relay: gaps %v and %v", toAlice, toBob)
		if limit := 4 * time.Second; toAlice > limit || toBob > limit {
			explain(t, alice, bob.ID())
			t.Errorf("limit %v", limit)
		}
		if second.Stats().Pairs == 0 {
			t.Error("nothing at the second")
		}
		first.link.SetDown(false)
	})
}

// A session that has slept longer than the PN keeps bindings wakes by a new one.
func TestRelayedWaking(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		node := w.pn("pn", "203.0.113.5", 5*time.Millisecond)
		defer node.Close()
		open := func(name, wan string) *bdt.Stack {
			return w.open(name, w.behind(name, symmetricRandom, 10*time.Millisecond, wan), through(node))
		}
		alice, bob := open("alice", "198.51.100.1"), open("bob", "198.51.100.2")
		defer closeAll(t, alice, bob)
		ln := listen(t, bob, "echo2")
		settle(w)
		out, in := connect(t, alice, ln)
		defer out.Close()
		defer in.Close()
		go func() {
			var b [1]byte
			for {
				if _, err := in.Read(b[:]); err != nil {
					return
				}
				in.Write(b[:])
			}
		}()
		exchange(t, out)
		time.Sleep(time.Hour)
		if st := node.Stats(); st.Pairs != 0 {
			t.Errorf("%d bindings of a session that sleeps", st.Pairs)
		}
		took := exchange(t, out)
		t.Logf("woke in %v", took)
		if took > time.Second {
			explain(t, alice, bob.ID())
			t.Error("limit 1 s")
		}
	})
}

// Whoever is not admitted does without.
func TestRelayRefuses(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		closed := w.pn("pn1", "203.0.113.5", time.Millisecond, func(c *pn.Config) { c.Admission = pn.Admission{Tokens: true} })
		open := w.pn("pn2", "203.0.113.6", 5*time.Millisecond)
		defer closed.Close()
		defer open.Close()
		start := func(name, wan string, change ...func(*bdt.Config)) *bdt.Stack {
			return w.open(name, w.behind(name, symmetricRandom, 10*time.Millisecond, wan), change...)
		}
		alice := start("alice", "198.51.100.1", through(closed, open))
		bob := start("bob", "198.51.100.2", through(closed))
		device := newDevice(t, "carol")
		token, err := pn.NewToken(closed.secret, device.Device.ID(), closed.ref.ID, time.Now().Add(time.Hour), 1)
		if err != nil {
			t.Fatal(err)
		}
		carol := start("carol", "198.51.100.3", through(closed), func(c *bdt.Config) { c.Device, c.PNTokens = device, [][]byte{token} })
		defer closeAll(t, alice, bob, carol)
		bob.ServeEcho()
		settle(w)
		if took := ask(t, alice, bob.ID()); took > 1500*time.Millisecond {
			t.Errorf("by way of the one that admits: %v", took)
		}
		if took := ask(t, carol, bob.ID()); took > 500*time.Millisecond {
			t.Errorf("with a token: %v", took)
		}
		if closed.Stats().Refused == 0 || closed.Stats().Met != 1 || open.Stats().Met != 1 {
			t.Errorf("%+v\n%+v", closed.Stats(), open.Stats())
		}
	})
}

// Strangers who name PNs have a few of them looked for, however many they are, and not for
// long.
func TestNamedRelaysAreFew(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		bob := w.open("bob", w.public("bob", 5*time.Millisecond, "203.0.113.12"))
		defer closeAll(t, bob)
		bob.ServeEcho()
		start := time.Now()
		for i := range 40 {
			ref, err := identity.NewRef(newDevice(t, "no PN").Device.ID(), "203.0.113.66:9999")
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprint("stranger", i)
			stranger := w.open(name, w.public(name, time.Millisecond, fmt.Sprintf("198.18.9.%d", i+1)), func(c *bdt.Config) { c.PNs = []identity.Ref{ref} })
			ask(t, stranger, bob.ID())
			stranger.Close()
		}
		if n, most := len(bob.PNs()), 4+1+int(time.Since(start)/(5*time.Second)); n == 0 || n > most {
			t.Errorf("%d PNs are looked for in %v, want at most %d", n, time.Since(start), most)
		}
		time.Sleep(3 * time.Minute)
		if n := len(bob.PNs()); n != 0 {
			t.Errorf("%d PN clients are left", n)
		}
	})
}

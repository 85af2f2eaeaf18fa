package bdt_test

import (
	"context"
	"io"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/netsim"
)

// A place is a network that a device can be at: a NAT of some kind, or IPv6 alone.
type place struct {
	nat netsim.NATConfig
	wan string // of the NAT; empty: IPv6 behind a firewall
	lan string // the device's address there
}

var (
	homeA  = place{netsim.PortRestricted, "198.51.100.1", "198.18.1.2/24"}
	homeB  = place{netsim.PortRestricted, "198.51.100.2", "198.18.2.2/24"}
	cafe   = place{netsim.PortRestricted, "198.51.100.3", "198.18.3.2/24"}
	works  = place{netsim.PortRestricted, "198.51.100.4", "198.18.4.2/24"}
	mobile = place{netsim.Symmetric, "198.51.100.5", "198.18.5.2/24"}
	open   = place{netsim.FullCone, "198.51.100.6", "198.18.6.2/24"}
	six    = place{netsim.Firewall, "", "2001:db8:6::2/64"}
	sixB   = place{netsim.Firewall, "", "2001:db8:7::2/64"}
)

// A mover is a device that can be taken from place to place.
type mover struct {
	w    *world
	name string
	host *netsim.Host
	at   []place
	n    int
}

// mover makes a host at a place.
func (w *world) mover(name string, at ...place) *mover {
	m := &mover{w: w, name: name, host: w.net.Host(name)}
	for _, p := range at {
		m.arrive(p)
	}
	return m
}

// arrive brings up an interface at a place.
func (m *mover) arrive(p place) {
	m.n++
	var wan []string
	if p.wan != "" {
		wan = []string{p.wan}
	}
	nat := m.w.net.NAT(m.name+p.wan, p.nat)
	netsim.Must(m.w.net.Connect(nat, m.w.core, netsim.LinkConfig{Delay: 10 * time.Millisecond}, wan...))
	netsim.Must(m.w.net.Connect(m.host, nat, netsim.LinkConfig{Delay: time.Millisecond}, p.lan))
	m.at = append(m.at, p)
}

// leave takes all interfaces' addresses away.
func (m *mover) leave() {
	for _, p := range m.at {
		m.host.RemoveAddr(netip.MustParsePrefix(p.lan).Addr())
	}
	m.at = nil
}

// A load is a stream with data in both directions all the time.
type load struct {
	mu       sync.Mutex
	arrivals map[string]time.Time // the first byte after mark, by who reads it
	mark     time.Time
	bytes    map[string]int
	errs     []error
	conns    []io.Closer
	done     sync.WaitGroup
}

// newLoad has alice and bob send each other 3,000 bytes every 15 ms, of which most go in
// packets of full size.
func newLoad(t *testing.T, alice, bob *bdt.Stack) *load {
	t.Helper()
	l := &load{arrivals: map[string]time.Time{}, bytes: map[string]int{}}
	ln := listen(t, bob, "load")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, err := alice.Dial(ctx, bob.ID(), "load")
	if err != nil {
		t.Fatal(err)
	}
	b, err := ln.AcceptConn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for who, c := range map[string]*bdt.Conn{"alice": a, "bob": b} {
		l.conns = append(l.conns, c)
		l.done.Go(func() { l.read(who, c) })
		l.done.Go(func() { l.write(c) })
	}
	return l
}

func (l *load) write(c *bdt.Conn) {
	b := make([]byte, 3000)
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
		time.Sleep(15 * time.Millisecond)
	}
}

func (l *load) read(who string, c *bdt.Conn) {
	b := make([]byte, 4096)
	for {
		n, err := c.Read(b)
		l.mu.Lock()
		if err != nil {
			l.errs = append(l.errs, err)
			l.mu.Unlock()
			return
		}
		l.bytes[who] += n
		if !l.mark.IsZero() && l.arrivals[who].IsZero() {
			l.arrivals[who] = time.Now()
		}
		l.mu.Unlock()
	}
}

// from has the first byte counted that arrives from now on, and gaps from a time before
// that.
func (l *load) from(before time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.arrivals)
	l.mark = time.Now().Add(-before)
}

// gaps returns how long after from each end read a byte; an hour if it has not.
func (l *load) gaps() (alice, bob time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gap := func(who string) time.Duration {
		if at := l.arrivals[who]; !at.IsZero() {
			return at.Sub(l.mark)
		}
		return time.Hour
	}
	return gap("alice"), gap("bob")
}

func (l *load) stop() {
	for _, c := range l.conns {
		c.Close()
	}
	l.done.Wait()
}

// errors returns why streams ended.
func (l *load) errors() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errs
}

// A device under load that moves to another network has its next byte through, in both
// directions, within a second of the new interface being up; the session survives.
func TestRoaming(t *testing.T) {
	for _, c := range []struct {
		name             string
		alice, bob       place
		toAlice, toBob   place // zero: stays
		aliceToo, bobToo []place
		gap              time.Duration
	}{
		{name: "caller, port-restricted to port-restricted", alice: homeA, bob: homeB, toAlice: cafe, gap: 2 * time.Second},
		{name: "callee, port-restricted to port-restricted", alice: homeA, bob: homeB, toBob: cafe, gap: 2 * time.Second},
		{name: "both", alice: homeA, bob: homeB, toAlice: cafe, toBob: works, gap: 2 * time.Second},
		{name: "at once", alice: homeA, bob: homeB, toAlice: cafe, gap: 0},
		{name: "after 20 s", alice: homeA, bob: homeB, toAlice: cafe, gap: 20 * time.Second},
		{name: "to symmetric, peer full cone", alice: homeA, bob: open, toAlice: mobile, gap: 2 * time.Second},
		{name: "callee to symmetric, peer full cone", alice: open, bob: homeB, toBob: mobile, gap: 2 * time.Second},
		{name: "IPv4 to IPv6", alice: homeA, bob: homeB, bobToo: []place{sixB}, toAlice: six, gap: 2 * time.Second},
		{name: "IPv6 to IPv4", alice: six, bob: homeB, bobToo: []place{sixB}, toAlice: homeA, gap: 2 * time.Second},
		{name: "IPv4 and IPv6 to IPv4", alice: homeA, aliceToo: []place{six}, bob: homeB, bobToo: []place{sixB}, toAlice: cafe, gap: 2 * time.Second},
		{name: "callee, IPv4 to IPv6", alice: homeA, aliceToo: []place{six}, bob: homeB, toBob: sixB, gap: 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
				a, b := w.mover("alice", append([]place{c.alice}, c.aliceToo...)...), w.mover("bob", append([]place{c.bob}, c.bobToo...)...)
				alice, bob := w.open("alice", a.host), w.open("bob", b.host)
				defer closeAll(t, alice, bob)
				settle(w)
				l := newLoad(t, alice, bob)
				defer l.stop()
				time.Sleep(10 * time.Second)

				if c.toAlice.lan != "" {
					a.leave()
				}
				if c.toBob.lan != "" {
					b.leave()
				}
				time.Sleep(c.gap)
				if c.toAlice.lan != "" {
					a.arrive(c.toAlice)
				}
				if c.toBob.lan != "" {
					b.arrive(c.toBob)
				}
				time.Sleep(30 * time.Millisecond) // what was on its way
				l.from(30 * time.Millisecond)
				time.Sleep(10 * time.Second)
				toAlice, toBob := l.gaps()
				t.Logf("next byte at the caller after %v, at the callee after %v", toAlice, toBob)
				if toAlice > time.Second || toBob > time.Second || len(l.errors()) > 0 || sessionsOpened(alice) != 1 {
					t.Errorf("limit 1s; streams ended with %v; %d sessions", l.errors(), sessionsOpened(alice))
					explain(t, alice, bob.ID())
					t.Log("bob:")
					explain(t, bob, alice.ID())
				}
			})
		})
	}
}

// A NAT that restarts under load costs the session a moment, whether it gives the device
// the same port again or another.
func TestRebindingUnderLoad(t *testing.T) {
	random := netsim.PortRestricted
	random.Ports = netsim.RandomPort
	type nats struct {
		name     string
		nat, far netsim.NATConfig
	}
	for _, c := range some(
		nats{"same port", netsim.PortRestricted, netsim.PortRestricted},
		nats{"another port", random, netsim.PortRestricted},
		nats{"another port, peer full cone", random, netsim.FullCone},
		nats{"symmetric, peer full cone", netsim.Symmetric, netsim.FullCone},
	) {
		for _, who := range []string{"caller", "callee"} {
			t.Run(c.name+", "+who, func(t *testing.T) {
				inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
					near := w.net.NAT("near", c.nat)
					netsim.Must(w.net.Connect(near, w.core, netsim.LinkConfig{Delay: 10 * time.Millisecond}, "198.51.100.1"))
					host := w.net.Host("alice")
					netsim.Must(w.net.Connect(host, near, netsim.LinkConfig{}, "198.18.1.2/24"))
					alice, bob := w.open("alice", host), w.open("bob", w.behind("bob", c.far, 10*time.Millisecond, "198.51.100.2"))
					defer closeAll(t, alice, bob)
					settle(w)
					from, to := alice, bob
					if who == "callee" {
						from, to = bob, alice
					}
					l := newLoad(t, from, to)
					defer l.stop()
					worst := time.Duration(0)
					for range 5 {
						time.Sleep(20 * time.Second)
						near.Reset()
						time.Sleep(25 * time.Millisecond) // what was on its way
						l.from(0)
						time.Sleep(10 * time.Second)
						toCaller, toCallee := l.gaps()
						worst = max(worst, toCaller, toCallee)
					}
					t.Logf("worst gap of 5: %v", worst)
					if worst > time.Second || len(l.errors()) > 0 || sessionsOpened(alice) != 1 {
						explain(t, alice, bob.ID())
						t.Log("bob:")
						explain(t, bob, alice.ID())
						t.Errorf("limit 1s; streams ended with %v; %d sessions", l.errors(), sessionsOpened(alice))
					}
				})
			})
		}
	}
}

// Two devices that have IPv6 alone, each behind a firewall, reach each other; and stay in
// touch when the firewalls forget them.
func TestIPv6Only(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := w.open("alice", w.mover("alice", six).host), w.open("bob", w.mover("bob", sixB).host)
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		settle(w)
		t.Logf("dialled in %v", ask(t, alice, bob.ID()))
		time.Sleep(time.Hour)
		t.Logf("an hour later answered in %v", ask(t, alice, bob.ID()))
		if st, _ := alice.Peer(bob.ID()); !st.Path.Remote.Addr().Is6() || sessionsOpened(alice) != 1 {
			t.Errorf("%+v, %d sessions", st.Path, sessionsOpened(alice))
		}
	})
}

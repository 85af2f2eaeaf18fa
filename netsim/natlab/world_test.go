//go:build linux && natlab

package natlab

import (
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

// A world is the topology of all packet tests, of the kernel's or of the
// simulator's making:
//
//	alice, arthur - natA - core1 - core2 - core3 - natB - bob
//	                                 |
//	                          server, stranger
//
// A packet from NAT to NAT passes three routers, so that one which left a host
// with hop limit 4 dies in core3, having passed the sender's NAT.
type world struct {
	alice, arthur, bob, server, stranger site
}

// A site is where sockets can be opened: a Node or a netsim.Host.
type site interface {
	ListenUDP(netip.AddrPort) (underlay.UDPConn, error)
}

// The addresses of a world. Those behind the NATs are unknown outside of them.
const (
	aliceAddr  = "198.18.1.2"
	arthurAddr = "198.18.1.3"
	bobAddr    = "198.18.2.2"
	natAAddr   = "198.51.100.2"
	natBAddr   = "198.51.100.130"
	serverAddr = "203.0.113.2"
	strangeIP  = "203.0.113.130"
)

// kernels makes a world, the kernel's or the simulator's.
var kernels = []struct {
	name string
	make func(t *testing.T, a, b netsim.NATConfig) world
}{{"kernel", kernelWorld}, {"netsim", simulatedWorld}}

func kernelWorld(t *testing.T, a, b netsim.NATConfig) world {
	n := newChain(t, a, b)
	lab := n.lab
	w := world{lab.Host("alice"), lab.Host("arthur"), lab.Host("bob"), lab.Host("server"), lab.Host("stranger")}
	lab.Connect(w.alice.(*tnode), n.natA, aliceAddr+"/24")
	lab.Connect(w.arthur.(*tnode), n.natA, arthurAddr+"/24")
	lab.Connect(w.bob.(*tnode), n.natB, bobAddr+"/24")
	lab.Connect(w.server.(*tnode), n.core, serverAddr+"/25")
	lab.Connect(w.stranger.(*tnode), n.core, strangeIP+"/25")
	return w
}

// A chain is the part of a world without hosts.
type chain struct {
	lab               tlab
	core, left, right *tnode // the routers; left and right are next to the NATs
	natA, natB        *tnode
}

func newChain(t *testing.T, a, b netsim.NATConfig) chain {
	lab := newLab(t)
	n := chain{
		lab:   lab,
		core:  lab.Router("core2"),
		left:  lab.Router("core1"),
		right: lab.Router("core3"),
		natA:  lab.NAT("natA", a),
		natB:  lab.NAT("natB", b),
	}
	lab.Connect(n.left, n.core, "192.0.2.2/25", "2001:db8:1::2/64")
	lab.Connect(n.right, n.core, "192.0.2.130/25", "2001:db8:2::2/64")
	lab.Connect(n.natA, n.left, natAAddr+"/25", "2001:db8:3::2/64")
	lab.Connect(n.natB, n.right, natBAddr+"/25", "2001:db8:4::2/64")
	return n
}

func simulatedWorld(t *testing.T, a, b netsim.NATConfig) world {
	n := netsim.New(netsim.Config{Seed: 1})
	t.Cleanup(func() { n.Close() })
	core2, core1, core3 := n.Router("core2"), n.Router("core1"), n.Router("core3")
	natA, natB := n.NAT("natA", a), n.NAT("natB", b)
	alice, arthur, bob := n.Host("alice"), n.Host("arthur"), n.Host("bob")
	server, stranger := n.Host("server"), n.Host("stranger")
	wire := netsim.LinkConfig{Delay: 100 * time.Microsecond}
	netsim.Must(n.Connect(core1, core2, wire, "192.0.2.2/25"))
	netsim.Must(n.Connect(core3, core2, wire, "192.0.2.130/25"))
	netsim.Must(n.Connect(natA, core1, wire, natAAddr))
	netsim.Must(n.Connect(natB, core3, wire, natBAddr))
	netsim.Must(n.Connect(alice, natA, wire, aliceAddr+"/24"))
	netsim.Must(n.Connect(arthur, natA, wire, arthurAddr+"/24"))
	netsim.Must(n.Connect(bob, natB, wire, bobAddr+"/24"))
	netsim.Must(n.Connect(server, core2, wire, serverAddr))
	netsim.Must(n.Connect(stranger, core2, wire, strangeIP))
	return world{alice, arthur, bob, server, stranger}
}

// An endpoint is an open socket and what has arrived at it.
type endpoint struct {
	t    *testing.T
	conn underlay.UDPConn
	got  chan underlay.Datagram
}

// patience is how long a packet that must arrive is waited for.
const patience = 10 * time.Second

// open opens an IPv4 socket at s until the test ends.
func open(t *testing.T, s site, port uint16) *endpoint {
	t.Helper()
	return listen(t, s, netip.AddrPortFrom(netip.IPv4Unspecified(), port))
}

func listen(t *testing.T, s site, laddr netip.AddrPort) *endpoint {
	t.Helper()
	conn, err := s.ListenUDP(laddr)
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{t, conn, make(chan underlay.Datagram, 64)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			ds := []underlay.Datagram{{Data: make([]byte, 1<<16)}}
			if _, err := conn.ReadBatch(ds); err != nil {
				return
			}
			e.got <- ds[0]
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return e
}

// send sends text with a hop limit, 0 for the usual one.
func (e *endpoint) send(to netip.AddrPort, text string, hopLimit uint8) {
	e.t.Helper()
	d := underlay.Datagram{Addr: to, Data: []byte(text), HopLimit: hopLimit}
	err := ordered(func() error {
		_, err := e.conn.WriteBatch([]underlay.Datagram{d})
		return err
	})
	if err != nil {
		e.t.Fatal(err)
	}
}

// ordered runs f on one and the same processor each time. The kernel takes a
// packet through all the lab's nodes on the processor that sent it, and each
// keeps the order of its packets, but a busy one falls behind the others.
func ordered(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if before.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return err
	}
	return errors.Join(f(), unix.SchedSetaffinity(0, &before))
}

// receive returns the next datagram's text and source.
func (e *endpoint) receive() (string, netip.AddrPort) {
	e.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case d := <-e.got:
		return string(d.Data), d.Addr
	case <-timeout.C:
		e.t.Fatalf("nothing arrived at %v", e.conn.LocalAddr())
		panic("unreachable")
	}
}

// tell sends a datagram to an endpoint that must get it next, and returns the
// source that it sees.
func (e *endpoint) tell(to *endpoint, addr netip.AddrPort) netip.AddrPort {
	e.t.Helper()
	e.send(addr, "tell", 0)
	text, from := to.receive()
	if text != "tell" {
		e.t.Fatalf("got %q from %v", text, from)
	}
	return from
}

// hears reports whether e gets what others sent to it just now: it waits for
// datagrams that take no shorter way and were sent later, three times there and
// back with a peer that it can talk to.
func (e *endpoint) hears(peer *endpoint, peerAddr, seen netip.AddrPort) (heard []string) {
	e.t.Helper()
	for range 3 {
		peer.send(seen, "marker", 0)
		for {
			text, _ := e.receive()
			if text == "marker" {
				break
			}
			heard = append(heard, text)
		}
		e.tell(peer, peerAddr)
	}
	return heard
}

func at(addr string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), port)
}

package pnclient_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/pnclient"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/pn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newDevice returns a device of its own, the same for the same number.
func newDevice(t testing.TB, n byte) *identity.LocalDevice {
	t.Helper()
	secret := identity.SecretFromSeed([32]byte{n, 1})
	d, err := identity.NewDevice(secret, identity.DeviceDesc{UniqueID: [16]byte{n}}, identity.DeviceBody{Updated: 1000, Name: fmt.Sprint("device ", n)})
	if err != nil {
		t.Fatal(err)
	}
	return &identity.LocalDevice{Secret: secret, Device: d}
}

var pnAddr = netip.MustParseAddrPort("203.0.113.1:8444")

// A world is a simulated internet with a PN.
type world struct {
	t      testing.TB
	net    *netsim.Network
	core   *netsim.Router
	pnHost *netsim.Host
	pnLink *netsim.Link
	pn     *pn.Server
	config pn.Config
}

// inWorld runs a test in virtual time, with a PN at no distance from the core.
func inWorld(t *testing.T, change func(*pn.Config), f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: netsim.New(netsim.Config{Seed: 1})}
		t.Cleanup(func() { w.net.Close() })
		w.core = w.net.Router("core")
		w.pnHost = w.net.Host("pn")
		w.pnLink = netsim.Must(w.net.Connect(w.pnHost, w.core, netsim.LinkConfig{}, pnAddr.Addr().String()))
		w.config = pn.Config{
			Network:   w.pnHost,
			Local:     newDevice(t, 200),
			Listen:    []netip.AddrPort{pnAddr},
			Admission: pn.Admission{Open: true},
		}
		if change != nil {
			change(&w.config)
		}
		w.startPN()
		t.Cleanup(func() { w.pn.Close() })
		f(t, w)
	})
}

func (w *world) startPN() {
	w.t.Helper()
	s, err := pn.Open(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.pn = s
}

// A node is a device on a host of the world, with one client.
type node struct {
	t      testing.TB
	host   *netsim.Host
	link   *netsim.Link
	local  *noise.Local
	sock   *socket.Socket
	table  *noise.Table[*node]
	client *pnclient.Client

	mu     sync.Mutex
	states []pnclient.State
}

// delay is from each node to the core, one way: R is 20 ms, and Q, from end to end and back, 40.
const delay = 10 * time.Millisecond

// newNode adds a device; its client is started.
func (w *world) newNode(n byte, addr string) *node {
	w.t.Helper()
	host := w.net.Host(fmt.Sprint("host ", n))
	link := netsim.Must(w.net.Connect(host, w.core, netsim.LinkConfig{Delay: delay}, addr))
	return w.newNodeOn(host, link, newDevice(w.t, n))
}

// newNodeOn is newNode for a host and device that are there.
func (w *world) newNodeOn(host *netsim.Host, link *netsim.Link, d *identity.LocalDevice) *node {
	w.t.Helper()
	x := &node{t: w.t, host: host, link: link, local: noise.NewLocal(d), table: noise.NewTable[*node](1 << 12)}
	x.open(0)
	w.t.Cleanup(func() { x.sock.Close() })
	x.client = pnclient.New(pnclient.Config{
		Local:   x.local,
		Ref:     w.pn.Ref(),
		Network: host,
		Send:    func(to netip.AddrPort, b []byte) error { return x.socket().Send(to, b) },
		SendRun: func(to netip.AddrPort, b []byte, size int, ecn uint8) error {
			return x.socket().SendRun(to, b, size, ecn)
		},
		SetRelay:    func(from netip.AddrPort, s socket.Sink) { x.socket().SetRelay(from, s) },
		DeleteRelay: func(from netip.AddrPort, s socket.Sink) { x.socket().DeleteRelay(from, s) },
		Indices:     x.table.For(x),
		Stamper:     noise.NewStamper(0, nil),
		HandleState: func(_ *pnclient.Client, s pnclient.State) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.states = append(x.states, s)
		},
	})
	x.client.Start(context.Background())
	w.t.Cleanup(func() { x.client.Close() })
	return x
}

func (x *node) open(port uint16) {
	x.t.Helper()
	sock, err := socket.Open(socket.Config{
		Network: x.host,
		Local:   netip.AddrPortFrom(x.host.Addrs()[0], port),
		Handler: x,
	})
	if err != nil {
		x.t.Fatal(err)
	}
	x.mu.Lock()
	x.sock = sock
	x.mu.Unlock()
}

func (x *node) socket() *socket.Socket {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.sock
}

// online waits until the node's client is online.
func (x *node) online() *node {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := x.client.WaitOnline(ctx); err != nil {
		x.t.Fatalf("%s: wait online: %v", x.host.Name(), err)
	}
	return x
}

func (x *node) id() identity.ID { return x.local.ID() }

// stateLog returns the states that were told of.
func (x *node) stateLog() []pnclient.State {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.states)
}

func (x *node) HandleControl(_ *socket.Socket, b []byte, from netip.AddrPort) {
	t, err := wire.ControlType(b)
	if err != nil {
		return
	}
	at := 0
	switch t {
	case wire.TypeResponse:
		at = 8
	case wire.TypeCookieReply, wire.TypeSealed:
		at = 4
	}
	if at > 0 {
		if _, ok := x.table.Get(binary.BigEndian.Uint32(b[at:])); !ok {
			return
		}
	}
	x.client.HandleControl(b, from)
}

func (x *node) HandleSTUN(*socket.Socket, []byte, netip.AddrPort) {}

// A mailbox keeps the packets that are delivered to it.
type mailbox struct {
	mu      sync.Mutex
	packets []string
}

func (m *mailbox) Deliver(b []byte, size int, _ uint8) {
	if size <= 0 {
		size = len(b)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(b) > 0 {
		n := min(size, len(b))
		m.packets = append(m.packets, string(b[:n]))
		b = b[n:]
	}
}

// take returns what has come since the last take.
func (m *mailbox) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.packets
	m.packets = nil
	return p
}

// A leg is one end of a binding.
type leg struct {
	*pnclient.Binding
	mailbox
}

// bind begins to bind with another node.
func (x *node) bind(tag wire.Tag, peer identity.ID, pays bool) *leg {
	x.t.Helper()
	l := new(leg)
	b, err := x.client.Bind(pnclient.BindOptions{Tag: tag, Peer: peer, Pays: pays, Sink: l})
	if err != nil {
		x.t.Fatal(err)
	}
	l.Binding = b
	return l
}

// met returns both ends of a binding of two nodes, ready; the first pays.
func met(t testing.TB, a, b *node) (la, lb *leg) {
	t.Helper()
	tag := pnclient.NewTag()
	la, lb = a.bind(tag, b.id(), true), b.bind(tag, a.id(), false)
	isReady(t, la)
	isReady(t, lb)
	return la, lb
}

// isReady waits until a binding is ready.
func isReady(t testing.TB, l *leg) {
	t.Helper()
	select {
	case <-l.Ready():
	case <-l.Done():
		t.Fatalf("binding is over: %v", l.Err())
	case <-time.After(time.Minute):
		t.Fatal("binding does not get ready")
	}
}

// isOver waits until a binding is over and returns why.
func isOver(t testing.TB, l *leg) error {
	t.Helper()
	select {
	case <-l.Done():
		return l.Err()
	case <-time.After(time.Hour):
		t.Fatal("binding does not end")
		return nil
	}
}

// say sends one packet, and after it has had its time returns what has come at the other
// end.
func say(t testing.TB, from, to *leg, packet string) []string {
	t.Helper()
	if err := from.SendRun([]byte(packet), 0, 0); err != nil {
		t.Fatalf("send: %v", err)
	}
	time.Sleep(3 * delay)
	return to.take()
}

// hears fails unless a packet from one end arrives at the other, alone.
func hears(t testing.TB, from, to *leg) {
	t.Helper()
	if got := say(t, from, to, "hello"); !slices.Equal(got, []string{"hello"}) {
		t.Fatalf("got %q", got)
	}
}

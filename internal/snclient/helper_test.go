package snclient_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/sn"
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

const (
	snAddr = "203.0.113.1"
	snPort = 8443
)

// A world is a simulated internet with an SN.
type world struct {
	t      testing.TB
	net    *netsim.Network
	core   *netsim.Router
	snHost *netsim.Host
	snLink *netsim.Link
	snID   *identity.LocalDevice
	sn     *sn.Server
	config sn.Config
}

// newWorld makes the internet, and starts an SN at no distance from its core.
func newWorld(t testing.TB, limits sn.Limits) *world {
	t.Helper()
	w := &world{t: t, net: netsim.New(netsim.Config{Seed: 1}), snID: newDevice(t, 200)}
	t.Cleanup(func() { w.net.Close() })
	w.core = w.net.Router("core")
	w.snHost = w.net.Host("sn")
	w.snLink = netsim.Must(w.net.Connect(w.snHost, w.core, netsim.LinkConfig{}, snAddr))
	w.config = sn.Config{
		Network: w.snHost,
		Local:   w.snID,
		Listen:  []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(snAddr), snPort)},
		Limits:  limits,
	}
	w.startSN()
	t.Cleanup(func() { w.sn.Close() })
	return w
}

func (w *world) startSN() {
	w.t.Helper()
	s, err := sn.Open(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.sn = s
}

// A node is a device on a host of the world, with one client.
type node struct {
	t      testing.TB
	host   *netsim.Host
	link   *netsim.Link
	local  *noise.Local
	secret *identity.Secret
	sock   *socket.Socket
	table  *noise.Table[*node]
	client *snclient.Client
	config snclient.Config

	mu        sync.Mutex
	called    []calledAt
	signalled []signalled
	states    []snclient.State
	onCalled  func(c *snclient.Client, m wire.Called)
}

type calledAt struct {
	at time.Time
	m  wire.Called
}

type signalled struct {
	from   identity.ID
	packet string
}

// newNode adds a device at a one-way delay from the core. The client is not
// started yet, so that its configuration can be changed.
func (w *world) newNode(n byte, addr string, delay time.Duration) *node {
	w.t.Helper()
	host := w.net.Host(fmt.Sprint("host ", n))
	link := netsim.Must(w.net.Connect(host, w.core, netsim.LinkConfig{Delay: delay}, addr))
	return w.newNodeOn(host, link, newDevice(w.t, n))
}

// newNodeOn is newNode for a host and device that are there.
func (w *world) newNodeOn(host *netsim.Host, link *netsim.Link, d *identity.LocalDevice) *node {
	w.t.Helper()
	x := &node{
		t:      w.t,
		host:   host,
		link:   link,
		local:  noise.NewLocal(d),
		secret: d.Secret,
		table:  noise.NewTable[*node](16),
	}
	x.open(0)
	w.t.Cleanup(func() { x.sock.Close() })
	x.config = snclient.Config{
		Local:    x.local,
		Ref:      w.sn.Ref(),
		Network:  host,
		Send:     func(to netip.AddrPort, b []byte) error { return x.sock.Send(to, b) },
		Stamper:  noise.NewStamper(0, nil),
		Instance: rand.Uint64(),
		Handler:  x,
	}
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
	x.sock = sock
}

// start starts the client and waits until it is online.
func (x *node) start() *node {
	x.t.Helper()
	x.begin()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := x.client.WaitOnline(ctx); err != nil {
		x.t.Fatalf("%s: wait online: %v", x.host.Name(), err)
	}
	return x
}

// begin starts the client.
func (x *node) begin() {
	x.config.Indices = x.table.For(x)
	x.client = snclient.New(x.config)
	x.client.Start(context.Background())
	x.t.Cleanup(func() { x.client.Close() })
}

func (x *node) id() identity.ID { return x.local.ID() }

func (x *node) addr() netip.AddrPort { return x.sock.LocalAddr() }

// HandleControl is the demultiplexer of a stack with one client: packets with a
// receiver index go to its owner, all else to every client.
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

func (x *node) HandleCalled(c *snclient.Client, m wire.Called) {
	m.Initiation = slices.Clone(m.Initiation)
	m.Device = slices.Clone(m.Device)
	x.mu.Lock()
	x.called = append(x.called, calledAt{time.Now(), m})
	f := x.onCalled
	x.mu.Unlock()
	if f != nil {
		f(c, m)
	}
}

func (x *node) HandleSignalled(_ *snclient.Client, from identity.ID, packet []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.signalled = append(x.signalled, signalled{from, string(packet)})
}

func (x *node) HandleState(_ *snclient.Client, s snclient.State) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.states = append(x.states, s)
}

func (x *node) calls() []calledAt {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.called)
}

func (x *node) signals() []signalled {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.signalled)
}

func (x *node) stateLog() []snclient.State {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.states)
}

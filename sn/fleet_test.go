package sn

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

var fleetListen = netip.MustParseAddrPort("203.0.113.1:8443")

// A fleet is a simulated internet with a server and many devices, each with a
// client and nothing above it.
type fleet struct {
	t      testing.TB
	net    *netsim.Network
	core   *netsim.Router
	host   *netsim.Host
	link   *netsim.Link // of the server
	config Config
	wires  *wires
	server *Server
	ships  []*ship
	called atomic.Int32 // devices that a call has reached

	newcomers int // devices that are not among the ships
}

// wires is a host's network of which all sockets can be cut at once, as they are
// when a process is killed.
type wires struct {
	underlay.Network
	mu    sync.Mutex
	conns []underlay.UDPConn
}

func (w *wires) ListenUDP(a netip.AddrPort) (underlay.UDPConn, error) {
	c, err := w.Network.ListenUDP(a)
	if err == nil {
		w.mu.Lock()
		w.conns = append(w.conns, c)
		w.mu.Unlock()
	}
	return c, err
}

func (w *wires) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
}

// A ship is a device of a fleet.
type ship struct {
	fleet  *fleet
	local  *noise.Local
	table  *noise.Table[*ship]
	sock   *socket.Socket
	link   *netsim.Link
	client *snclient.Client
	online atomic.Int64 // when it last came online, Unix nanoseconds
	called atomic.Bool
	lapses atomic.Int32 // changes of state
	// Packets.
	sent, received atomic.Int64
}

// newFleet starts a server and n devices, which come online within 30 s of virtual
// time.
func newFleet(t testing.TB, n int, state bool) *fleet {
	t.Helper()
	var c Config
	if state {
		c.State = filepath.Join(t.TempDir(), "state")
	}
	return newFleetOf(t, n, c)
}

// newFleetOf is newFleet with a configuration, of which the network is filled in.
func newFleetOf(t testing.TB, n int, c Config) *fleet {
	t.Helper()
	f := &fleet{t: t, net: netsim.New(netsim.Config{Seed: 1})}
	t.Cleanup(func() { f.net.Close() })
	f.core, f.host = f.net.Router("core"), f.net.Host("sn")
	f.link = netsim.Must(f.net.Connect(f.host, f.core, netsim.LinkConfig{Delay: 5 * time.Millisecond}, fleetListen.Addr().String()))
	f.config = c
	f.config.Local, f.config.Listen = newLocal(t, 1<<30, identity.ID{}), []netip.AddrPort{fleetListen}
	f.start()
	t.Cleanup(func() { f.server.Close() })
	for i := range n {
		f.ships = append(f.ships, f.launch(i))
	}
	f.await(30 * time.Second)
	return f
}

// start starts the server, on the state that is there.
func (f *fleet) start() {
	f.t.Helper()
	f.wires = &wires{Network: f.host}
	f.config.Network = f.wires
	s, err := Open(f.config)
	if err != nil {
		f.t.Fatal(err)
	}
	f.server = s
}

// stop stops the server as SIGTERM does.
func (f *fleet) stop() {
	f.t.Helper()
	if err := f.server.Close(); err != nil {
		f.t.Fatal(err)
	}
}

// kill takes the server off the network and leaves it alone, and goes on with the
// file as it is at this moment.
func (f *fleet) kill() {
	f.t.Helper()
	f.wires.cut()
	old := f.server
	f.t.Cleanup(func() { old.Close() })
	if f.config.State == "" {
		return
	}
	b, err := os.ReadFile(f.config.State)
	if err != nil {
		f.t.Fatal(err)
	}
	f.config.State = filepath.Join(f.t.TempDir(), "state")
	if err := os.WriteFile(f.config.State, b, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) launch(i int) *ship {
	f.t.Helper()
	d := newLocal(f.t, i, identity.ID{})
	host := f.net.Host(fmt.Sprint("device ", i))
	addr := netip.AddrFrom4([4]byte{198, 18, byte(i >> 7), byte(2 * i)})
	x := &ship{fleet: f, local: noise.NewLocal(d), table: noise.NewTable[*ship](256)}
	x.link = netsim.Must(f.net.Connect(host, f.core, netsim.LinkConfig{Delay: 10 * time.Millisecond}, addr.String()))
	var err error
	if x.sock, err = socket.Open(socket.Config{Network: host, Local: netip.AddrPortFrom(addr, 4000), Handler: x}); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { x.sock.Close() })
	x.client = snclient.New(snclient.Config{
		Local:   x.local,
		Ref:     f.server.Ref(),
		Network: host,
		Send: func(to netip.AddrPort, b []byte) error {
			x.sent.Add(1)
			return x.sock.Send(to, b)
		},
		Indices:  x.table.For(x),
		Stamper:  noise.NewStamper(0, nil),
		Instance: uint64(i) + 1,
		Handler:  x,
	})
	x.client.Start(context.Background())
	f.t.Cleanup(func() { x.client.Close() })
	return x
}

// await waits until all devices are online, and fails if that takes longer.
func (f *fleet) await(limit time.Duration) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for i, x := range f.ships {
		if err := x.client.WaitOnline(ctx); err != nil {
			f.t.Fatalf("device %d is not online after %v: %v; %+v", i, limit, err, f.server.Stats())
		}
	}
}

// callAll has newcomers call all devices, and returns how long it took from their
// start until all were called and all callers answered.
func (f *fleet) callAll(limit time.Duration) time.Duration {
	f.t.Helper()
	began := time.Now()
	f.called.Store(0)
	for _, x := range f.ships {
		x.called.Store(false)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var wg sync.WaitGroup
	var failed atomic.Int32
	const each = 40 // calls of a newcomer: less than its burst
	for from := 0; from < len(f.ships); from += each {
		f.newcomers++
		x := f.launch(1<<14 + f.newcomers)
		wg.Go(func() {
			err := x.client.WaitOnline(ctx)
			for _, to := range f.ships[from:min(from+each, len(f.ships))] {
				if err == nil {
					_, err = x.client.Call(ctx, to.local.ID(), snclient.CallOptions{})
				}
			}
			if err != nil && failed.Add(1) == 1 {
				f.t.Errorf("newcomer %d: %v", from/each, err)
			}
		})
	}
	wg.Wait()
	for f.called.Load() < int32(len(f.ships)) {
		if ctx.Err() != nil {
			f.t.Fatalf("%d of %d devices were called in %v", f.called.Load(), len(f.ships), limit)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

func (x *ship) HandleControl(_ *socket.Socket, b []byte, from netip.AddrPort) {
	x.received.Add(1)
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

func (x *ship) HandleSTUN(*socket.Socket, []byte, netip.AddrPort) {}

func (x *ship) HandleCalled(*snclient.Client, wire.Called) {
	if x.called.CompareAndSwap(false, true) {
		x.fleet.called.Add(1)
	}
}

func (x *ship) HandleSignalled(*snclient.Client, identity.ID, []byte) {}

func (x *ship) HandleState(_ *snclient.Client, s snclient.State) {
	x.lapses.Add(1)
	if s == snclient.Online {
		x.online.Store(time.Now().UnixNano())
	}
}

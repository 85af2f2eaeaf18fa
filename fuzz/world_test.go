package fuzz

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

var (
	targetAt = netip.MustParseAddrPort("203.0.113.1:7000")
	friendAt = netip.MustParseAddrPort("203.0.113.2:7000")
	rogueAt  = netip.MustParseAddrPort("203.0.113.66:7000")
	serverAt = netip.MustParseAddrPort("203.0.113.99:8443")
	victimAt = netip.MustParseAddrPort("198.51.100.7:53")
)

// A world is a stack under attack, an honest friend that has a session with it, and
// two who keep to no rule: a device and a super node, which the target uses.
type world struct {
	t      *testing.T
	net    *netsim.Network
	target *bdt.Stack
	friend *bdt.Stack
	stream *bdt.Conn // from the friend to the target
	rogue  *villain
	server *villain

	mu       sync.Mutex
	captured [][]byte // the last packets to and from the target
	toVictim int
}

// maxCaptured bounds the packets that can be replayed.
const maxCaptured = 64

func newWorld(t *testing.T) *world {
	w := &world{t: t, net: netsim.New(netsim.Config{Seed: 1})}
	core := w.net.Router("core")
	host := func(name string, at netip.AddrPort) (*netsim.Host, *netsim.Link) {
		h := w.net.Host(name)
		return h, netsim.Must(w.net.Connect(h, core, netsim.LinkConfig{Delay: time.Millisecond}, at.Addr().String()))
	}
	targetHost, link := host("target", targetAt)
	friendHost, _ := host("friend", friendAt)
	host("victim", victimAt)
	w.rogue, w.server = w.villain(host("rogue", rogueAt)), w.villain(host("server", serverAt))
	w.rogue.local, w.server.local = locals[0], locals[1]
	link.SetTamper(w.tap)
	ref := identity.Ref{ID: w.server.local.ID(), Addr: serverAt.String()}
	open := func(h *netsim.Host, d *identity.LocalDevice, at netip.AddrPort, sns ...identity.Ref) *bdt.Stack {
		s, err := bdt.Open(bdt.Config{
			Network: h, Device: d, SNs: sns, MaxPeers: 4, DialTimeout: 5 * time.Second, Logger: logger(h.Name()),
			Listen: []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())},
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	w.server.serves = true
	w.target, w.friend = open(targetHost, devices[2], targetAt, ref), open(friendHost, devices[3], friendAt)
	w.target.ServeEcho()
	w.friend.ServeEcho()
	if err := w.friend.Learn(identity.Ticket{ID: w.target.ID(), Device: w.target.Device(), Endpoints: []netip.AddrPort{targetAt}}); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.stream, err = w.friend.Dial(context.Background(), w.target.ID(), bdt.EchoService); err != nil {
		t.Fatal(err)
	}
	w.echo()
	return w
}

func (w *world) close() {
	w.stream.Close()
	w.target.Close()
	w.friend.Close()
	w.rogue.conn.Close()
	w.server.conn.Close()
	w.net.Close()
}

// Keys are made once: signing is not what is fuzzed.
var (
	devices [4]*identity.LocalDevice
	locals  [4]*noise.Local
)

func TestMain(m *testing.M) {
	for i := range devices {
		secret := identity.GenerateSecret()
		d, err := identity.NewDevice(secret, identity.DeviceDesc{}, identity.DeviceBody{Updated: 1})
		if err != nil {
			panic(err)
		}
		devices[i] = &identity.LocalDevice{Secret: secret, Device: d}
		locals[i] = noise.NewLocal(devices[i])
	}
	os.Exit(m.Run())
}

// logger logs to stderr if BDT_TEST_LOG is the name.
func logger(name string) *slog.Logger {
	if os.Getenv("BDT_TEST_LOG") != name {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// echo checks that the honest session works.
func (w *world) echo() {
	w.t.Helper()
	w.stream.SetDeadline(time.Now().Add(10 * time.Second))
	var b [1]byte
	if _, err := w.stream.Write([]byte("x")); err != nil {
		w.t.Fatalf("the honest session: %v", err)
	}
	if _, err := io.ReadFull(w.stream, b[:]); err != nil || b[0] != 'x' {
		w.t.Fatalf("the honest session: %q, %v", b, err)
	}
}

// tap keeps what passes the target's link, and counts what goes to the victim.
func (w *world) tap(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
	w.mu.Lock()
	if p.Dst == victimAt {
		w.toVictim += len(p.Data)
	}
	if len(w.captured) == maxCaptured {
		w.captured = w.captured[1:]
	}
	w.captured = append(w.captured, slices.Clone(p.Data))
	w.mu.Unlock()
	emit(p, 0)
}

// A villain has keys and a socket, and can claim any source.
type villain struct {
	w      *world
	conn   underlay.UDPConn
	local  *noise.Local
	serves bool // does what an SN does, so that the target comes online

	mu        sync.Mutex
	sources   []netip.AddrPort
	initiator *noise.Initiator
	assoc     *noise.Association // with the target
	index     uint32
	stamp     uint64
	asked     uint32 // the request of the last Call
}

func (w *world) villain(h *netsim.Host, l *netsim.Link) *villain {
	port := rogueAt.Port()
	if h.Name() == "server" {
		port = serverAt.Port()
	}
	v := &villain{w: w, conn: netsim.Must(h.ListenUDP(netip.AddrPortFrom(netip.IPv4Unspecified(), port)))}
	l.SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
		v.mu.Lock()
		if p.Src == netip.AddrPortFrom(h.Addrs()[0], port) {
			if v.sources[0].IsValid() {
				p.Src = v.sources[0]
			}
			v.sources = v.sources[1:]
		}
		v.mu.Unlock()
		emit(p, 0)
	})
	go v.read()
	return v
}

// send sends the target a packet from a source; zero: the true one.
func (v *villain) send(from netip.AddrPort, b []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sources = append(v.sources, from)
	if _, err := v.conn.WriteBatch([]underlay.Datagram{{Data: b, Addr: targetAt}}); err != nil {
		v.sources = v.sources[:len(v.sources)-1] // too long, say
	}
}

// seal sends the target a message, if there are keys.
func (v *villain) seal(from netip.AddrPort, msg []byte) {
	if len(msg) > wire.MaxPacket-wire.SealedOverhead {
		msg = msg[:wire.MaxPacket-wire.SealedOverhead]
	}
	v.mu.Lock()
	a := v.assoc
	v.mu.Unlock()
	if a == nil {
		return
	}
	if b, err := a.Seal(nil, msg, time.Now()); err == nil {
		v.send(from, b)
	}
}

// initiate sends the target an initiation.
func (v *villain) initiate(from netip.AddrPort) {
	v.mu.Lock()
	v.index++
	v.stamp = max(uint64(time.Now().UnixMicro()), v.stamp+1)
	i, err := v.local.Initiate(v.w.target.Device(), noise.Offer{
		Index: v.index, Stamp: v.stamp, Dialling: true, Engines: []wire.Engine{wire.EngineQUIC},
	})
	v.initiator = i
	v.mu.Unlock()
	if err != nil {
		v.w.t.Error(err)
		return
	}
	v.send(from, i.Packet())
}

// read takes what comes from the target until the socket is closed.
func (v *villain) read() {
	ds := []underlay.Datagram{{}}
	buf := make([]byte, 2048)
	for {
		ds[0] = underlay.Datagram{Data: buf}
		if _, err := v.conn.ReadBatch(ds); err != nil {
			return
		}
		v.receive(ds[0].Data)
	}
}

func (v *villain) receive(b []byte) {
	t, err := wire.ControlType(b)
	if err != nil {
		return
	}
	v.mu.Lock()
	i, serves := v.initiator, v.serves
	v.mu.Unlock()
	switch {
	case t == wire.TypeResponse && i != nil:
		if answer, err := i.ReadResponse(b); err == nil && answer.Association != nil {
			v.setKeys(answer.Association)
		}
	case t == wire.TypeDescribe && serves:
		if m, err := wire.ParseDescribe(b); err == nil && m.ID == v.local.ID() {
			v.send(netip.AddrPort{}, (&wire.Described{Nonce: m.Nonce, Device: v.local.Device().Bytes()}).Append(nil))
		}
	case t == wire.TypeInitiation && serves:
		v.accept(b)
	case t == wire.TypeSealed && serves:
		v.serve(b)
	}
}

func (v *villain) setKeys(a *noise.Association) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.assoc = a
}

// accept answers an initiation as an SN does.
func (v *villain) accept(b []byte) {
	in, err := v.local.ReadInitiation(b)
	if err != nil {
		return
	}
	v.mu.Lock()
	v.index++
	index := v.index
	v.mu.Unlock()
	res, a, err := in.Accept(noise.Accept{Index: index, Stamp: uint64(time.Now().UnixMicro())})
	if err == nil {
		v.setKeys(a)
		v.send(netip.AddrPort{}, res)
	}
}

// serve answers what keeps the target online.
func (v *villain) serve(b []byte) {
	v.mu.Lock()
	a := v.assoc
	v.mu.Unlock()
	if a == nil {
		return
	}
	msg, err := a.Open(nil, b, time.Now())
	if err != nil || len(msg) == 0 {
		return
	}
	switch wire.MessageType(msg[0]) {
	case wire.MsgRegister:
		if m, err := wire.ParseRegister(msg); err == nil {
			v.seal(netip.AddrPort{}, (&wire.Registered{Request: m.Request, Observed: targetAt, Interval: 25 * time.Second}).Append(nil))
		}
	case wire.MsgCall:
		if m, err := wire.ParseCall(msg); err == nil {
			v.mu.Lock()
			v.asked = m.Request
			v.mu.Unlock()
		}
	case wire.MsgPing:
		if m, err := wire.ParsePing(msg); err == nil {
			v.seal(netip.AddrPort{}, (&wire.Pong{Request: m.Request, Observed: targetAt}).Append(nil))
		}
	}
}

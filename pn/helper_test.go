package pn

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/underlay"
)

// newLocal returns a device of its own, the same for the same number.
func newLocal(t testing.TB, n int) *identity.LocalDevice {
	t.Helper()
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], uint64(n))
	secret := identity.SecretFromSeed(seed)
	d, err := identity.NewDevice(secret, identity.DeviceDesc{UniqueID: [16]byte{1}}, identity.DeviceBody{Updated: 1000, Name: "a device"})
	if err != nil {
		t.Fatal(err)
	}
	return &identity.LocalDevice{Secret: secret, Device: d}
}

// A fakeConn is a socket of which a test delivers what is read, and sees what is
// written.
type fakeConn struct {
	closed chan struct{}
	once   sync.Once
	keep   bool // what is written

	mu    sync.Mutex
	sent  map[netip.AddrPort][][]byte
	runs  int
	bytes map[netip.AddrPort]int
	err   func(to netip.AddrPort) error
}

func newFakeConn() *fakeConn {
	return &fakeConn{closed: make(chan struct{}), keep: true, sent: map[netip.AddrPort][][]byte{}, bytes: map[netip.AddrPort]int{}}
}

func (c *fakeConn) LocalAddr() netip.AddrPort   { return netip.MustParseAddrPort("203.0.113.1:8444") }
func (c *fakeConn) Features() underlay.Features { return underlay.Features{GSO: true, GRO: true} }
func (c *fakeConn) Close() error                { c.once.Do(func() { close(c.closed) }); return nil }
func (c *fakeConn) ReadBatch([]underlay.Datagram) (int, error) {
	<-c.closed
	return 0, net.ErrClosed
}

func (c *fakeConn) WriteBatch(ds []underlay.Datagram) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range ds {
		if c.err != nil {
			if err := c.err(ds[i].Addr); err != nil {
				return i, err
			}
		}
		c.runs++
		if ds[i].Data[0] == byte(wire.TypeRelayed) {
			c.bytes[ds[i].Addr] += len(ds[i].Data)
		}
		if c.keep {
			c.sent[ds[i].Addr] = append(c.sent[ds[i].Addr], append([]byte(nil), ds[i].Data...))
		}
	}
	return len(ds), nil
}

// take returns and forgets what was sent to an address.
func (c *fakeConn) take(to netip.AddrPort) [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.sent[to]
	delete(c.sent, to)
	return p
}

// A rig is a server without a network.
type rig struct {
	t    testing.TB
	s    *Server
	conn *fakeConn
	w    *worker
	self *identity.LocalDevice
	wait func() // until the server has nothing to do
}

// newRig starts a server, with one goroutine for cryptography.
func newRig(t testing.TB, l Limits) *rig {
	t.Helper()
	l.Workers = 1
	r := &rig{t: t, conn: newFakeConn(), self: newLocal(t, 1<<30)}
	cfg, err := Config{Local: r.self, Limits: l, Admission: Admission{Open: true}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if r.s, err = newServer(cfg); err != nil {
		t.Fatal(err)
	}
	r.s.listeners = []*listener{{addr: r.conn.LocalAddr(), conns: []underlay.UDPConn{r.conn}}}
	r.s.startWorkers()
	if r.s.shaper != nil {
		r.s.running.Go(r.s.shaper.run)
	}
	// The worker that runs waits for ever: the test is another, and calls it.
	l0 := r.s.listeners[0]
	r.w = &worker{s: r.s, l: l0, conn: r.conn, out: make([]outbox, 1)}
	r.w.out[0].conn = r.conn
	l0.workers = append(l0.workers, r.w)
	t.Cleanup(func() { r.s.Close() })
	r.wait = func() {
		done := make(chan struct{})
		r.s.jobs <- func() { close(done) }
		<-done
	}
	return r
}

// inBubble runs a test of a rig in virtual time.
func inBubble(t *testing.T, l Limits, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newRig(t, l)) })
}

// deliver has a packet arrive from an address, and waits until it is dealt with.
func (r *rig) deliver(from netip.AddrPort, b []byte) {
	r.deliverRun(from, b, 0)
	r.wait()
}

// deliverRun has a run arrive.
func (r *rig) deliverRun(from netip.AddrPort, b []byte, size int) {
	r.w.handle([]underlay.Datagram{{Data: b, Addr: from, SegmentSize: size}})
}

// A dev is a device that speaks with the server of a rig, without any of pnclient's rules.
type dev struct {
	r       *rig
	local   *noise.Local
	addr    netip.AddrPort
	stamper *noise.Stamper
	assoc   *noise.Association
	request uint32
}

// addrOf returns an address of its own for each number below 2^22.
func addrOf(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18 + byte(n>>16&1), byte(n >> 8), byte(n)}), 4000+uint16(n>>17))
}

func (r *rig) dev(n int) *dev {
	return &dev{r: r, local: noise.NewLocal(newLocal(r.t, n)), addr: addrOf(n), stamper: noise.NewStamper(0, nil)}
}

func (d *dev) id() identity.ID { return d.local.ID() }

// initiation returns a new initiation.
func (d *dev) initiation() *noise.Initiator {
	d.r.t.Helper()
	i, err := d.local.Initiate(d.r.self.Device, noise.Offer{Index: 1, Stamp: d.stamper.Next(time.Now(), d.r.self.Device.ID())})
	if err != nil {
		d.r.t.Fatal(err)
	}
	return i
}

// shake does a handshake, and pings once.
func (d *dev) shake() *dev {
	d.r.t.Helper()
	i := d.initiation()
	d.r.deliver(d.addr, i.Packet())
	out := d.r.conn.take(d.addr)
	if len(out) != 1 {
		d.r.t.Fatalf("initiation earned %d packets", len(out))
	}
	a, err := i.ReadResponse(out[0])
	if err != nil {
		d.r.t.Fatal(err)
	}
	d.assoc = a.Association
	d.send(&wire.Ping{Request: 1})
	one(d.r.t, wire.ParsePong, d.received())
	return d
}

// seal returns a message in a packet.
func (d *dev) seal(m message) []byte {
	d.r.t.Helper()
	b, err := d.assoc.Seal(nil, m.Append(nil), time.Now())
	if err != nil {
		d.r.t.Fatal(err)
	}
	return b
}

// send has a message arrive from the device's address.
func (d *dev) send(m message) { d.r.deliver(d.addr, d.seal(m)) }

// received opens what was sent to the device's address, which must all be sealed for it.
func (d *dev) received() [][]byte { d.r.t.Helper(); return d.receivedAt(d.addr) }

func (d *dev) receivedAt(addr netip.AddrPort) (messages [][]byte) {
	d.r.t.Helper()
	for _, p := range d.r.conn.take(addr) {
		m, err := d.assoc.Open(nil, p, time.Now())
		if err != nil {
			d.r.t.Fatalf("packet of type %v does not open: %v", wire.Type(p[0]), err)
		}
		messages = append(messages, m)
	}
	return messages
}

// one parses the only message of a list.
func one[M any](t testing.TB, parse func([]byte) (M, error), messages [][]byte) M {
	t.Helper()
	if len(messages) != 1 {
		types := []wire.MessageType{}
		for _, m := range messages {
			types = append(types, wire.MessageType(m[0]))
		}
		t.Fatalf("%d messages, want one: %v", len(messages), types)
	}
	m, err := parse(messages[0])
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// bind binds a tag, and returns the answer.
func (d *dev) bind(tag wire.Tag, peer identity.ID, pays bool) wire.Bound {
	d.r.t.Helper()
	d.request++
	d.send(&wire.Bind{Request: d.request, Tag: tag, Peer: peer, Pays: pays})
	return one(d.r.t, wire.ParseBound, d.received())
}

// tagOf returns a tag of its own for each number.
func tagOf(n int) (t wire.Tag) {
	binary.BigEndian.PutUint64(t[:], uint64(n)+1)
	return t
}

// pair returns two devices that have bound tag n; the first pays.
func (r *rig) pair(n int) (a, b *dev, tag wire.Tag) {
	r.t.Helper()
	a, b, tag = r.dev(2*n).shake(), r.dev(2*n+1).shake(), tagOf(n)
	if m := a.bind(tag, b.id(), true); m.Status != wire.StatusOK || m.Ready {
		r.t.Fatalf("first: %+v", m)
	}
	if m := b.bind(tag, a.id(), false); m.Status != wire.StatusOK || !m.Ready {
		r.t.Fatalf("second: %+v", m)
	}
	if m := one(r.t, wire.ParseBound, a.received()); !m.Ready || m.Request != 0 {
		r.t.Fatalf("told: %+v", m)
	}
	return a, b, tag
}

// relayed returns a packet of n bytes in all.
func relayed(tag wire.Tag, n int) []byte {
	return append(wire.AppendRelayedHeader(nil, tag), make([]byte, n-wire.RelayedHeaderLen)...)
}

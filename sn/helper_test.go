package sn

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/blake2s"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newLocal returns a device of its own, the same for the same number.
func newLocal(t testing.TB, n int, owner identity.ID) *identity.LocalDevice {
	t.Helper()
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], uint64(n))
	secret := identity.SecretFromSeed(seed)
	d, err := identity.NewDevice(secret,
		identity.DeviceDesc{Owner: owner, UniqueID: [16]byte{1}},
		identity.DeviceBody{Updated: 1000, Name: "a device"})
	if err != nil {
		t.Fatal(err)
	}
	return &identity.LocalDevice{Secret: secret, Device: d}
}

// A fakeSocket keeps what is sent on it.
type fakeSocket struct {
	mu   sync.Mutex
	sent map[netip.AddrPort][][]byte
}

func newFakeSocket() *fakeSocket { return &fakeSocket{sent: make(map[netip.AddrPort][][]byte)} }

func (f *fakeSocket) Send(to netip.AddrPort, b []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent[to] = append(f.sent[to], append([]byte(nil), b...))
	return nil
}

// fakeLocal is where all fake sockets are bound.
var fakeLocal = netip.MustParseAddrPort("203.0.113.1:8443")

func (f *fakeSocket) LocalAddr() netip.AddrPort { return fakeLocal }

// take returns and forgets what was sent to an address.
func (f *fakeSocket) take(to netip.AddrPort) [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.sent[to]
	delete(f.sent, to)
	return p
}

// A rig is a server without a network.
type rig struct {
	t      testing.TB
	s      *Server
	sock   *fakeSocket
	self   *identity.LocalDevice
	config Config
	settle func() // waits until the server has nothing to do
}

// newRig starts a server.
func newRig(t testing.TB, l Limits) *rig {
	t.Helper()
	r := &rig{t: t, sock: newFakeSocket(), self: newLocal(t, 1<<30, identity.ID{})}
	r.config = Config{Local: r.self, Limits: l}
	r.s = r.newServer()
	s := r.s // a test may put another in its place
	t.Cleanup(func() { s.Close() })
	r.settle = synctest.Wait
	return r
}

func (r *rig) newServer() *Server {
	r.t.Helper()
	cfg, err := r.config.withDefaults()
	if err != nil {
		r.t.Fatal(err)
	}
	return newServer(cfg)
}

// newRealRig starts a server in real time, with one worker.
func newRealRig(t testing.TB, l Limits) *rig {
	t.Helper()
	l.Workers = 1
	r := newRig(t, l)
	r.settle = func() {
		done := make(chan struct{})
		r.s.jobs <- func() { close(done) }
		<-done // the jobs before it are done, too
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
	r.s.handleControl(place{r.sock, from}, b)
	r.settle()
}

// A dev is a device that speaks with the server of a rig, without any of
// snclient's rules.
type dev struct {
	r        *rig
	secret   *identity.Secret
	local    *noise.Local
	addr     netip.AddrPort
	stamper  *noise.Stamper
	assoc    *noise.Association
	instance uint64
	request  uint32
}

// addrOf returns an address of its own for each number below 65,536.
func addrOf(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}), 4000)
}

func (r *rig) dev(n int) *dev { return r.devOf(n, newLocal(r.t, n, identity.ID{})) }

func (r *rig) devOf(n int, l *identity.LocalDevice) *dev {
	return &dev{
		r:        r,
		secret:   l.Secret,
		local:    noise.NewLocal(l),
		addr:     addrOf(n),
		stamper:  noise.NewStamper(0, nil),
		instance: uint64(n) + 1,
	}
}

func (d *dev) id() identity.ID { return d.local.ID() }

// initiation returns a new initiation.
func (d *dev) initiation() *noise.Initiator {
	d.r.t.Helper()
	i, err := d.local.Initiate(d.r.self.Device, noise.Offer{
		Index: binary.BigEndian.Uint32(d.local.Device().Bytes()[40:]) | 1,
		Stamp: d.stamper.Next(time.Now(), d.r.self.Device.ID()),
	})
	if err != nil {
		d.r.t.Fatal(err)
	}
	return i
}

// shake does a handshake.
func (d *dev) shake() *dev {
	d.r.t.Helper()
	i := d.initiation()
	d.r.deliver(d.addr, i.Packet())
	out := d.r.sock.take(d.addr)
	if len(out) != 1 {
		d.r.t.Fatalf("initiation earned %d packets", len(out))
	}
	a, err := i.ReadResponse(out[0])
	if err != nil {
		d.r.t.Fatal(err)
	}
	d.assoc = a.Association
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

// received opens what was sent to an address, which must all be for the device.
func (d *dev) receivedAt(addr netip.AddrPort) (messages [][]byte) {
	d.r.t.Helper()
	for _, p := range d.r.sock.take(addr) {
		m, err := d.assoc.Open(nil, p, time.Now())
		if err != nil {
			d.r.t.Fatalf("packet of type %v does not open: %v", wire.Type(p[0]), err)
		}
		messages = append(messages, m)
	}
	return messages
}

func (d *dev) received() [][]byte { d.r.t.Helper(); return d.receivedAt(d.addr) }

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

// none fails unless there are no messages.
func none(t testing.TB, messages [][]byte) {
	t.Helper()
	if len(messages) != 0 {
		t.Fatalf("%d messages, want none; the first is %v", len(messages), wire.MessageType(messages[0][0]))
	}
}

// next returns a request number.
func (d *dev) next() uint32 { d.request++; return d.request }

// register registers, and returns the answer.
func (d *dev) register(v wire.Visibility, candidates ...wire.Candidate) wire.Registered {
	d.r.t.Helper()
	d.send(&wire.Register{Request: d.next(), Instance: d.instance, Visibility: v, Candidates: candidates})
	m := one(d.r.t, wire.ParseRegistered, d.received())
	if m.Request != d.request {
		d.r.t.Fatalf("answer to request %d, want %d", m.Request, d.request)
	}
	return m
}

// online returns a registered device that everyone may see.
func (r *rig) online(n int) *dev {
	r.t.Helper()
	d := r.dev(n).shake()
	if m := d.register(wire.VisibleEveryone); m.Status != wire.StatusOK {
		r.t.Fatalf("register: %v", m.Status)
	}
	return d
}

// ping pings from the device's address, and returns what came back there.
func (d *dev) ping(rtt time.Duration) [][]byte {
	d.r.t.Helper()
	d.send(&wire.Ping{Request: d.next(), Instance: d.instance, RTT: rtt})
	return d.received()
}

// call calls another device and returns the answer.
func (d *dev) call(m wire.Call) wire.CallReply {
	d.r.t.Helper()
	m.Request = d.next()
	d.send(&m)
	ans := one(d.r.t, wire.ParseCallReply, d.received())
	if ans.Request != m.Request {
		d.r.t.Fatalf("answer to request %d, want %d", ans.Request, m.Request)
	}
	return ans
}

// host returns a host candidate.
func host(addr string) wire.Candidate {
	return wire.Candidate{Kind: wire.CandidateHost, Addr: netip.MustParseAddrPort(addr)}
}

// remac returns an initiation with another sender index and a right mac1
// (docs/spec/handshake.md §2), which does not decrypt.
func remac(initiation []byte, index uint32, responder identity.ID) []byte {
	b := append([]byte(nil), initiation...)
	binary.BigEndian.PutUint32(b[4:], index)
	b[20]++ // and another ephemeral key
	key := blake2s.Sum256(append([]byte("bdt mac1"), responder[:]...))
	h, err := blake2s.New128(key[:])
	if err != nil {
		panic(err) // only for a key longer than 32 bytes
	}
	at := len(b) - wire.MACsLen
	h.Write(b[:at])
	h.Sum(b[:at])
	return b
}

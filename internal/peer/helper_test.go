package peer

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is a peer beside fakes, and the remote device's keys. It is also the
// peer's Host.
type rig struct {
	t       *testing.T
	p       *Peer
	link    *fakeLink
	engine  *fakeEngine
	table   *noise.Table[*Peer]
	local   *noise.Local // of the device under test
	remote  *noise.Local // of the peer
	stamper *noise.Stamper
	secret  *identity.Secret // the remote's
	index   uint32           // the remote's last receiver index

	mu        sync.Mutex
	via       []Signaller
	checks    int
	answered  map[noise.Hash][]byte
	started   []session.Session
	ended     []error
	described []netip.AddrPort
	relays    []*fakeRelay   // that there are yet
	refused   []identity.ID  // the PNs that the last was not to be at
	offered   []identity.Ref // the PNs of the peer that it might have been at

	early      func(early []byte, done func([]byte)) // what AnswerEarly does; nil: nothing
	translated map[netip.AddrPort]netip.AddrPort     // what Translate returns
}

var (
	home  = netip.MustParseAddrPort("203.0.113.1:1000") // the peer under test
	away  = netip.MustParseAddrPort("203.0.113.2:2000") // the remote
	other = netip.MustParseAddrPort("203.0.113.3:3000") // the remote, too
)

// inRig runs a test of a rig in virtual time. lower says whether the device
// under test has the lower id, and so wins glare.
func inRig(t *testing.T, lower bool, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, lower, 15*time.Second)
		defer r.close()
		f(r)
	})
}

func newRig(t *testing.T, lower bool, timeout time.Duration) *rig {
	t.Helper()
	a, secretA := newKeys(t)
	b, secret := newKeys(t)
	if (a.ID().Compare(b.ID()) < 0) != lower {
		a, b, secret = b, a, secretA
	}
	r := &rig{
		t: t, link: newFakeLink(), engine: new(fakeEngine), table: noise.NewTable[*Peer](0),
		local: a, remote: b, secret: secret, stamper: noise.NewStamper(0, nil), answered: map[noise.Hash][]byte{},
	}
	r.p = New(Config{
		ID: b.ID(),
		Exchange: func(p *Peer) *noise.Exchange {
			return noise.NewExchange(noise.ExchangeConfig{
				Local: a, Remote: b.ID(), Indices: r.table.For(p),
				Stamper: noise.NewStamper(0, nil), Marks: noise.NewMarks(0),
			})
		},
		Host: r, Engine: r.engine, Logger: slog.New(slog.DiscardHandler), Timeout: timeout,
	})
	synctest.Wait()
	return r
}

func newDevice(t *testing.T) *noise.Local {
	t.Helper()
	l, _ := newKeys(t)
	return l
}

// newKeys is newDevice with the secret of it.
func newKeys(t *testing.T) (*noise.Local, *identity.Secret) {
	t.Helper()
	secret := identity.GenerateSecret()
	d, err := identity.NewDevice(secret, identity.DeviceDesc{}, identity.DeviceBody{Updated: 1})
	if err != nil {
		t.Fatal(err)
	}
	return noise.NewLocal(&identity.LocalDevice{Secret: secret, Device: d}), secret
}

// close closes the peer and checks that it let go of everything.
func (r *rig) close() {
	r.t.Helper()
	r.p.Close()
	if n := r.table.Len(); n != 0 {
		r.t.Errorf("%d receiver indices in use after Close", n)
	}
	if n := r.link.routeCount(); n != 0 {
		r.t.Errorf("%d routes after Close", n)
	}
	for i, p := range r.engine.all() {
		if !p.isClosed() {
			r.t.Errorf("port %d is open after Close", i)
		}
	}
	if len(r.sessions()) != len(r.causes()) {
		r.t.Errorf("%d sessions started, %d ended", len(r.sessions()), len(r.causes()))
	}
}

// Links implements Host.
func (r *rig) Links() []path.LinkInfo { return []path.LinkInfo{{Link: Link(r.link), Local: home}} }

// Candidates implements Host.
func (r *rig) Candidates() []wire.Candidate { return nil }

// Signallers implements Host.
func (r *rig) Signallers([]identity.Ref) []Signaller {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.via
}

// use has the peer call through super nodes from now on.
func (r *rig) use(via ...Signaller) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.via = via
}

// KeepAlive implements Host.
func (r *rig) KeepAlive() time.Duration { return 25 * time.Second }

// AnswerEarly implements Host.
func (r *rig) AnswerEarly(d *identity.Device, early []byte, done func([]byte)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.early == nil {
		return false
	}
	r.early(early, done)
	return true
}

// Check implements Host.
func (r *rig) Check() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checks++
}

// OpenFresh implements Host. There are no more sockets.
func (r *rig) OpenFresh(context.Context, netip.AddrPort) (*Fresh, error) {
	return nil, errors.New("no more sockets")
}

// OpenRelay implements Host.
func (r *rig) OpenRelay(_ identity.ID, refs []identity.Ref, not []identity.ID) *Relay {
	r.mu.Lock()
	r.offered = append(r.offered, refs...)
	r.mu.Unlock()
	return r.nextRelay(not)
}

// JoinRelay implements Host.
func (r *rig) JoinRelay(identity.ID, wire.Relay, []identity.Ref) *Relay { return r.nextRelay(nil) }

// RememberResponse implements Host.
func (r *rig) RememberResponse(_ *Peer, h noise.Hash, response []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answered[h] = response
}

// Describe implements Host.
func (r *rig) Describe(_ identity.ID, _ Link, addr netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.described = append(r.described, addr)
}

// SessionStarted implements Host.
func (r *rig) SessionStarted(_ *Peer, _ *identity.Device, s session.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = append(r.started, s)
}

// SessionEnded implements Host.
func (r *rig) SessionEnded(_ *Peer, _ session.Session, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, cause)
}

// sessions returns those that started.
func (r *rig) sessions() []session.Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.started)
}

// causes returns why sessions ended.
func (r *rig) causes() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ended)
}

// asked returns the addresses that were asked for the peer's descriptor.
func (r *rig) asked() []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.described)
}

// hints lead to the remote at its address.
func (r *rig) hints() Hints {
	return Hints{Device: r.remote.Device(), Endpoints: []netip.AddrPort{away}}
}

// dial asks for a session in the background.
func (r *rig) dial(h Hints) <-chan error {
	done := make(chan error, 1)
	go func() {
		s, err := r.p.Session(context.Background(), h)
		if err == nil && s == nil {
			err = errors.New("neither a session nor an error")
		}
		done <- err
	}()
	synctest.Wait()
	return done
}

// initiation returns the last initiation that the peer sent, read by the remote.
func (r *rig) initiation() *noise.Incoming {
	r.t.Helper()
	list := r.link.take(wire.TypeInitiation)
	if len(list) == 0 {
		r.t.Fatal("no initiation was sent")
	}
	in, err := r.remote.ReadInitiation(list[len(list)-1].b)
	if err != nil {
		r.t.Fatal(err)
	}
	return in
}

// accept has the remote accept an initiation.
func (r *rig) accept(in *noise.Incoming, a noise.Accept) ([]byte, *noise.Association) {
	r.t.Helper()
	r.index++
	a.Index, a.Engine = r.index, wire.EngineQUIC
	pkt, assoc, err := in.Accept(a)
	if err != nil {
		r.t.Fatal(err)
	}
	return pkt, assoc
}

// control has a control packet arrive.
func (r *rig) control(from netip.AddrPort, b []byte) {
	r.p.HandleControl(r.link, b, from)
	synctest.Wait()
}

// seal has a sealed message arrive.
func (r *rig) seal(a *noise.Association, from netip.AddrPort, msg []byte) {
	r.t.Helper()
	b, err := a.Seal(nil, msg, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	r.control(from, b)
}

// initiate makes an initiation of the remote.
func (r *rig) initiate(o noise.Offer) *noise.Initiator {
	r.t.Helper()
	r.index++
	o.Index, o.Stamp = r.index, r.stamper.Next(time.Now(), r.local.ID())
	if o.Engines == nil {
		o.Engines = engines
	}
	i, err := r.remote.Initiate(r.local.Device(), o)
	if err != nil {
		r.t.Fatal(err)
	}
	return i
}

// incoming has an initiation arrive from an address.
func (r *rig) incoming(i *noise.Initiator, from netip.AddrPort) {
	r.t.Helper()
	in, err := r.local.ReadInitiation(i.Packet())
	if err != nil {
		r.t.Fatal(err)
	}
	r.p.HandleIncoming(in, Origin{Link: r.link, Addr: from})
	synctest.Wait()
}

// response returns what the peer answered to an initiation of the remote.
func (r *rig) response(i *noise.Initiator) *noise.Answer {
	r.t.Helper()
	for _, s := range r.link.take(wire.TypeResponse) {
		if a, err := i.ReadResponse(s.b); err == nil {
			return a
		}
	}
	r.t.Fatal("no response was sent")
	return nil
}

// reply answers the probes that were sent, from where they were sent to. It
// returns how many those were.
func (r *rig) reply(a *noise.Association) (n int) {
	r.t.Helper()
	for _, s := range r.link.take(wire.TypeSealed) {
		msg, err := a.Open(nil, s.b, time.Now())
		if err != nil {
			continue
		}
		if m, err := wire.ParseProbe(msg); err == nil {
			n++
			reply := wire.ProbeReply{Token: m.Token, Observed: home}
			r.seal(a, s.to, reply.Append(nil))
		}
	}
	return n
}

// alive has the remote answer probes for a time.
func (r *rig) alive(a *noise.Association, d time.Duration) {
	r.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		r.reply(a)
	}
}

// connect dials the remote and opens the session. It returns the remote's keys.
func (r *rig) connect() *noise.Association {
	r.t.Helper()
	done := r.dial(r.hints())
	pkt, assoc := r.accept(r.initiation(), noise.Accept{})
	r.control(away, pkt)
	r.reply(assoc)
	r.open(0)
	if err := <-done; err != nil {
		r.t.Fatal(err)
	}
	return assoc
}

// open opens the session of a port.
func (r *rig) open(port int) {
	r.t.Helper()
	ports := r.engine.all()
	if port >= len(ports) {
		r.t.Fatalf("%d ports, none with number %d", len(ports), port)
	}
	ports[port].open <- nil
	synctest.Wait()
}

// lines counts the lines of the record that are text.
func (r *rig) lines(text string) (n int) {
	_, lines := r.p.Explain()
	for _, l := range lines {
		if l.Text == text {
			n++
		}
	}
	return n
}

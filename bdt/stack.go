package bdt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/discovery"
	"github.com/bdtnet/bdt/internal/jitter"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/peer"
	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
)

// A Stack is one device on the network. All methods may be called
// concurrently.
type Stack struct {
	cfg      Config
	log      *slog.Logger
	secret   *identity.Secret
	local    *noise.Local
	engine   session.Engine
	instance uint64 // random: names this process to the SNs
	sockets  []*socket.Socket
	demux    demux
	mapper   mapper
	monitor  monitor
	learner  learner
	relays   relays
	// discovery is nil before start, and always without multicast or with NoLAN.
	discovery  atomic.Pointer[discovery.Service]
	translator translator
	nearby     nearby
	book       book
	fresh      atomic.Int64 // sockets for second punches that are open; at most maxFresh
	resolving  atomic.Int64 // policies that wait for an owner; at most maxResolving
	http       func() *HTTPTransport
	early      chan struct{} // holds an element for each question of a handshake that is being answered

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	workers sync.WaitGroup
	close   sync.Once

	mu        sync.Mutex
	closed    bool
	peers     map[identity.ID]*peer.Peer
	strangers map[identity.ID]*peer.Peer // those of peers that called, and are nobody in particular
	known     map[identity.ID]peer.Hints // from tickets
	sessions  map[session.Session]*streams
	listeners map[string]*Listener
	calls     map[string]*CallService
	datagrams map[string]*DatagramListener
	sns       []*snclient.Client // those of Config, then those that tickets and devices name
}

const (
	// maxKnown bounds the devices that tickets told about.
	maxKnown = 10_000
	// idlePeer is how long a peer with no session and nothing to do is kept: its
	// paths' round trips and the record of what was tried are worth something.
	idlePeer = 5 * time.Minute
	// maxFresh bounds the sockets beside the stack's own.
	maxFresh = 64
	// quietPeer is how long a session must have carried nothing to make room for
	// another peer's.
	quietPeer = 10 * time.Minute
	// sweepEvery is how often idle peers are looked for.
	sweepEvery = time.Minute
)

// Open starts a stack: it opens the sockets and begins to register with the
// SNs, which goes on in the background; see [Stack.WaitOnline].
func Open(cfg Config) (*Stack, error) {
	s, err := newStack(cfg.withDefaults())
	if err != nil {
		return nil, &OpError{Op: "open", Err: err}
	}
	if err := s.start(); err != nil {
		s.Close()
		return nil, &OpError{Op: "open", Err: err}
	}
	return s, nil
}

// newStack makes a stack that has not touched the network.
func newStack(cfg Config) (*Stack, error) {
	if cfg.Visibility > VisibleToNobody {
		return nil, fmt.Errorf("unknown visibility %d", cfg.Visibility)
	}
	if cfg.KeepAlive != 0 && cfg.KeepAlive < leastKeepAlive {
		return nil, fmt.Errorf("KeepAlive is %v: give 0, or %v at least", cfg.KeepAlive, leastKeepAlive)
	}
	for _, b := range cfg.PNTokens {
		if _, err := wire.ParseRelayToken(b); err != nil {
			return nil, fmt.Errorf("PNTokens: %w", err)
		}
	}
	device, err := localDevice(cfg)
	if err != nil {
		return nil, err
	}
	s := &Stack{
		cfg:       cfg,
		log:       cfg.Logger,
		secret:    device.Secret,
		local:     noise.NewLocal(device),
		instance:  jitter.Uint64(),
		peers:     make(map[identity.ID]*peer.Peer),
		strangers: make(map[identity.ID]*peer.Peer),
		known:     make(map[identity.ID]peer.Hints),
		sessions:  make(map[session.Session]*streams),
		listeners: make(map[string]*Listener),
		calls:     make(map[string]*CallService),
		datagrams: make(map[string]*DatagramListener),
		early:     make(chan struct{}, maxEarly),
	}
	if err := s.book.init(s.local, cfg); err != nil {
		return nil, err
	}
	s.engine, err = session.NewQUIC(session.QUICConfig{
		Identity: session.Identity{Signer: device.Secret.Signer()},
		Logger:   cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.demux.init(s)
	s.mapper.init(s)
	s.monitor.init(s)
	s.learner.init(s)
	s.relays.init(s)
	s.translator.stack = s
	s.http = sync.OnceValue(s.newHTTPTransport)
	return s, nil
}

// localDevice returns the identity to use, with a descriptor that says what
// the configuration does.
func localDevice(cfg Config) (*identity.LocalDevice, error) {
	body := identity.DeviceBody{Endpoints: cfg.Endpoints, SNs: cfg.SNs, PNs: cfg.PNs, Versions: []uint16{protocolVersion}}
	now := time.Now()
	if cfg.Device == nil {
		secret := identity.GenerateSecret()
		body.Updated = uint64(max(now.UnixMilli(), 1))
		d, err := identity.NewDevice(secret, identity.DeviceDesc{}, body)
		return &identity.LocalDevice{Secret: secret, Device: d}, err
	}
	old := cfg.Device.Device
	body.Name, body.Updated = old.Name(), old.NextUpdate(now)
	d, err := old.Update(cfg.Device.Secret, body)
	return &identity.LocalDevice{Secret: cfg.Device.Secret, Device: d}, err
}

// protocolVersion is the version of docs/spec that the stack speaks.
const protocolVersion = 1

// start opens the sockets and starts the stack's own goroutines.
func (s *Stack) start() error {
	stamper, err := openStamper(s.cfg.StampFile)
	if err != nil {
		return err
	}
	s.demux.stamper = stamper
	if err := s.openSockets(); err != nil {
		return err
	}
	s.startDiscovery()
	for range handshakeWorkers {
		s.workers.Go(s.demux.work)
	}
	s.workers.Go(s.sweep)
	s.workers.Go(s.mapper.run)
	s.workers.Go(s.keepOwners)
	s.workers.Go(s.monitor.run)
	if s.cfg.KeepAlive == 0 {
		s.workers.Go(s.learner.run)
	}
	s.relays.start()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ref := range s.cfg.SNs {
		s.addSNLocked(ref)
	}
	return nil
}

// openSockets binds every address of the configuration. By default a family
// that the machine does not have is left out, as long as the other is there.
func (s *Stack) openSockets() error {
	byDefault := s.cfg.Listen[0].Addr().IsUnspecified() && s.cfg.Listen[0].Port() == 0
	var errs []error
	for _, addr := range s.cfg.Listen {
		sock, err := socket.Open(socket.Config{
			Network: s.cfg.Network,
			Local:   addr,
			Handler: &s.demux,
			Logger:  s.log,
		})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.sockets = append(s.sockets, sock)
	}
	if len(s.sockets) == 0 || len(errs) > 0 && !byDefault {
		return errors.Join(errs...)
	}
	return nil
}

// Close ends all sessions at once, telling the peers, and waits for the stack's
// goroutines. What is still on its way then is lost: see [Stack.Shutdown].
func (s *Stack) Close() error {
	s.close.Do(func() { s.shutDown((*peer.Peer).Close) })
	return nil
}

// shutDown closes the stack. endPeer is how sessions end.
func (s *Stack) shutDown(endPeer func(*peer.Peer) error) {
	s.mu.Lock()
	s.closed = true
	peers, sns := slices.Collect(maps.Values(s.peers)), s.sns
	s.mu.Unlock()

	s.closeListeners()
	var ends sync.WaitGroup
	for _, p := range peers {
		ends.Go(func() { endPeer(p) })
	}
	for _, c := range sns {
		ends.Go(func() { c.Close() })
	}
	ends.Wait()
	s.relays.close()
	s.discovery.Load().Close()
	s.engine.Close()
	s.http().CloseIdleConnections()
	s.cancel()
	for _, sock := range s.sockets {
		sock.Close()
	}
	s.workers.Wait()
}

// ID returns the device's id.
func (s *Stack) ID() identity.ID { return s.local.ID() }

// Device returns the signed descriptor that peers are given.
func (s *Stack) Device() *identity.Device { return s.local.Device() }

// Ticket returns all that others need to dial this device: its id, its SNs,
// and the endpoints that the operator set.
func (s *Stack) Ticket() identity.Ticket {
	return identity.Ticket{ID: s.ID(), SNs: s.cfg.SNs, Endpoints: s.cfg.Endpoints}
}

// Learn remembers what a ticket says about reaching a device, or the devices that
// answer for an owner. Nothing in it is
// trusted but what the id proves.
func (s *Stack) Learn(t identity.Ticket) error {
	if err := t.Check(); err != nil {
		return &OpError{Op: "learn", Err: err}
	}
	id := t.Peer()
	if !isParty(id) {
		return &OpError{Op: "learn", Peer: id, Err: errNotDevice}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.known[id]; !ok && len(s.known) >= maxKnown {
		for victim := range s.known {
			delete(s.known, victim)
			break
		}
	}
	s.known[id] = peer.Hints{Device: t.Device, Endpoints: t.Endpoints, SNs: t.SNs}
	return nil
}

// Dial opens a stream to a service of a device. It returns as soon as there is
// an authenticated session, which an earlier Dial may have opened: the peer's
// refusal of the service shows when the stream is read.
//
// The id may be an owner's. Its object, which SNs are asked for, names devices that
// answer for it; they are tried in that order, each with a short head start before
// the next. [Conn.Peer] tells which it was.
func (s *Stack) Dial(ctx context.Context, id identity.ID, service string) (*Conn, error) {
	if err := checkService(service); err != nil {
		return nil, &OpError{Op: "dial", Peer: id, Err: err}
	}
	ss, err := s.session(ctx, id)
	if err != nil {
		return nil, &OpError{Op: "dial", Peer: id, Err: err}
	}
	stream, err := ss.session.OpenStream(ctx)
	if err != nil {
		return nil, &OpError{Op: "dial", Peer: id, Err: ss.failure(err)}
	}
	if _, err := stream.Write(appendHeader(nil, formStream, service)); err != nil {
		refuse(stream, codeClosed)
		return nil, &OpError{Op: "dial", Peer: id, Err: ss.failure(err)}
	}
	return s.newConn(ss, stream, service, AllRights), nil
}

// session returns the session with a device, or with one that answers for an owner,
// which it opens if there is none.
func (s *Stack) session(ctx context.Context, id identity.ID) (*streams, error) {
	switch {
	case id.Type() == identity.TypePeople:
		return s.ownerSession(ctx, id)
	case id.Type() != identity.TypeDevice:
		return nil, errNotDevice
	case id == s.ID():
		return nil, errSelf
	}
	return s.deviceSession(ctx, id, s.hints(id))
}

// deviceSession is session for a device, with what tickets say about reaching it.
func (s *Stack) deviceSession(ctx context.Context, id identity.ID, hints peer.Hints) (*streams, error) {
	for {
		p, err := s.peer(id, wanted)
		if err != nil {
			return nil, err
		}
		hints.Search = s.seek(id, p)
		s.translator.wait(ctx, host{s}.prefixes())
		sess, err := p.Session(ctx, hints)
		if errors.Is(err, peer.ErrClosed) && !s.isClosed() {
			continue // swept away between the two calls
		}
		if err != nil {
			return nil, peerCause(err)
		}
		s.mu.Lock()
		ss := s.sessions[sess]
		s.mu.Unlock()
		if ss != nil {
			return ss, nil
		}
	}
}

// work runs f on a goroutine that Close waits for, unless the stack is closed.
func (s *Stack) work(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.workers.Go(f)
	}
}

// hints returns what tickets say about reaching a device or an owner.
func (s *Stack) hints(id identity.ID) peer.Hints {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[id]
}

func (s *Stack) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// newConn makes the embedder's view of a stream.
func (s *Stack) newConn(ss *streams, stream session.Stream, service string, rights Rights) *Conn {
	return &Conn{
		stream:  stream,
		local:   Addr{s.ID(), service},
		remote:  Addr{ss.device.ID(), service},
		device:  ss.device,
		rights:  rights,
		caller:  s.callerOf(ss),
		failure: ss.failure,
	}
}

// sweep drops idle peers, until the stack is closed.
func (s *Stack) sweep() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.dropIdle(time.Now())
			s.dropOutlived()
			s.book.readmitted()
			s.relays.sweep()
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *Stack) dropIdle(now time.Time) {
	var idle []*peer.Peer
	s.mu.Lock()
	for id, p := range s.peers {
		if since := p.Status().IdleSince; !since.IsZero() && now.Sub(since) > idlePeer {
			idle = append(idle, p)
			s.forgetPeerLocked(id)
		}
	}
	s.mu.Unlock()
	for _, p := range idle {
		p.Close()
	}
}

// reregister tells the SNs that our candidates have changed.
func (s *Stack) reregister() {
	for _, c := range s.clients() {
		c.Reregister()
	}
}

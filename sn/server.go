package sn

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/quota"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
)

// queueLimit is how many jobs may wait for a worker: 50 ms of handshakes on one
// core. More would be late.
const queueLimit = 256

// How many places the buckets of networks have, 8 bytes each, and those of
// networks and callees. Calls of the last 2 s fill them: 1 in 20 of the latter at
// 6,500 calls a second.
const (
	networkPlaces = 65_536
	prefixPlaces  = 262_144
)

// A Server is a running super node. Its methods may be called concurrently.
type Server struct {
	cfg     Config
	local   *noise.Local
	start   time.Time // zero of all times kept as durations
	sockets []*socket.Socket
	via     func(netip.AddrPort) sender // socketAt

	settings atomic.Pointer[settings]

	gate     *noise.Gate
	marks    *noise.Marks
	hints    *noise.HintLimiter
	sessions *noise.Table[*session] // by our receiver index
	devices  *registry
	objects  *directory
	uploads  *uploads
	calls    *callTable
	pairs    pairs
	pending  *quota.Share // of handshakes
	prefixes *sieve[callerPrefix]
	callers  *sieve[network] // calls
	readers  *sieve[network] // registers, lookups and publishes
	stun     stunService
	count    counters
	journal  *journal // nil: nothing is kept

	fresh      line[newcomer]       // until they must have registered
	remembered line[*call]          // until they are forgotten
	unacked    [repeats]line[*call] // until their next Called

	jobs      chan func()
	wake      chan struct{} // tells the keeper to look again; holds one
	ready     atomic.Bool   // opened is closed
	opened    chan struct{} // closed when packets may be handled
	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
	running   sync.WaitGroup // the keeper, the recorder and the workers
}

// Open starts a server. The caller must Close it.
func Open(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("sn: open: %w: %w", ErrConfig, err)
	}
	s := newServer(cfg)
	if err := s.listen(); err != nil {
		s.Close()
		return nil, fmt.Errorf("sn: open: %w", err)
	}
	ref, err := s.makeRef(cfg.Advertise)
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("sn: open: %w", err)
	}
	s.settings.Store(&settings{cfg.Limits, cfg.PingInterval, ref})
	if err := s.openState(); err != nil {
		s.Close()
		return nil, fmt.Errorf("sn: open: %w", err)
	}
	if s.journal != nil {
		s.running.Go(s.record)
	}
	s.serve()
	cfg.Logger.Info("super node is up", "ref", ref.String(), "addresses", s.Addrs(), "stun", s.STUNAddrs())
	return s, nil
}

// newServer starts a server without sockets.
func newServer(cfg Config) *Server {
	l := cfg.Limits
	s := &Server{
		cfg:      cfg,
		local:    noise.NewLocal(cfg.Local),
		start:    time.Now(),
		gate:     noise.NewGate(cfg.Local.Device.ID(), noise.GateConfig{Budget: l.Handshakes, Responses: l.Pending}),
		marks:    noise.NewMarks(markLimit),
		hints:    noise.NewHintLimiter(),
		sessions: noise.NewTable[*session](2*l.Devices + l.Pending),
		devices:  newRegistry(l.Devices, l.PerNetwork),
		objects:  newDirectory(l.Objects),
		uploads:  newUploads(),
		pairs:    newPairs(l.Pairs),
		pending:  quota.NewShare(l.Pending),
		prefixes: newSieve[callerPrefix](prefixPlaces),
		callers:  newSieve[network](networkPlaces),
		readers:  newSieve[network](networkPlaces),
		stun:     stunService{hosts: newTable[netip.Addr, bucket](elsewhereLimit)},
		jobs:     make(chan func(), queueLimit),
		wake:     make(chan struct{}, 1),
		opened:   make(chan struct{}),
		closing:  make(chan struct{}),
	}
	s.settings.Store(&settings{limits: cfg.Limits, ping: cfg.PingInterval})
	s.via = s.socketAt
	s.calls = newCallTable(l.Calls, s.random())
	s.fresh.delay = freshLife
	s.remembered.delay = callLife
	for i := range s.unacked {
		s.unacked[i].delay = firstRepeat << i
	}
	s.running.Add(1 + l.Workers)
	go s.keep()
	for range l.Workers {
		go s.work()
	}
	return s
}

// serve lets packets in.
func (s *Server) serve() {
	s.ready.Store(true)
	close(s.opened)
}

// listen opens the sockets.
func (s *Server) listen() error {
	addrs := s.cfg.Listen
	optional := len(addrs) == 0
	if optional {
		addrs = []netip.AddrPort{
			netip.AddrPortFrom(netip.IPv6Unspecified(), DefaultPort),
			netip.AddrPortFrom(netip.IPv4Unspecified(), DefaultPort),
		}
	}
	var errs []error
	for _, a := range addrs {
		sock, err := socket.Open(socket.Config{
			Network: s.cfg.Network,
			Local:   a,
			Handler: s,
			Logger:  s.cfg.Logger,
		})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.sockets = append(s.sockets, sock)
	}
	if len(errs) > 0 && !(optional && len(s.sockets) > 0) {
		return errors.Join(errs...)
	}
	return s.listenSTUN()
}

// makeRef returns what devices need to know to find the server.
func (s *Server) makeRef(advertise string) (identity.Ref, error) {
	id := s.local.ID()
	if advertise != "" {
		return identity.NewRef(id, advertise)
	}
	for _, a := range s.Addrs() {
		if !a.Addr().IsUnspecified() {
			return identity.NewRef(id, a.String())
		}
	}
	interfaces, err := s.cfg.Network.Interfaces()
	if err != nil {
		return identity.Ref{}, fmt.Errorf("no address to advertise: %w", err)
	}
	for _, sock := range s.sockets {
		own := sock.LocalAddr()
		for _, i := range interfaces {
			for _, p := range i.Prefixes {
				a := p.Addr()
				if i.Up && !i.Loopback && a.IsGlobalUnicast() && a.Is4() == own.Addr().Is4() {
					return identity.NewRef(id, netip.AddrPortFrom(a, own.Port()).String())
				}
			}
		}
	}
	// A machine without a network still serves itself.
	return identity.NewRef(id, "localhost:"+strconv.Itoa(int(s.sockets[0].LocalAddr().Port())))
}

// Ref returns who the server is and where it is reached.
func (s *Server) Ref() identity.Ref { return s.settings.Load().ref }

// Addrs returns the bound addresses, in the order of Config.Listen.
func (s *Server) Addrs() []netip.AddrPort {
	addrs := make([]netip.AddrPort, len(s.sockets))
	for i, sock := range s.sockets {
		addrs[i] = sock.LocalAddr()
	}
	return addrs
}

// Stats returns the counters of this moment.
func (s *Server) Stats() Stats {
	st := s.count.snapshot()
	st.Devices = s.devices.quota.Len()
	st.Objects = s.objects.len()
	st.Calls = s.calls.len()
	st.Pairs = s.pairs.quota.Len()
	gate := s.gate.Counts()
	st.Cookies = gate.Cookies
	st.Malformed += gate.Malformed
	st.Limited += gate.Limited
	return st
}

// Close tells the devices that the server stops, closes the sockets, waits for
// all goroutines, and writes the state file. It may be called more than once.
//
// Where there is a state file the devices are not told: the next run serves them as
// before, and 100,000 that look for it all at once are in each other's way.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		if s.ready.Load() && s.journal == nil {
			now := time.Now()
			s.devices.each(func(x *session, at place) {
				s.sendMessage(x, at, &wire.Notice{Code: wire.NoticeDraining}, now)
			})
		}
		close(s.closing)
		var errs []error
		for _, sock := range slices.Concat(s.sockets, s.stun.seconds) {
			errs = append(errs, sock.Close())
		}
		s.running.Wait()
		if s.journal != nil {
			if s.ready.Load() {
				errs = append(errs, s.flush(0, registryShards))
			}
			errs = append(errs, s.journal.vault.Close())
		}
		s.closeErr = errors.Join(errs...)
	})
	return s.closeErr
}

// work is a worker: it runs jobs until the server closes.
func (s *Server) work() {
	defer s.running.Done()
	for {
		select {
		case <-s.closing:
			return
		case job := <-s.jobs:
			job()
		}
	}
}

// enqueue passes a job on to a worker, and reports whether there was room.
func (s *Server) enqueue(job func()) bool {
	select {
	case s.jobs <- job:
		return true
	default:
		s.count.overload.Add(1)
		return false
	}
}

// random returns a number that nobody can guess.
func (s *Server) random() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails: it ends the program instead
	return binary.BigEndian.Uint64(b[:])
}

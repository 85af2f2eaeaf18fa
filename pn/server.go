package pn

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/quota"
	"github.com/bdtnet/bdt/internal/wire"
)

// queueLimit is how many jobs may wait for public-key cryptography: 50 ms of handshakes
// on one core. More would be late.
const queueLimit = 256

// A Server is a running proxy node. Its methods may be called concurrently.
type Server struct {
	cfg       Config
	local     *noise.Local
	start     time.Time // zero of all times kept as durations
	listeners []*listener

	settings atomic.Pointer[settings]

	gate     *noise.Gate
	marks    *noise.Marks
	hints    *noise.HintLimiter
	sessions *noise.Table[*session] // by our receiver index
	held     *quota.Share           // of sessions
	pairs    *pairTable
	accounts *accounts
	checks   *checks
	shaper   *shaper // nil: no limit on bandwidth
	count    counters

	draining  atomic.Bool
	jobs      chan func()
	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
	running   sync.WaitGroup // the keeper, the shaper, the workers, and those of jobs
}

// Open starts a server. The caller must Close it.
func Open(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("pn: open: %w: %w", ErrConfig, err)
	}
	s, err := newServer(cfg)
	if err != nil {
		return nil, fmt.Errorf("pn: open: %w: %w", ErrConfig, err)
	}
	if err := s.listen(); err != nil {
		s.Close()
		return nil, fmt.Errorf("pn: open: %w", err)
	}
	set := *s.settings.Load()
	if set.ref, err = s.makeRef(cfg.Advertise); err != nil {
		s.Close()
		return nil, fmt.Errorf("pn: open: %w", err)
	}
	s.settings.Store(&set)
	s.startWorkers()
	if s.shaper != nil {
		s.running.Go(s.shaper.run)
	}
	cfg.Logger.Info("proxy node is up", "ref", set.ref.String(), "addresses", s.Addrs(), "sockets", cfg.Sockets)
	return s, nil
}

// newServer starts a server without sockets.
func newServer(cfg Config) (*Server, error) {
	l := cfg.Limits
	set, err := newSettings(cfg)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg:      cfg,
		local:    noise.NewLocal(cfg.Local),
		start:    time.Now(),
		gate:     noise.NewGate(cfg.Local.Device.ID(), noise.GateConfig{Budget: l.Handshakes, Responses: responseLimit}),
		marks:    noise.NewMarks(markLimit),
		hints:    noise.NewHintLimiter(),
		sessions: noise.NewTable[*session](2 * l.Sessions), // the quota bounds them, so that no shard is full before
		held:     quota.NewShare(l.Sessions),
		pairs:    newPairTable(l.Pairs),
		accounts: newAccounts(l.Payers),
		checks:   newChecks(),
		jobs:     make(chan func(), queueLimit),
		closing:  make(chan struct{}),
	}
	s.settings.Store(set)
	if l.Bandwidth > 0 {
		s.shaper = newShaper(s, l.Bandwidth)
	}
	s.running.Go(s.keep)
	for range l.Workers {
		s.running.Go(s.work)
	}
	return s, nil
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
	for _, l := range s.listeners {
		for _, i := range interfaces {
			for _, p := range i.Prefixes {
				a := p.Addr()
				if i.Up && !i.Loopback && a.IsGlobalUnicast() && a.Is4() == l.addr.Addr().Is4() {
					return identity.NewRef(id, netip.AddrPortFrom(a, l.addr.Port()).String())
				}
			}
		}
	}
	// A machine without a network still serves itself.
	return identity.NewRef(id, "localhost:"+strconv.Itoa(int(s.listeners[0].addr.Port())))
}

// Ref returns who the server is and where it is reached.
func (s *Server) Ref() identity.Ref { return s.settings.Load().ref }

// Addrs returns the bound addresses, in the order of Config.Listen.
func (s *Server) Addrs() []netip.AddrPort {
	addrs := make([]netip.AddrPort, len(s.listeners))
	for i, l := range s.listeners {
		addrs[i] = l.addr
	}
	return addrs
}

// Stats returns the counters of this moment.
func (s *Server) Stats() Stats {
	st := s.count.snapshot()
	st.Sessions = s.held.Len()
	st.Pairs = s.pairs.quota.Len()
	st.Payers = s.accounts.len()
	for _, l := range s.listeners {
		for _, w := range l.workers {
			st.add(&w.fates)
		}
	}
	if s.shaper != nil {
		st.Waiting = s.shaper.held()
		st.add(&s.shaper.fates)
	}
	gate := s.gate.Counts()
	st.Cookies = gate.Cookies
	st.Malformed += gate.Malformed
	st.Limited += gate.Limited
	return st
}

// drainLook is how often Drain looks whether it is done.
const drainLook = 100 * time.Millisecond

// Drain tells the devices to move, accepts no more of them and no more bindings, and
// waits until the last binding has ended, the context has, or the server is closed
// (spec §6). The caller then closes the server.
func (s *Server) Drain(ctx context.Context) {
	if !s.draining.Swap(true) {
		now := time.Now()
		s.eachSession(func(x *session, at place) {
			s.sendMessage(x, at, &wire.Notice{Code: wire.NoticeDraining}, now)
		})
	}
	look := time.NewTicker(drainLook)
	defer look.Stop()
	for s.pairs.quota.Len() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-s.closing:
			return
		case <-look.C:
		}
	}
}

// Close says goodbye to the devices, closes the sockets, and waits for all goroutines. It
// may be called more than once.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		now := time.Now()
		s.eachSession(func(x *session, at place) {
			s.sendMessage(x, at, &wire.Goodbye{Code: wire.GoodbyeLeaving}, now)
		})
		close(s.closing)
		var errs []error
		for _, l := range s.listeners {
			errs = append(errs, l.close())
		}
		s.running.Wait()
		s.closeErr = errors.Join(errs...)
	})
	return s.closeErr
}

// eachSession calls f with every session whose device is known to be somewhere.
func (s *Server) eachSession(f func(*session, place)) {
	for i := range sweepParts {
		for _, x := range s.sessions.Part(i, sweepParts) {
			if at := x.where.Load(); at != nil && x.assoc() != nil {
				f(x, *at)
			}
		}
	}
}

// work runs jobs until the server closes.
func (s *Server) work() {
	for {
		select {
		case <-s.closing:
			return
		case job := <-s.jobs:
			job()
		}
	}
}

// enqueue passes a job on to a goroutine for public-key cryptography, and reports whether
// there was room.
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

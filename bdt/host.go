package bdt

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/peer"
	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
)

// maxSNs bounds the SNs that the stack is a client of: its own, and those
// that tickets and devices name, which it needs to call through.
const maxSNs = 16

// A host is the stack as its peers see it.
type host struct{ *Stack }

var _ peer.Host = host{}

// Links implements peer.Host.
func (h host) Links() []path.LinkInfo {
	prefixes := h.prefixes()
	links := make([]path.LinkInfo, 0, len(h.sockets))
	for _, s := range h.sockets {
		links = append(links, h.link(s, prefixes))
	}
	return links
}

// link is a socket as the paths know it.
func (h host) link(s *socket.Socket, prefixes []netip.Prefix) path.LinkInfo {
	li := path.LinkInfo{Link: peer.Link(s), Local: s.LocalAddr()}
	for _, p := range prefixes {
		if p.Addr().Is4() == li.Local.Addr().Is4() {
			li.Prefixes = append(li.Prefixes, p)
		}
	}
	return li
}

// nearbyLife is how old an answer of the operating system about its interfaces may
// be. It takes about as long as the Diffie–Hellman of a handshake (0.2 ms with a
// few interfaces), and each stranger's has several questions.
const nearbyLife = time.Second

// A nearby is the prefixes of the interfaces that are up, as they were of late.
type nearby struct {
	mu       sync.Mutex
	asked    time.Time
	prefixes []netip.Prefix // not changed once it is here
}

// prefixes returns the addresses of the interfaces that are up, with their
// on-link prefixes. The slice is not to be changed.
func (h host) prefixes() []netip.Prefix {
	n := &h.nearby
	n.mu.Lock()
	list, asked := n.prefixes, n.asked
	n.mu.Unlock()
	if !asked.IsZero() && time.Since(asked) < nearbyLife {
		return list
	}
	return h.lookPrefixes()
}

// lookPrefixes is prefixes as they are at this moment.
func (h host) lookPrefixes() (list []netip.Prefix) {
	now := time.Now()
	interfaces, err := h.cfg.Network.Interfaces()
	if err != nil {
		h.log.Warn("interfaces are not known", "err", err)
		return nil
	}
	for _, i := range interfaces {
		if i.Up {
			list = append(list, i.Prefixes...)
		}
	}
	n := &h.nearby
	n.mu.Lock()
	n.prefixes, n.asked = list, now
	n.mu.Unlock()
	return list
}

// forgetPrefixes has the operating system asked again.
func (h host) forgetPrefixes() {
	h.nearby.mu.Lock()
	defer h.nearby.mu.Unlock()
	h.nearby.asked = time.Time{}
}

// Candidates implements peer.Host: what the operator set, where SNs see us,
// and the interfaces' addresses.
func (h host) Candidates() []wire.Candidate {
	seen := h.mapper.addresses()
	for _, c := range h.clients() {
		if addr := c.Observed(); addr.IsValid() {
			seen = append(seen, addr)
		}
	}
	return h.candidates(seen)
}

// registered are the candidates that the SNs are told. Each adds where it
// sees us itself.
func (h host) registered() []wire.Candidate { return h.candidates(h.mapper.addresses()) }

// candidates joins what the operator set, where others see us, and what the
// interfaces have. A message has room for wire.MaxCandidates: the last go first.
func (h host) candidates(seen []netip.AddrPort) []wire.Candidate {
	var list []wire.Candidate
	add := func(kind wire.CandidateKind, addr netip.AddrPort) {
		known := func(c wire.Candidate) bool { return c.Addr == addr }
		if len(list) < wire.MaxCandidates && !slices.ContainsFunc(list, known) {
			list = append(list, wire.Candidate{Kind: kind, Addr: addr})
		}
	}
	for _, addr := range h.cfg.Endpoints {
		add(wire.CandidateConfigured, addr)
	}
	local := h.interfaceAddrs()
	slices.SortFunc(seen, netip.AddrPort.Compare)
	for _, addr := range seen {
		kind := wire.CandidateServerReflexive
		if slices.Contains(local, addr) {
			kind = wire.CandidateHost // no NAT
		}
		add(kind, addr)
	}
	for _, addr := range local {
		add(wire.CandidateHost, addr)
	}
	return list
}

// interfaceAddrs returns where the sockets can be reached if nothing
// translates addresses.
func (h host) interfaceAddrs() []netip.AddrPort {
	var list []netip.AddrPort
	for _, s := range h.sockets {
		local := s.LocalAddr()
		if !local.Addr().IsUnspecified() {
			list = append(list, local)
			continue
		}
		for _, p := range h.prefixes() {
			a := p.Addr()
			if a.Is4() == local.Addr().Is4() && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
				list = append(list, netip.AddrPortFrom(a, local.Port()))
			}
		}
	}
	return list
}

// Signallers implements peer.Host: the SNs that the peer uses, then our own.
func (h host) Signallers(refs []identity.Ref) []peer.Signaller {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []peer.Signaller
	add := func(c *snclient.Client) {
		if c != nil && !slices.Contains(list, peer.Signaller(c)) {
			list = append(list, c)
		}
	}
	for _, ref := range refs {
		add(h.addSNLocked(ref))
	}
	for _, ref := range h.cfg.SNs {
		add(h.addSNLocked(ref))
	}
	return list
}

// addSNLocked returns the client of an SN, which it starts if there is none;
// nil if there are too many, or the stack is closed. Those that are not of the
// configuration stand behind them in s.sns, the one used last at the end.
func (s *Stack) addSNLocked(ref identity.Ref) *snclient.Client {
	i := slices.IndexFunc(s.sns, func(c *snclient.Client) bool { return c.Ref() == ref })
	if i >= 0 {
		c := s.sns[i]
		if i >= len(s.cfg.SNs) {
			s.sns = append(slices.Delete(slices.Clone(s.sns), i, i+1), c)
		}
		return c
	}
	if s.closed || len(s.sns) >= maxSNs && !s.dropSNLocked() {
		return nil
	}
	var c *snclient.Client
	r := new(snReceiver)
	c = snclient.New(snclient.Config{
		Local:      s.local,
		Ref:        ref,
		Network:    s.resolver(),
		Send:       s.send,
		Indices:    s.demux.indices.For(r),
		Stamper:    s.demux.stamper,
		Instance:   s.instance,
		Visibility: wire.Visibility(s.cfg.Visibility),
		Candidates: host{s}.registered,
		KeepAlive:  s.keepAlive,
		Handler:    &s.demux,
		Logger:     s.log,
	})
	r.Client = c
	s.sns = append(slices.Clip(s.sns), c)
	c.Start(s.ctx)
	return c
}

// dropSNLocked leaves the SN that is not of the configuration and was used
// longest ago. Calls under way there fail, and are made again if still wanted.
func (s *Stack) dropSNLocked() bool {
	i := len(s.cfg.SNs)
	if i >= len(s.sns) {
		return false
	}
	c := s.sns[i]
	s.sns = slices.Delete(slices.Clone(s.sns), i, i+1)
	s.workers.Go(func() { c.Close() })
	return true
}

func (s *Stack) clients() []*snclient.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sns
}

// send sends a control packet through the first socket of the address's
// family.
func (s *Stack) send(to netip.AddrPort, b []byte) error {
	for _, sock := range s.sockets {
		if sock.LocalAddr().Addr().Is4() == to.Addr().Is4() {
			return sock.Send(to, b)
		}
	}
	return errNoFamily
}

// OpenFresh implements peer.Host.
func (h host) OpenFresh(ctx context.Context, to netip.AddrPort) (*peer.Fresh, error) {
	sock, release, err := h.openFresh(to)
	if err != nil {
		return nil, err
	}
	mapped, err := h.mapper.probe(ctx, sock)
	if err != nil {
		release()
		return nil, err
	}
	return &peer.Fresh{Info: h.link(sock, h.prefixes()), Mapped: mapped, Close: release}, nil
}

// openFresh opens a socket of the family of to, beside the stack's own. Whoever asked
// calls release, which closes it.
func (h host) openFresh(to netip.AddrPort) (sock *socket.Socket, release func() error, err error) {
	if h.fresh.Add(1) > maxFresh {
		h.fresh.Add(-1)
		return nil, nil, errTooManyFresh
	}
	any := netip.IPv6Unspecified()
	if to.Addr().Is4() {
		any = netip.IPv4Unspecified()
	}
	sock, err = socket.Open(socket.Config{
		Network: h.cfg.Network,
		Local:   netip.AddrPortFrom(any, 0),
		Handler: &h.demux,
		Batch:   1,
		Logger:  h.log,
	})
	if err != nil {
		h.fresh.Add(-1)
		return nil, nil, err
	}
	return sock, sync.OnceValue(func() error {
		defer h.fresh.Add(-1)
		return sock.Close()
	}), nil
}

// RememberResponse implements peer.Host.
func (h host) RememberResponse(p *peer.Peer, hash noise.Hash, response []byte) {
	h.demux.gate.Remember(hash, response, p)
}

// Describe implements peer.Host.
func (h host) Describe(id identity.ID, link peer.Link, addr netip.AddrPort) {
	h.demux.ask(id, link, addr)
}

// SessionStarted implements peer.Host.
func (h host) SessionStarted(p *peer.Peer, d *identity.Device, sess session.Session) {
	ss := &streams{session: sess, device: d, flows: flows{session: sess}}
	h.mu.Lock()
	closed := h.closed
	if !closed {
		h.sessions[sess] = ss
	}
	h.mu.Unlock()
	if closed {
		return
	}
	h.log.Info("session", "peer", d.ID().Short(), "engine", sess.Stats().Engine)
	h.workers.Go(func() { h.serveStreams(ss) })
}

// SessionEnded implements peer.Host.
func (h host) SessionEnded(p *peer.Peer, sess session.Session, cause error) {
	h.mu.Lock()
	ss := h.sessions[sess]
	delete(h.sessions, sess)
	h.mu.Unlock()
	if ss != nil {
		ss.end(cause)
		h.log.Info("session ended", "peer", p.ID().Short(), "cause", cause)
	}
}

var _ socket.Handler = (*demux)(nil)

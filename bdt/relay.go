package bdt

import (
	"crypto/sha256"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/peer"
	"github.com/bdtnet/bdt/internal/pnclient"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
)

const (
	// maxPNs bounds the PNs that the stack is a client of: its own, and those that
	// callers and callees name.
	maxPNs = 16
	// A PN that only a stranger names is looked for at most so often: each time costs whoever
	// is at the address a few packets of at most 1,200 bytes.
	namedEvery = 5 * time.Second
	namedBurst = 4
	// Strangers have this device bind at most so often: what strangers begin lasts for 10 s, and is
	// not to use up what a PN has for a session.
	joinsPerSecond = 20
	joinsBurst     = 40
)

// relays are the stack's PN clients.
type relays struct {
	stack *Stack
	named *rate.Limiter // of PNs that only strangers name
	joins *rate.Limiter // of bindings that strangers begin

	mu     sync.Mutex
	closed bool
	list   []*pnclient.Client // those of Config, then those that peers name, the one used last at the end; replaced, not changed
}

func (r *relays) init(s *Stack) {
	r.stack = s
	r.named = rate.NewLimiter(rate.Every(namedEvery), namedBurst)
	r.joins = rate.NewLimiter(joinsPerSecond, joinsBurst)
}

// start begins to be at the PNs of the configuration.
func (r *relays) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ref := range r.stack.cfg.PNs {
		r.addLocked(ref)
	}
}

// clients returns the clients that there are. The slice is not to be changed.
func (r *relays) clients() []*pnclient.Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list
}

// close closes all clients.
func (r *relays) close() {
	r.mu.Lock()
	r.closed = true
	list := r.list
	r.mu.Unlock()
	for _, c := range list {
		c.Close()
	}
}

// own reports whether a PN is of the configuration.
func (r *relays) own(id identity.ID) bool {
	return slices.ContainsFunc(r.stack.cfg.PNs, func(ref identity.Ref) bool { return ref.ID == id })
}

// addLocked returns the client of a PN, which it starts if there is none; nil if there are
// too many, or the stack is closed.
func (r *relays) addLocked(ref identity.Ref) *pnclient.Client {
	if r.closed {
		return nil
	}
	i := slices.IndexFunc(r.list, func(c *pnclient.Client) bool { return c.Ref() == ref })
	if i < 0 { // others may call it by another address
		i = slices.IndexFunc(r.list, func(c *pnclient.Client) bool { return c.Ref().ID == ref.ID && c.State() == pnclient.Online })
	}
	if i >= 0 {
		c := r.list[i]
		if !r.own(c.Ref().ID) {
			r.list = append(slices.Delete(slices.Clone(r.list), i, i+1), c)
		}
		return c
	}
	if len(r.list) >= maxPNs && !r.dropLocked() {
		return nil
	}
	s := r.stack
	send := s.send
	if !r.own(ref.ID) {
		send = s.sendNamed
	}
	receiver := new(pnReceiver)
	c := pnclient.New(pnclient.Config{
		Local:       s.local,
		Ref:         ref,
		Network:     s.resolver(),
		Send:        send,
		SendRun:     s.sendRun,
		SetRelay:    s.setRelay,
		DeleteRelay: s.deleteRelay,
		Indices:     s.demux.indices.For(receiver),
		Stamper:     s.demux.stamper,
		KeepAlive:   s.keepAlive,
		Logger:      s.log,
	})
	receiver.Client = c
	r.list = append(slices.Clip(r.list), c)
	c.Start(s.ctx)
	return c
}

// dropLocked leaves the PN that is not of the configuration, carries nothing and was used longest
// ago.
func (r *relays) dropLocked() bool {
	for i, c := range r.list {
		if !r.own(c.Ref().ID) && c.Bindings() == 0 {
			r.list = slices.Delete(slices.Clone(r.list), i, i+1)
			r.stack.workers.Go(func() { c.Close() })
			return true
		}
	}
	return false
}

// sweep leaves the PNs that peers have named and that carry nothing any more.
func (r *relays) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.dropLocked() {
	}
}

// token returns what a PN is shown.
func (r *relays) token(pn identity.ID) []byte {
	for _, b := range r.stack.cfg.PNTokens {
		if t, err := wire.ParseRelayToken(b); err == nil && (t.PN == pn || t.PN.IsZero()) {
			return b
		}
	}
	return nil
}

// OpenRelay implements peer.Host.
func (h host) OpenRelay(id identity.ID, refs []identity.Ref, not []identity.ID) *peer.Relay {
	r := &h.relays
	if len(h.cfg.PNs) > 0 {
		refs = h.cfg.PNs
	}
	r.mu.Lock()
	var best *pnclient.Client
	for _, ref := range refs {
		if slices.Contains(not, ref.ID) {
			continue
		}
		if c := r.addLocked(ref); c != nil && (best == nil || better(c, best)) {
			best = c
		}
	}
	r.mu.Unlock()
	if best == nil {
		return nil
	}
	return h.bind(best, id, pnclient.NewTag(), r.own(best.Ref().ID))
}

// better reports whether a PN is to be preferred to another: one that answers, and among
// those the one with the lower round trip.
func better(a, b *pnclient.Client) bool {
	onA, onB := a.State() == pnclient.Online, b.State() == pnclient.Online
	if onA != onB {
		return onA
	}
	return onA && a.RTT() < b.RTT()
}

// JoinRelay implements peer.Host. The caller pays, unless it has borrowed a PN of ours.
func (h host) JoinRelay(id identity.ID, name wire.Relay, refs []identity.Ref) *peer.Relay {
	r := &h.relays
	h.mu.Lock()
	_, strange := h.strangers[id]
	h.mu.Unlock()
	if strange && !r.joins.Allow() {
		return nil // the call is repeated
	}
	is := func(ref identity.Ref) bool { return ref.ID == name.PN }
	r.mu.Lock()
	c := r.knownLocked(name.PN, refs)
	if i := slices.IndexFunc(refs, is); c == nil && i >= 0 && (!strange || r.named.Allow()) {
		c = r.addLocked(refs[i])
	}
	r.mu.Unlock()
	if c == nil {
		return nil
	}
	return h.bind(c, id, name.Tag, r.own(name.PN) && !slices.ContainsFunc(refs, is))
}

// knownLocked returns the client of a PN that there is, if it is of the configuration, or proven to
// be that PN, or looked for where refs have it. Others may have been named with an address that
// is not the PN's.
func (r *relays) knownLocked(pn identity.ID, refs []identity.Ref) *pnclient.Client {
	own := r.own(pn)
	i := slices.IndexFunc(r.list, func(c *pnclient.Client) bool {
		return c.Ref().ID == pn && (own || c.State() == pnclient.Online || slices.Contains(refs, c.Ref()))
	})
	if i < 0 {
		return nil
	}
	return r.list[i]
}

// bind begins to bind with a device at a PN.
func (h host) bind(c *pnclient.Client, id identity.ID, tag wire.Tag, pays bool) *peer.Relay {
	l := &relayLink{demux: &h.demux, peer: relayAddr(tag)}
	o := pnclient.BindOptions{Tag: tag, Peer: id, Pays: pays, Sink: l}
	if pays {
		o.Token = h.relays.token(c.Ref().ID)
	}
	b, err := c.Bind(o)
	if err != nil {
		h.log.Debug("cannot bind", "peer", id.Short(), "err", err)
		return nil
	}
	l.binding.Store(b)
	return &peer.Relay{
		Info:  path.LinkInfo{Link: peer.Link(l), Transport: path.TransportRelay, Local: l.peer, Peer: l.peer},
		Name:  b.Relay(),
		Ready: b.Ready(),
		Done:  b.Done(),
		Err:   b.Err,
		Begun: b.Begun(),
		Idle:  func() bool { return unboundFor(b.Err(), wire.UnboundIdle) },
		Alive: func() bool { return b.Err() == nil && (c.State() == pnclient.Online || c.Fresh()) },
		Close: func() { b.Close() },
	}
}

// unboundFor reports whether the PN has ended a binding for a reason.
func unboundFor(err error, why wire.UnboundReason) bool {
	e, ok := errors.AsType[*pnclient.BindError](err)
	return ok && e.Status == wire.StatusOK && e.Reason == why
}

// relayAddr returns the address by which the peer at the other end of a binding goes here: it
// is none, and of the tag alone (RFC 4193, with 120 bits of its hash: the tag is not to be shown).
func relayAddr(tag wire.Tag) netip.AddrPort {
	sum := sha256.Sum256(tag[:])
	b := [16]byte(sum[:])
	b[0] = 0xfd
	return netip.AddrPortFrom(netip.AddrFrom16(b), 1)
}

// A relayLink is a binding at a PN as a link of a peer. It reaches the peer alone, whatever
// address it is told.
type relayLink struct {
	demux   *demux
	peer    netip.AddrPort
	binding atomic.Pointer[pnclient.Binding] // nil while it is made

	mu   sync.Mutex // of writers
	sink atomic.Pointer[socket.Sink]
}

var _ carrier = (*relayLink)(nil)

// Send implements peer.Link.
func (l *relayLink) Send(to netip.AddrPort, b []byte) error { return l.SendRun(to, b, 0, 0) }

// SendHopLimit implements peer.Link. The hops of a relayed packet are not the sender's.
func (l *relayLink) SendHopLimit(to netip.AddrPort, b []byte, _ uint8) error {
	return l.SendRun(to, b, 0, 0)
}

// SendRun implements peer.Link.
func (l *relayLink) SendRun(_ netip.AddrPort, b []byte, segmentSize int, ecn uint8) error {
	binding := l.binding.Load()
	if binding == nil {
		return pnclient.ErrOffline
	}
	return binding.SendRun(b, segmentSize, ecn)
}

// Route implements carrier.
func (l *relayLink) Route(netip.AddrPort) socket.Sink {
	if s := l.sink.Load(); s != nil {
		return *s
	}
	return nil
}

// AddRoute implements peer.Link.
func (l *relayLink) AddRoute(_ netip.AddrPort, sink socket.Sink) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held := l.sink.Load(); held != nil {
		return *held == sink
	}
	l.sink.Store(&sink)
	return true
}

// SetRoute implements peer.Link.
func (l *relayLink) SetRoute(_ netip.AddrPort, sink socket.Sink) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sink.Store(&sink)
}

// ReplaceRoute implements peer.Link.
func (l *relayLink) ReplaceRoute(_ netip.AddrPort, old, sink socket.Sink) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held := l.sink.Load(); held != nil && *held == old {
		l.sink.Store(&sink)
	}
}

// DeleteRoute implements peer.Link.
func (l *relayLink) DeleteRoute(_ netip.AddrPort, sink socket.Sink) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held := l.sink.Load(); held != nil && *held == sink {
		l.sink.Store(nil)
	}
}

// Deliver implements socket.Sink: packets that the peer has sent through the relay.
func (l *relayLink) Deliver(b []byte, segmentSize int, ecn uint8) {
	if segmentSize <= 0 || segmentSize > len(b) {
		segmentSize = len(b)
	}
	const fixedBit = 0x40 // of an engine's packets (docs/spec/wire.md §1)
	for len(b) > 0 {
		n := min(segmentSize, len(b))
		if b[0]&fixedBit == 0 {
			if t, err := wire.ControlType(b[:n]); err == nil {
				l.demux.handleHandshake(t, l, b[:n:n], l.peer)
			}
			b = b[n:]
			continue
		}
		for n < len(b) && b[n]&fixedBit != 0 {
			n = min(n+segmentSize, len(b))
		}
		if sink := l.sink.Load(); sink != nil {
			size := segmentSize
			if size >= n {
				size = 0
			}
			(*sink).Deliver(b[:n:n], size, ecn)
		}
		b = b[n:]
	}
}

// errNotPublic: a peer has named an address that means another host here than there.
var errNotPublic = errors.New("the address is not to be sent to on a peer's word")

// sendNamed is send to where only peers say that there is a PN: by the rules that hold for their
// other candidates, so that nobody has us knock at what is near us.
func (s *Stack) sendNamed(to netip.AddrPort, b []byte) error {
	h := host{s}
	for _, sock := range s.sockets {
		if sock.LocalAddr().Addr().Is4() != to.Addr().Is4() {
			continue
		}
		if h.link(sock, h.prefixes()).Refuses(to) {
			return errNotPublic
		}
		return sock.Send(to, b)
	}
	return errNoFamily
}

// sendRun sends packets through the first socket of the address's family, as send does.
func (s *Stack) sendRun(to netip.AddrPort, b []byte, segmentSize int, ecn uint8) error {
	for _, sock := range s.sockets {
		if sock.LocalAddr().Addr().Is4() == to.Addr().Is4() {
			return sock.SendRun(to, b, segmentSize, ecn)
		}
	}
	return errNoFamily
}

func (s *Stack) setRelay(from netip.AddrPort, sink socket.Sink) {
	for _, sock := range s.sockets {
		sock.SetRelay(from, sink)
	}
}

func (s *Stack) deleteRelay(from netip.AddrPort, sink socket.Sink) {
	for _, sock := range s.sockets {
		sock.DeleteRelay(from, sink)
	}
}

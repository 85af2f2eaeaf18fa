package bdt

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/peer"
	"github.com/bdtnet/bdt/internal/snclient"
)

// SNStatus is one super node as the stack sees it.
type SNStatus struct {
	Ref      identity.Ref
	State    string         // "offline", "online", "superseded", "closed"
	Observed netip.AddrPort // this device's address as the SN sees it; zero: not known
	RTT      time.Duration  // smoothed; 0: not known
}

// SNs returns the super nodes that the stack is a client of: those of its
// configuration first.
func (s *Stack) SNs() []SNStatus {
	clients := s.clients()
	list := make([]SNStatus, 0, len(clients))
	for _, c := range clients {
		list = append(list, SNStatus{Ref: c.Ref(), State: c.State().String(), Observed: c.Observed(), RTT: c.RTT()})
	}
	return list
}

// PNStatus is one proxy node as the stack sees it.
type PNStatus struct {
	Ref      identity.Ref
	State    string         // "offline", "online", "draining", "closed"
	Observed netip.AddrPort // this device's address as the PN sees it; zero: not known
	RTT      time.Duration  // smoothed; 0: not known
	Relays   int            // peers that it relays for this device, or is asked to
}

// PNs returns the proxy nodes that the stack is a client of: those of its
// configuration first.
func (s *Stack) PNs() []PNStatus {
	clients := s.relays.clients()
	list := make([]PNStatus, 0, len(clients))
	for _, c := range clients {
		list = append(list, PNStatus{Ref: c.Ref(), State: c.State().String(), Observed: c.Observed(), RTT: c.RTT(), Relays: c.Bindings()})
	}
	return list
}

// Online reports whether an SN of the configuration serves this device now,
// so that others can call it.
func (s *Stack) Online() bool {
	return slices.ContainsFunc(s.ownClients(), func(c *snclient.Client) bool {
		return c.State() == snclient.Online
	})
}

// WaitOnline waits until [Stack.Online].
func (s *Stack) WaitOnline(ctx context.Context) error {
	clients := s.ownClients()
	if len(clients) == 0 {
		return &OpError{Op: "go online", Err: ErrNoRoute}
	}
	var waiting sync.WaitGroup
	defer waiting.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(clients))
	for _, c := range clients {
		waiting.Go(func() { results <- c.WaitOnline(ctx) })
	}
	var errs []error
	for range clients {
		err := <-results
		if err == nil {
			return nil
		}
		errs = append(errs, snCause(err))
	}
	return &OpError{Op: "go online", Err: errors.Join(errs...)}
}

// ownClients returns the clients of the SNs of the configuration.
func (s *Stack) ownClients() []*snclient.Client {
	all := s.clients()
	return all[:min(len(all), len(s.cfg.SNs))]
}

// LocalAddrs returns the addresses that the stack's sockets are bound to.
func (s *Stack) LocalAddrs() []netip.AddrPort {
	list := make([]netip.AddrPort, 0, len(s.sockets))
	for _, sock := range s.sockets {
		list = append(list, sock.LocalAddr())
	}
	return list
}

// PathStatus is one way to a peer.
type PathStatus struct {
	Kind     string         // "lan", "direct", "punched", "relayed"
	State    string         // "knocking", "validating", "valid", "suspect", "dead", "failed"
	Local    netip.AddrPort // of the socket
	Remote   netip.AddrPort
	Observed netip.AddrPort // this device's address as the peer sees it; zero: not known
	RTT      time.Duration  // smoothed; 0: not known
	Current  bool           // data goes here
	Standby  bool           // data goes here next
}

// PeerStatus is a remote device as the stack sees it.
type PeerStatus struct {
	ID     identity.ID
	Name   string // as it calls itself; proves nothing
	State  string // "idle", "connecting", "connected"
	Engine string // of the session; empty: none
	Path   PathStatus
	// SessionRTT is the engine's smoothed round trip; 0: not known.
	SessionRTT           time.Duration
	BytesSent, BytesRecv uint64 // of the session, packet headers included
	// DatagramsDropped counts those that came for no flow, or found no room.
	DatagramsDropped uint64
}

// Peers returns the devices that the stack has to do with.
func (s *Stack) Peers() []PeerStatus {
	s.mu.Lock()
	peers := slices.Collect(maps.Values(s.peers))
	s.mu.Unlock()
	list := make([]PeerStatus, 0, len(peers))
	for _, p := range peers {
		list = append(list, s.peerStatus(p))
	}
	slices.SortFunc(list, func(a, b PeerStatus) int { return a.ID.Compare(b.ID) })
	return list
}

// Peer returns one device; false if the stack has nothing to do with it.
func (s *Stack) Peer(id identity.ID) (PeerStatus, bool) {
	s.mu.Lock()
	p := s.peers[id]
	s.mu.Unlock()
	if p == nil {
		return PeerStatus{}, false
	}
	return s.peerStatus(p), true
}

func (s *Stack) peerStatus(p *peer.Peer) PeerStatus {
	st := p.Status()
	out := PeerStatus{ID: p.ID(), State: st.State.String()}
	if st.Device != nil {
		out.Name = st.Device.Name()
	}
	if st.Session != nil {
		stats := st.Session.Stats()
		out.Engine, out.SessionRTT = stats.Engine, stats.SmoothedRTT
		out.BytesSent, out.BytesRecv = stats.BytesSent, stats.BytesRecv
		s.mu.Lock()
		ss := s.sessions[st.Session]
		s.mu.Unlock()
		if ss != nil {
			out.DatagramsDropped = ss.flows.drops()
		}
	}
	if st.Current != nil {
		out.Path = pathStatus(*st.Current)
	}
	return out
}

func pathStatus(i path.Info) PathStatus {
	return PathStatus{
		Kind:     i.Kind.String(),
		State:    i.State.String(),
		Local:    i.Local,
		Remote:   i.Remote,
		Observed: i.Observed,
		RTT:      i.RTT,
		Current:  i.Current,
		Standby:  i.Standby,
	}
}

// An Explanation says how a peer is reached, and why so.
type Explanation struct {
	Peer  PeerStatus
	Paths []PathStatus // the current first, then the standby
	Lines []Event      // what was tried, what won and why, oldest first
}

// An Event is one line of an [Explanation].
type Event struct {
	Time time.Time
	Text string
}

// Explain returns the paths to a device, and the record of the decisions
// about them; false if the stack has nothing to do with it.
func (s *Stack) Explain(id identity.ID) (Explanation, bool) {
	s.mu.Lock()
	p := s.peers[id]
	s.mu.Unlock()
	if p == nil {
		return Explanation{}, false
	}
	paths, lines := p.Explain()
	out := Explanation{Peer: s.peerStatus(p)}
	for _, i := range paths {
		out.Paths = append(out.Paths, pathStatus(i))
	}
	for _, l := range lines {
		out.Lines = append(out.Lines, Event(l))
	}
	return out, true
}

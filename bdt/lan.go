package bdt

import (
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/discovery"
	"github.com/bdtnet/bdt/internal/peer"
	"github.com/bdtnet/bdt/internal/wire"
)

// lanSearch is how long a dial with nothing else to try waits for an answer from
// the local network: by then a question was asked three times.
const lanSearch = 1500 * time.Millisecond

// startDiscovery looks for devices on the local network from now on, and tells
// where this one is. The sockets are open.
func (s *Stack) startDiscovery() {
	if s.cfg.NoLAN {
		return
	}
	s.discovery.Store(discovery.Start(discovery.Config{
		ID:        s.ID(),
		Network:   s.cfg.Network,
		Listening: s.LocalAddrs(),
		Silent:    wire.Visibility(s.cfg.Visibility) == wire.VisibleNobody,
		Send:      s.send,
		Wanted:    s.connecting,
		Found:     s.discovered,
		Logger:    s.log,
	}))
}

// seek asks the local network for a device with which there is no session, and
// returns for how long an answer may come.
func (s *Stack) seek(id identity.ID, p *peer.Peer) time.Duration {
	d := s.discovery.Load()
	if !d.Active() || p.Status().Session != nil {
		return 0
	}
	d.Want(id)
	return lanSearch
}

// connecting returns the devices with which there is a session, or is to be one.
func (s *Stack) connecting() []identity.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []identity.ID
	for id, p := range s.peers {
		if !p.Status().Unproven {
			list = append(list, id)
		}
	}
	return list
}

// discovered tells a peer where it may be on the local network.
func (s *Stack) discovered(id identity.ID, addr netip.AddrPort) {
	s.mu.Lock()
	p := s.peers[id]
	s.mu.Unlock()
	if p != nil {
		p.HandleDiscovered(addr)
	}
}

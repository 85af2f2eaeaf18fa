package netsim

import "net/netip"

// A Switch is a shared segment: what is sent to a group reaches all who are
// connected to it, below and above, and what is sent to an address goes where the
// address is. Unlike a router it leaves the hop limit alone.
//
// Hosts are connected to it, and it to the router or NAT of the network, if there
// is one.
type Switch struct{ base }

// Switch adds a switch.
func (n *Network) Switch(name string) *Switch {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &Switch{n.newBase(name)}
}

func (s *Switch) adopt(l *Link, prefixes []netip.Prefix) ([]netip.Prefix, error) {
	if err := free(l, prefixes); err != nil {
		return nil, err
	}
	s.routes.add(default4, l.up)
	s.routes.add(default6, l.up)
	return prefixes, nil
}

func (s *Switch) hides(netip.Prefix) bool { return false }

func (s *Switch) receive(p *packet, in *pipe) {
	if p.Dst.Addr().IsMulticast() {
		s.flood(p, in)
		return
	}
	out := s.routes.lookup(p.Dst.Addr())
	if out == nil || out.link == in.link { // never back by the port that it came from
		s.drop(DropNoRoute, p, in)
		return
	}
	out.send(p)
}

// flood sends p by every port but the one that it came from.
func (s *Switch) flood(p *packet, in *pipe) {
	for _, out := range s.ports() {
		if out.link != in.link {
			out.send(p.clone())
		}
	}
	p.release()
}

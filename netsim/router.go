package netsim

import "net/netip"

// A Router forwards packets by longest prefix and decrements their hop limit.
type Router struct{ base }

// Router adds a router.
func (n *Network) Router(name string) *Router {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &Router{n.newBase(name)}
}

func (r *Router) adopt(l *Link, prefixes []netip.Prefix) ([]netip.Prefix, error) {
	if err := free(l, prefixes); err != nil {
		return nil, err
	}
	r.routes.add(default4, l.up)
	r.routes.add(default6, l.up)
	return prefixes, nil
}

func (r *Router) hides(netip.Prefix) bool { return false }

func (r *Router) receive(p *packet, in *pipe) {
	out := r.routes.lookup(p.Dst.Addr())
	switch {
	case out == nil || p.Dst.Addr().IsMulticast(): // groups end at the segment
		r.drop(DropNoRoute, p, in)
	case !p.forward():
		r.expire(p, in)
	default:
		out.send(p)
	}
}
